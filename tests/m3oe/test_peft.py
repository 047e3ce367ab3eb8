"""M3OE behaves as users of PEFT expect of any method: save, load, switch, move, checkpoint, generate."""

from __future__ import annotations

import copy
import json

import pytest
import torch
import transformers
from peft import PeftConfig, PeftModel, get_peft_model
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from fedmeki_bench.errors import BenchError, FaultsError
from fedmeki_bench.modeling.m3oe import M3OEConfig
from tests.m3oe.builders import DESCRIPTIONS, TASKS, adapted, config, gradients, stir, tiny_llama, tokens


def logits(model: PeftModel, tasks: str | list[str] = "covid", rows: int = 2) -> torch.Tensor:
    with torch.no_grad(), model.base_model.route(tasks):
        return model(input_ids=tokens(rows, 5)).logits


class TestSaving:
    def test_a_loaded_adapter_answers_as_the_saved_one(self, tmp_path):
        model = adapted(init_seed=5)
        model.save_pretrained(str(tmp_path))
        loaded = PeftModel.from_pretrained(tiny_llama(), str(tmp_path))
        assert torch.equal(logits(loaded, TASKS, rows=3), logits(model, TASKS, rows=3))
        assert not any(parameter.requires_grad for parameter in loaded.parameters())

    def test_loaded_as_trainable_it_trains_the_same_parameters(self, tmp_path):
        model = adapted()
        model.save_pretrained(str(tmp_path))
        loaded = PeftModel.from_pretrained(tiny_llama(), str(tmp_path), is_trainable=True)
        assert trainable(loaded) == trainable(model)

    def test_the_folder_holds_safetensors_and_the_descriptions_and_needs_no_tokenizer(self, tmp_path):
        adapted().save_pretrained(str(tmp_path))
        assert sorted(path.suffix for path in tmp_path.iterdir()) == [".json", ".md", ".safetensors"]
        saved = PeftConfig.from_pretrained(str(tmp_path))
        assert isinstance(saved, M3OEConfig) and saved.descriptions == DESCRIPTIONS
        assert json.loads((tmp_path / "adapter_config.json").read_text())["peft_type"] == "M3OE"

    def test_tasks_added_at_prediction_are_not_saved(self, tmp_path):
        model = adapted()
        model.base_model.add_descriptions({"sepsis": {"task": [3], "modalities": [4]}})
        model.save_pretrained(str(tmp_path))
        assert "sepsis" not in PeftConfig.from_pretrained(str(tmp_path)).descriptions

    def test_a_bfloat16_base_keeps_float32_adapters_through_saving(self, tmp_path):
        model = adapted(tiny_llama(torch.bfloat16))
        model.save_pretrained(str(tmp_path))
        loaded = PeftModel.from_pretrained(tiny_llama(torch.bfloat16), str(tmp_path))
        assert {p.dtype for n, p in loaded.named_parameters() if "m3oe" in n} == {torch.float32}
        assert torch.equal(logits(loaded), logits(model))


def trainable(model: torch.nn.Module) -> set[str]:
    return {name for name, parameter in model.named_parameters() if parameter.requires_grad}


def by_hand_checkpointed(forward, reentrant):
    """A block's forward pass inside torch's checkpoint, unknown to transformers."""

    def run(hidden, *args, **kwargs):
        return checkpoint(lambda h: forward(h, *args, **kwargs), hidden, use_reentrant=reentrant)

    return run


class TestTraining:
    def test_only_experts_and_router_train(self):
        names = trainable(adapted())
        assert names and all("m3oe_" in name for name in names)
        assert any("m3oe_router" in name for name in names)

    @pytest.mark.parametrize("reentrant", [False, True])
    def test_checkpointing_gives_the_same_gradients_also_for_two_waiting_batches(self, reentrant):
        def loss_gradients(model: PeftModel) -> dict[str, torch.Tensor]:
            ids = tokens(3, 6)
            with model.base_model.route(TASKS):
                loss = model(input_ids=ids).logits.square().mean()
            with model.base_model.route("ecg"):
                loss = loss + model(input_ids=ids.flip(1)).logits.square().mean()
            loss.backward()
            return {name: p.grad for name, p in model.named_parameters() if p.requires_grad}

        plain, checkpointed = adapted().train(), adapted().train()
        checkpointed.gradient_checkpointing_enable({"use_reentrant": reentrant})
        ours, expected = loss_gradients(checkpointed), loss_gradients(plain)
        for name, gradient in expected.items():
            torch.testing.assert_close(ours[name], gradient, msg=name)

    @pytest.mark.parametrize("reentrant", [False, True])
    def test_blocks_checkpointed_by_hand_give_the_same_gradients(self, reentrant):
        def loss_gradients(by_hand: bool) -> dict[str, torch.Tensor]:
            model = adapted()
            for block in model.base_model.model.model.layers if by_hand else ():
                block.forward = by_hand_checkpointed(block.forward, reentrant)
            with model.base_model.route(TASKS):
                model(input_ids=tokens(3, 6), use_cache=False).logits.square().mean().backward()
            return {name: p.grad for name, p in model.named_parameters() if p.requires_grad}

        plain = loss_gradients(False)
        for name, gradient in loss_gradients(True).items():
            torch.testing.assert_close(gradient, plain[name], msg=name)

    def test_checkpointing_repeats_the_dropout_it_drew(self):
        def loss_gradients(checkpointing: bool) -> dict[str, torch.Tensor]:
            model = adapted(lora_dropout=0.3).train()
            if checkpointing:
                model.gradient_checkpointing_enable({"use_reentrant": False})
            with torch.random.fork_rng(), model.base_model.route(TASKS):
                torch.manual_seed(0)
                loss = model(input_ids=tokens(3, 6)).logits.square().mean()
                loss.backward()
            return {name: p.grad for name, p in model.named_parameters() if p.requires_grad}

        plain = loss_gradients(False)
        for name, gradient in loss_gradients(True).items():
            torch.testing.assert_close(gradient, plain[name], msg=name)

    def test_dropout_acts_in_training_only(self):
        model = adapted(lora_dropout=0.5)
        assert torch.equal(logits(model), logits(model))
        model.train()
        assert not torch.equal(logits(model), logits(model))

    def test_bfloat16_base_gives_float32_gradients_close_to_float32(self):
        def found(dtype: torch.dtype) -> dict[str, torch.Tensor]:
            model = adapted(tiny_llama(dtype))
            ids = tokens(3, 6)
            with model.base_model.route(TASKS):
                out = model(input_ids=ids).logits.float()
            return gradients(model, F.cross_entropy(out.flatten(0, 1), ids.flatten()))

        exact = found(torch.float32)
        for name, gradient in found(torch.bfloat16).items():
            assert gradient.dtype == torch.float32
            assert (gradient - exact[name]).norm() <= 0.1 * exact[name].norm() + 1e-6, name

    def test_runs_under_autocast(self):
        model = adapted(tiny_llama(torch.float32))
        with torch.autocast("cpu", torch.bfloat16):
            mixed = logits(model)
        torch.testing.assert_close(mixed.float(), logits(model), rtol=0.1, atol=0.1)

    def test_initial_values_depend_on_the_seed_alone(self):
        torch.manual_seed(1)
        one = get_peft_model(tiny_llama(), config()).state_dict()
        state = torch.get_rng_state()
        other = get_peft_model(tiny_llama(), config()).state_dict()
        assert torch.equal(state, torch.get_rng_state())
        assert all(torch.equal(one[name], other[name]) for name in one)
        different = get_peft_model(tiny_llama(), config(init_seed=1)).state_dict()
        assert all(not torch.equal(one[name], different[name]) for name in one if "m3oe_A" in name)

    def test_experts_start_as_lora_does_and_differ_between_layers_and_experts(self):
        layers = get_peft_model(tiny_llama(), config()).base_model.layers()
        drawn = torch.cat([layer.experts("default")[0].flatten(0, 1)[:, :12] for layer in layers.values()])
        assert all(layer.experts("default")[1].abs().max() == 0 for layer in layers.values())
        assert all(
            layer.m3oe_A["default"].abs().max() <= layer.in_features**-0.5 for layer in layers.values()
        )
        assert len(drawn.unique(dim=0)) == len(drawn)


class TestAdapters:
    def two(self) -> PeftModel:
        model = adapted()
        model.add_adapter("other", config(r=1, num_experts=4, init_seed=9))
        stir(model, seed=2)
        return model

    def test_switching_adapters_switches_experts_and_router(self):
        model = self.two()
        first = logits(model)
        model.set_adapter("other")
        second = logits(model)
        model.set_adapter("default")
        assert torch.equal(logits(model), first) and not torch.allclose(first, second)

    def test_only_the_active_adapter_trains(self):
        model = self.two()
        assert all(".default" in name for name in trainable(model))
        model.set_adapter("other")
        assert trainable(model) and all(".other" in name for name in trainable(model))

    def test_two_active_adapters_add_up(self):
        model, base = self.two(), tiny_llama()
        layer_name = "model.layers.0.self_attn.q_proj"
        x = torch.randn(2, 3, 12, dtype=torch.float64)
        layer = model.base_model.model.get_submodule(layer_name)
        outputs = {}
        for names in (["default"], ["other"], ["default", "other"]):
            model.base_model.set_adapter(names)
            with torch.no_grad(), model.base_model._gate_for("ecg"):
                outputs[tuple(names)] = layer(x) - base.get_submodule(layer_name)(x)
        torch.testing.assert_close(outputs["default", "other"], outputs["default",] + outputs["other",])

    def test_each_adapter_is_saved_and_loaded_by_itself(self, tmp_path):
        model = self.two()
        model.save_pretrained(str(tmp_path))
        loaded = PeftModel.from_pretrained(tiny_llama(), str(tmp_path))
        loaded.load_adapter(str(tmp_path / "other"), "other")
        assert torch.equal(logits(loaded), logits(model))
        model.set_adapter("other")
        loaded.set_adapter("other")
        assert torch.equal(logits(loaded), logits(model))

    def test_a_deleted_adapter_is_gone(self):
        model = self.two()
        model.delete_adapter("other")
        assert not any("other" in name for name, _ in model.named_parameters())
        logits(model)

    def test_a_disabled_adapter_is_the_base_model_and_needs_no_task(self):
        model, ids = adapted(), tokens(2, 5)
        with model.disable_adapter():
            assert torch.equal(model(input_ids=ids).logits, tiny_llama()(input_ids=ids).logits)
        assert not torch.equal(logits(model), tiny_llama()(input_ids=ids).logits)

    def test_a_copied_model_is_independent(self):
        model = adapted()
        twin = copy.deepcopy(model)
        before = logits(model)
        stir(twin, seed=8)
        assert torch.equal(logits(model), before) and not torch.equal(logits(twin), before)


def other_family(name: str, **sizes: int) -> torch.nn.Module:
    """One random block of a model family of transformers."""
    family = getattr(transformers, f"{name}Config")
    sizes = {
        "vocab_size": 40,
        "hidden_size": 8,
        "num_hidden_layers": 1,
        "max_position_embeddings": 32,
        **sizes,
    }
    return transformers.AutoModelForCausalLM.from_config(family(**sizes)).double().eval()


class TestUse:
    def test_moves_between_dtypes(self):
        model = adapted()
        double = logits(model)
        torch.testing.assert_close(logits(model.float()).double(), double, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(logits(model.bfloat16()).double(), double, rtol=0.1, atol=0.1)

    def test_builds_and_moves_on_the_meta_device(self):
        with torch.device("meta"):
            base = tiny_llama()
        model = get_peft_model(base, config())
        assert {parameter.device.type for parameter in model.parameters()} == {"meta"}

    @pytest.mark.parametrize("task_type", [None, "CAUSAL_LM"])
    def test_generation_merged_equals_unmerged(self, task_type):
        model, ids = adapted(task_type=task_type), tokens(2, 4)
        with model.base_model.route("ecg"):
            routed = model.generate(input_ids=ids, max_new_tokens=6, do_sample=False, pad_token_id=0)
        with model.base_model.merged("ecg"):
            merged = model.generate(input_ids=ids, max_new_tokens=6, do_sample=False, pad_token_id=0)
        assert torch.equal(routed, merged)

    def test_the_decoder_alone_is_routed_too(self):
        model, ids = adapted(), tokens(2, 5)
        with torch.no_grad(), model.base_model.route(["covid", "ecg"]):
            inner = model.base_model.model
            hidden = inner.model(input_ids=ids).last_hidden_state
            torch.testing.assert_close(inner.lm_head(hidden), model(input_ids=ids).logits)

    def test_routes_nest(self):
        model = adapted()
        alone = logits(model, "ecg")
        with model.base_model.route("covid"):
            assert torch.equal(logits(model, "ecg"), alone)

    @pytest.mark.parametrize(
        "name, sizes, layers",
        [
            ("Qwen2", dict(num_attention_heads=2, num_key_value_heads=1, intermediate_size=16), 7),
            ("Qwen3", dict(num_attention_heads=2, num_key_value_heads=1, intermediate_size=16), 7),
            (
                "Phi3",
                dict(num_attention_heads=2, num_key_value_heads=1, intermediate_size=16, pad_token_id=0),
                4,
            ),
            ("GPT2", dict(n_head=2), 4),
            ("GPTNeoX", dict(num_attention_heads=2, intermediate_size=16), 4),
        ],
    )
    def test_other_families_are_adapted_in_attention_and_mlp(self, name, sizes, layers):
        model = adapted(other_family(name, **sizes))
        assert len(model.base_model.layers()) == layers
        mixed = logits(model, TASKS, rows=3)
        with torch.no_grad(), model.base_model.merged("ecg"):
            torch.testing.assert_close(model(input_ids=tokens(3, 5)).logits[1], mixed[1])

    def test_a_family_that_flattens_rows_takes_one_task_at_a_time(self):
        model = adapted(other_family("OPT", num_attention_heads=2, ffn_dim=16, word_embed_proj_dim=8))
        logits(model, "ecg")
        with pytest.raises(BenchError, match="fc1"):
            logits(model, TASKS, rows=3)

    def test_only_chosen_layers_are_adapted(self):
        names = adapted(
            target_modules=["q_proj", "down_proj"], exclude_modules=["1.mlp.down_proj"]
        ).base_model
        assert [name.rpartition("model.")[2] for name in names.layers()] == [
            "layers.0.self_attn.q_proj",
            "layers.0.mlp.down_proj",
            "layers.1.self_attn.q_proj",
        ]


class TestBadInput:
    @pytest.mark.parametrize(
        "overrides, words",
        [
            ({"num_experts": 0}, "num_experts"),
            ({"r": 0}, "r: expected a whole number from 1"),
            ({"lora_alpha": 0}, "lora_alpha"),
            ({"lora_dropout": 1.0}, "lora_dropout"),
            ({"pooling": "last"}, "pooling"),
            ({"descriptions": {}}, "at least one task"),
            ({"descriptions": {"ecg": {"task": [], "modalities": [1]}}}, "descriptions of ecg: task"),
            ({"descriptions": {"ecg": {"task": [1]}}}, "descriptions of ecg: modalities"),
            ({"descriptions": {"ecg": {"task": ["a"], "modalities": [1]}}}, "token ids"),
            ({"descriptions": {"ecg": {"task": [1], "modality": [1]}}}, "modality"),
            ({"use_task_description": False, "use_modality_descriptions": False}, "at least one kind"),
        ],
    )
    def test_configuration(self, overrides, words):
        with pytest.raises(FaultsError, match=words):
            config(**overrides)

    def test_every_fault_is_reported_at_once(self):
        with pytest.raises(FaultsError) as caught:
            config(r=0, num_experts=-1, pooling="x")
        assert all(word in str(caught.value) for word in ("r:", "num_experts", "pooling"))

    def test_no_target_matches(self):
        with pytest.raises(BenchError, match="q_proj") as caught:
            adapted(target_modules=["query"])
        assert "target_modules" in str(caught.value)

    def test_a_target_is_not_linear(self):
        with pytest.raises(BenchError, match=r"model\.norm"):
            adapted(target_modules=["norm"])

    def test_an_unknown_architecture_names_its_linear_layers(self):
        base = tiny_llama()
        for block in base.model.layers:
            block.mix = torch.nn.Linear(12, 12)
            del block.self_attn, block.mlp
        with pytest.raises(BenchError, match="mix"):
            adapted(base)

    def test_a_description_beyond_the_vocabulary(self):
        with pytest.raises(BenchError, match="ids below 40"):
            adapted(descriptions={"ecg": {"task": [40], "modalities": [1]}})

    @pytest.mark.parametrize("change", [{"hidden_size": 24}, {"num_hidden_layers": 1}, {"vocab_size": 41}])
    def test_an_adapter_of_another_base_model(self, change, tmp_path):
        adapted().save_pretrained(str(tmp_path))
        with pytest.raises(BenchError, match="another base model"):
            PeftModel.from_pretrained(tiny_llama(**change), str(tmp_path))

    def test_an_adapter_whose_layers_have_other_sizes_names_them(self, tmp_path):
        adapted().save_pretrained(str(tmp_path))
        with pytest.raises(BenchError, match=r"layers\.0\.mlp\.down_proj\.m3oe_A"):
            PeftModel.from_pretrained(tiny_llama(intermediate_size=16), str(tmp_path))

    def test_a_layer_of_whole_numbers(self):
        base = tiny_llama()
        weight = torch.zeros(12, 12, dtype=torch.int8)
        base.model.layers[1].self_attn.o_proj.weight = torch.nn.Parameter(weight, requires_grad=False)
        with pytest.raises(BenchError, match=r"layers\.1\.self_attn\.o_proj"):
            adapted(base)

    def test_input_of_another_dtype_names_the_layer(self):
        model = adapted(tiny_llama(torch.bfloat16))
        embeddings = torch.zeros(1, 2, 12, dtype=torch.float32)
        with pytest.raises(BenchError, match="q_proj"), model.base_model.route("ecg"):
            model.base_model.layers()["model.layers.0.self_attn.q_proj"](embeddings)

    def test_no_task_named(self):
        with pytest.raises(BenchError, match="route"):
            adapted()(input_ids=tokens(1, 3))

    def test_an_unknown_task_gets_a_hint(self):
        model = adapted()
        with pytest.raises(BenchError, match="did you mean mortality"), model.base_model.route("mortalty"):
            model(input_ids=tokens(1, 3))

    def test_tasks_that_do_not_fit_the_batch(self):
        model = adapted()
        with pytest.raises(BenchError, match="3 rows"), model.base_model.route(TASKS):
            model(input_ids=tokens(2, 3))

    def test_a_known_task_with_another_description(self):
        with pytest.raises(BenchError, match="another description"):
            adapted().base_model.add_descriptions({"ecg": {"task": [1], "modalities": [1]}})

    def test_after_an_error_the_model_still_works(self):
        model = adapted()
        expected = logits(model)
        with pytest.raises(BenchError), model.base_model.route(TASKS):
            model(input_ids=tokens(2, 3))
        assert torch.equal(logits(model), expected)
