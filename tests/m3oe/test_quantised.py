"""M3OE on base models that bitsandbytes has really quantised, in 8 and in 4 bit, on a CPU."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from bitsandbytes.functional import _convert_weight_packed_for_cpu
from bitsandbytes.nn.modules import Linear4bit
from peft import PeftModel, get_peft_model, prepare_model_for_kbit_training
from peft.utils.quantization_utils import ForwardOnlyQuantizationBackend, resolve_quantization_backend
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import AutoModelForCausalLM, BitsAndBytesConfig, PreTrainedModel

from fedmeki_bench.errors import BenchError
from fedmeki_bench.modeling.m3oe import M3OELayer, M3OEModel
from fedmeki_bench.modeling.m3oe import layer as layer_module
from fedmeki_bench.modeling.m3oe import targets as targets_module
from tests.m3oe.builders import TASKS, adapted, config, gradients, plain_logits, stir, tiny_llama, tokens

# Multiples of bitsandbytes' block of 64, and more than one block a row in some layers.
SIZES = dict(hidden_size=64, intermediate_size=128, num_attention_heads=2, num_key_value_heads=1)

KINDS: dict[str, dict[str, Any]] = {
    "8bit": dict(load_in_8bit=True),
    "nf4": dict(load_in_4bit=True, bnb_4bit_quant_type="nf4"),
    "nf4_double": dict(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True),
}

# Of logits below 1. In 8 bit a predicting layer rounds its input to 255 levels, so that a difference in float32's last
# digit may move an activation by a whole level.
CLOSE = {"8bit": 5e-4, "nf4": 2e-6, "nf4_double": 2e-6}

# Transformers' word on a method that PEFT and transformers itself call.
pytestmark = pytest.mark.filterwarnings("ignore:.*gradient_checkpointing:FutureWarning")

only_4bit = pytest.mark.parametrize("kind", ["nf4", "nf4_double"])
only_8bit = pytest.mark.parametrize("kind", ["8bit"])


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """Each kind of quantisation, one after the other."""
    return str(request.param)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model, saved in float32."""
    folder = tmp_path_factory.mktemp("base")
    tiny_llama(torch.float32, **SIZES).save_pretrained(folder)
    return folder


@pytest.fixture(autouse=True)
def _no_word_on_casts() -> Iterator[None]:
    # In 8 bit bitsandbytes logs a warning on every product whose input is not float16.
    logger = logging.getLogger("bitsandbytes")
    before = logger.level
    logger.setLevel(logging.ERROR)
    yield
    logger.setLevel(before)


Load = Callable[..., PreTrainedModel]


@pytest.fixture
def load(checkpoint: Path, kind: str) -> Load:
    """Loads the tiny model quantised as `kind` says."""

    def load(dtype: torch.dtype = torch.float32, **options: Any) -> PreTrainedModel:
        if "nf4" in kind:
            options["bnb_4bit_compute_dtype"] = dtype
        quantisation = BitsAndBytesConfig(**KINDS[kind], **options)
        return AutoModelForCausalLM.from_pretrained(checkpoint, quantization_config=quantisation, dtype=dtype)

    return load


def stored(model: nn.Module) -> dict[str, Tensor]:
    """Copies of everything frozen: quantised weights with their scales, norms, embeddings."""
    return {name: value.clone() for name, value in model.state_dict().items() if "m3oe_" not in name}


def assert_untouched(model: nn.Module, before: dict[str, Tensor]) -> None:
    after = stored(model)
    assert after.keys() == before.keys()
    for name, value in before.items():
        assert torch.equal(after[name], value), name


def logits(model: PeftModel, tasks: str | list[str] = "ecg", rows: int = 3) -> Tensor:
    with torch.no_grad(), model.base_model.route(tasks):
        found: Tensor = model(input_ids=tokens(rows, 6)).logits
    return found


def loss_gradients(model: PeftModel) -> dict[str, Tensor]:
    with model.base_model.route(TASKS):
        out = model(input_ids=tokens(3, 6), use_cache=False).logits
    return gradients(model, out.square().mean())


def assert_same_gradients(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-4, atol=1e-7, msg=name)


def test_experts_are_float32_in_the_layers_own_shape(load: Load, kind: str) -> None:
    """The layers are bitsandbytes' own; neither the packed weight's shape nor its dtype reaches the experts."""
    model = adapted(load(torch.bfloat16))
    layers = model.base_model.layers()
    assert len(layers) == 14
    for name, layer in layers.items():
        assert type(layer.base_layer).__name__ == ("Linear8bitLt" if kind == "8bit" else "Linear4bit"), name
        assert layer.base_layer.weight.dtype == (torch.int8 if kind == "8bit" else torch.uint8), name
        a, b = layer.m3oe_A["default"], layer.m3oe_B["default"]
        assert a.shape == (6, layer.base_layer.in_features) and b.shape == (layer.base_layer.out_features, 6), name
        assert a.dtype == b.dtype == torch.float32, name


def test_gradients_are_those_of_the_plain_equations(load: Load) -> None:
    """Every expert and the router get the gradient of Eq. 4 and 5 written out, finite and not zero."""
    model = adapted(load()).train()
    found = loss_gradients(model)
    assert_same_gradients(found, gradients(model, plain_logits(model, TASKS, input_ids=tokens(3, 6)).square().mean()))
    assert all(bool(gradient.isfinite().all()) and bool(gradient.any()) for gradient in found.values())


def test_training_and_predicting_leave_the_frozen_weights_alone(load: Load) -> None:
    """Steps of an optimiser with dropout, predictions and a merge change experts and router, and nothing else."""
    model = get_peft_model(load(), config(lora_dropout=0.1))
    stir(model)
    before = stored(model)
    trained = {name: value.detach().clone() for name, value in model.named_parameters() if value.requires_grad}
    optimiser = torch.optim.SGD([value for value in model.parameters() if value.requires_grad], lr=1.0)
    for _ in range(2):
        model.train()
        with model.base_model.route(TASKS):
            model(input_ids=tokens(3, 6)).logits.square().mean().backward()
        optimiser.step()
        optimiser.zero_grad()
        model.eval()
        with model.base_model.merged("ecg"), torch.no_grad():
            model(input_ids=tokens(2, 6))
        logits(model, TASKS)
    assert_untouched(model, before)
    assert all(not torch.equal(value, trained[name]) for name, value in model.named_parameters() if name in trained)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_each_layer_merged_equals_the_unmerged(load: Load, dtype: torch.dtype) -> None:
    """Given the input that it has in the model, a layer with the folded pair answers to its dtype's precision."""
    model = adapted(load(dtype))
    seen: dict[str, tuple[Tensor, Tensor]] = {}

    def look(layer: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> None:
        assert isinstance(layer, M3OELayer)
        seen.setdefault(layer.name, (args[0], output))

    for layer in model.base_model.layers().values():
        layer.register_forward_hook(look)
    logits(model)
    # Of the output's largest element: a few roundings of the experts' part and one of the sum.
    precision = 4 * torch.finfo(dtype).eps
    with model.base_model.merged("ecg"), torch.no_grad():
        for name, layer in model.base_model.layers().items():
            assert layer.is_folded and not layer.merged, name
            x, expected = seen[name]
            atol = precision * expected.abs().max().item()
            torch.testing.assert_close(layer(x), expected, rtol=0, atol=atol, msg=name)


def test_the_merged_model_answers_as_the_unmerged(load: Load, kind: str) -> None:
    """`merged(task)` takes the pair by itself, needs no task named, and leaves the model as it was."""
    model = adapted(load())
    before, expected = stored(model), logits(model)
    with model.base_model.merged("ecg"), torch.no_grad():
        assert_untouched(model, before)
        torch.testing.assert_close(model(input_ids=tokens(3, 6)).logits, expected, rtol=0, atol=CLOSE[kind])
    assert torch.equal(logits(model), expected)
    assert not torch.allclose(expected, logits(model, "covid"), rtol=0, atol=CLOSE[kind])


def merge_for_a_while(tuner: M3OEModel) -> None:
    with tuner.merged("ecg", into="weights"):
        pass


@pytest.mark.parametrize(
    "merge",
    [
        merge_for_a_while,
        lambda tuner: tuner.merge_adapter(task="ecg"),
        lambda tuner: tuner.merge_and_unload(task="ecg"),
    ],
    ids=["merged", "merge_adapter", "merge_and_unload"],
)
def test_merging_into_the_weights_is_an_error_that_names_the_layer(
    load: Load, merge: Callable[[M3OEModel], object]
) -> None:
    """With some layers quantised the first of them is named, and none of the others is merged."""
    model = adapted(load(llm_int8_skip_modules=["model.layers.0", "lm_head"]))
    names = [n for n, layer in model.base_model.layers().items() if layer.quantization_backend is not None]
    assert len(names) == 7
    before, expected = stored(model), logits(model)
    with pytest.raises(BenchError, match=r"where: model\.layers\.1\.self_attn\.q_proj\n"):
        merge(model.base_model)
    assert_untouched(model, before)
    assert torch.equal(logits(model), expected)
    with model.base_model.merged("ecg"):
        assert all(layer.is_folded and not layer.merged for layer in model.base_model.layers().values())


def test_a_saved_adapter_answers_alike_on_the_base_quantised_anew(load: Load, tmp_path: Path) -> None:
    """Loading restores experts and router bit for bit, for all tasks of a batch; saving changes no answer."""
    model = adapted(load())
    expected = logits(model, TASKS)
    model.save_pretrained(str(tmp_path))
    loaded = PeftModel.from_pretrained(load(), str(tmp_path)).eval()
    assert torch.equal(logits(loaded, TASKS), expected)
    assert torch.equal(logits(model, TASKS), expected)


def test_a_mixed_batch_equals_its_rows_one_by_one(load: Load, kind: str) -> None:
    """Each row of a batch of several tasks is answered as if it were alone."""
    model = adapted(load())
    mixed, ids = logits(model, TASKS), tokens(3, 6)
    for row, task in enumerate(TASKS):
        with torch.no_grad(), model.base_model.route(task):
            alone = model(input_ids=ids[row : row + 1]).logits[0]
        torch.testing.assert_close(mixed[row], alone, rtol=0, atol=CLOSE[kind])


@pytest.mark.parametrize("reentrant", [False, True])
def test_checkpointing_after_pefts_preparation_gives_the_same_gradients(load: Load, reentrant: bool) -> None:
    """PEFT's usual preparation of a quantised model, which checkpoints its blocks, changes no gradient."""
    prepared = prepare_model_for_kbit_training(load(), gradient_checkpointing_kwargs={"use_reentrant": reentrant})
    assert prepared.is_gradient_checkpointing
    model = adapted(prepared).train()
    with model.base_model.route(TASKS):
        model(input_ids=tokens(3, 6), use_cache=False).logits.square().mean().backward()
    found = {name: value.grad for name, value in model.named_parameters() if value.requires_grad}
    assert_same_gradients(found, loss_gradients(adapted(load()).train()))


@only_4bit
def test_predicting_first_changes_no_gradient(load: Load) -> None:
    """A 4-bit model that has predicted trains as a new one, also where only some of its layers are adapted."""

    def trained(predicting_first: bool) -> dict[str, Tensor]:
        base = load()
        for module in base.modules():
            if isinstance(module, Linear4bit):
                # As on a CPU with AVX512-BF16, whatever this one has.
                module.support_avx512bf16_for_cpu = True
        model = adapted(base, target_modules=["q_proj"])
        if predicting_first:
            logits(model)
        return loss_gradients(model.train())

    assert_same_gradients(trained(predicting_first=True), trained(predicting_first=False))


@only_4bit
def test_a_repacked_base_model_is_refused(load: Load) -> None:
    """4-bit weights that bitsandbytes has repacked for prediction are an error that names the first such layer."""
    base = load()
    layer = base.model.layers[1].mlp.up_proj
    layer.weight.data, layer.weight.quant_state = _convert_weight_packed_for_cpu(
        layer.weight.data, layer.weight.quant_state
    )
    with pytest.raises(BenchError, match=r"where: model\.layers\.1\.mlp\.up_proj\n"):
        adapted(base)


@only_8bit
def test_an_8_bit_base_model_that_has_predicted_is_adapted_alike(load: Load) -> None:
    """Bitsandbytes moves 8-bit weights about inside a layer when it first predicts; experts do not mind."""
    base = load()
    base(input_ids=tokens(2, 3))
    assert torch.equal(logits(adapted(base), TASKS), logits(adapted(load()), TASKS))


@only_4bit
def test_generation_merged_equals_unmerged(load: Load) -> None:
    """Token by token, with a cache, the pair writes what the unmerged experts write."""
    model, ids = adapted(load()), tokens(2, 4)
    with model.base_model.route("ecg"):
        routed = model.generate(input_ids=ids, max_new_tokens=6, do_sample=False, pad_token_id=0)
    with model.base_model.merged("ecg"):
        assert torch.equal(model.generate(input_ids=ids, max_new_tokens=6, do_sample=False, pad_token_id=0), routed)


def test_unloading_gives_the_quantised_base_model_back(load: Load) -> None:
    """Without its adapter the model is bitsandbytes' again: layers, stored weights and answers."""
    base = load()
    before = stored(base)
    model, ids = adapted(base), tokens(2, 5)
    with torch.no_grad(), model.disable_adapter():
        expected = model(input_ids=ids).logits
    plain = model.unload()
    assert torch.equal(plain(input_ids=ids).logits, expected)
    assert not any(isinstance(module, M3OELayer) for module in plain.modules())
    assert_untouched(plain, before)


def test_a_copied_model_is_independent(load: Load) -> None:
    """A copy answers alike until it is trained, which the original does not notice."""
    model = adapted(load())
    before = logits(model)
    twin = copy.deepcopy(model)
    assert torch.equal(logits(twin), before)
    stir(twin, seed=8)
    assert torch.equal(logits(model), before) and not torch.equal(logits(twin), before)


class BufferLinear(nn.Module):
    """Whole numbers in a buffer and no parameter at all, as GPTQ's and AWQ's linear layers have them."""

    qweight: Tensor

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.infeatures, self.outfeatures = linear.in_features, linear.out_features
        self.register_buffer("qweight", (linear.weight.detach() * 1000).round().to(torch.int8))

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.qweight.to(x.dtype) / 1000)


def test_a_layer_without_parameters_is_adapted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Layers whose quantised weight is a buffer train and predict like others; shown on a stand-in."""

    def resolve_also_buffers(layer: nn.Module, **options: Any) -> Any:
        known = ForwardOnlyQuantizationBackend("gptq") if isinstance(layer, BufferLinear) else None
        return known or resolve_quantization_backend(layer, **options)

    for module in (layer_module, targets_module):
        monkeypatch.setattr(module, "resolve_quantization_backend", resolve_also_buffers)
    base = tiny_llama(torch.float32, **SIZES)
    for block in base.model.layers:
        block.mlp.down_proj = BufferLinear(block.mlp.down_proj)
    model = adapted(base)
    assert all(bool(gradient.any()) for gradient in loss_gradients(model).values())
    expected = logits(model)
    with model.base_model.merged("ecg"), torch.no_grad():
        torch.testing.assert_close(model(input_ids=tokens(3, 6)).logits, expected, rtol=0, atol=CLOSE["nf4"])
    with pytest.raises(BenchError, match=r"layers\.0\.mlp\.down_proj"):
        model.merge_and_unload(task="ecg")
