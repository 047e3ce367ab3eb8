"""The plan counts what a run builds: exact parameters and bytes, operations that follow from the shapes."""

from __future__ import annotations

import json

import pytest
import torch
from torch import nn

from fedmeki_bench.cli import main
from fedmeki_bench.errors import BenchError
from fedmeki_bench.modeling.costs import forward_backward_cost, forward_cost
from fedmeki_bench.modeling.shapes import SHAPES, foundation_config
from fedmeki_bench.runner.config import resolve_config
from fedmeki_bench.runner.plan import make_plan
from tests.m3oe.builders import tiny_llama

TASKS = ("ecg_abnormal_detection", "mortality_prediction", "ectopic_beats_detection")


@pytest.fixture
def tiny_folder(tmp_path):
    tiny_llama(vocab_size=400).config.save_pretrained(tmp_path)
    return str(tmp_path)


def plan(foundation_model, method="fedkim", tasks=TASKS, tflops=1.0, **overrides):
    config = resolve_config(
        method=method,
        method_options={},
        profile="paper",
        tasks=tasks,
        foundation_model=foundation_model,
        **overrides,
    )
    return make_plan(config, tflops=tflops)


class TestPlan:
    def test_expert_and_router_parameters_follow_from_the_shapes(self, tiny_folder):
        parameters = plan(tiny_folder).parameters
        width, wide, kv, rank = 12, 20, 4, 96
        block = 2 * (width + width) + 2 * (width + kv) + 3 * (width + wide)
        assert parameters["experts"] == 2 * rank * block
        assert parameters["router"] == 3 * 64 * width + (64 * 64 + 64) + (64 * 12 + 12)
        frozen = sum(value.numel() for value in tiny_llama(vocab_size=400).parameters())
        assert parameters["foundation model (frozen)"] == frozen

    @pytest.mark.parametrize("method, part", [("fedplug", None), ("fedplug_l", "adapter")])
    def test_other_methods_have_their_own_parts(self, tiny_folder, method, part):
        parameters = plan(tiny_folder, method).parameters
        assert ("adapter" in parameters) == (part is not None) and "experts" not in parameters

    def test_traffic_is_the_local_model_both_ways(self, tiny_folder):
        planned = plan(tiny_folder, clients=3, rounds=4)
        up = planned.traffic["one client, one round, up"]
        local = sum(
            count for name, count in planned.parameters.items() if "encoder" in name or "heads" in name
        )
        # Beside the parameters travel the batch normalisations' statistics and the clinical scaling.
        assert 4 * local < up < 4 * local + 2000
        assert planned.traffic["whole run, both ways"] == 2 * 3 * 4 * up

    def test_without_federation_nothing_travels(self, tiny_folder):
        planned = plan(tiny_folder, "fedkim_pub")
        assert set(planned.traffic.values()) == {0} and planned.operations["clients, one round"] == 0

    def test_work_grows_with_rounds_and_time_falls_with_throughput(self, tiny_folder):
        one, ten = plan(tiny_folder, rounds=1), plan(tiny_folder, rounds=10, tflops=2.0)
        assert one.operations["server, one round"] == ten.operations["server, one round"]
        stage = "multi-task and zero-shot, whole run"
        assert ten.operations[stage] > one.operations[stage]
        assert ten.seconds[stage] == pytest.approx(ten.operations[stage] / 2e12)

    def test_checkpointing_needs_less_memory(self, tiny_folder):
        memory = plan(tiny_folder).memory
        full, saving = memory["server, training"], memory["server, training with gradient checkpointing"]
        assert saving["total"] < full["total"]

    def test_the_7b_shape_is_the_published_one(self):
        with torch.device("meta"):
            from transformers import LlamaForCausalLM

            model = LlamaForCausalLM(foundation_config("mmedlm2"))
        assert sum(value.numel() for value in model.parameters()) == 7_737_708_544
        assert "mmedlm2" in SHAPES and "smollm2-135m" in SHAPES

    def test_command_prints_tables(self, tiny_folder, capsys):
        main(["plan", "--foundation-model", tiny_folder])
        out = capsys.readouterr().out
        assert "| experts" in out and "PFLOP" in out

    def test_command_prints_json(self, tiny_folder, capsys):
        main(["plan", "--foundation-model", tiny_folder, "--json"])
        assert json.loads(capsys.readouterr().out)["parameters"]["router"] > 0

    def test_bad_input(self, tiny_folder):
        with pytest.raises(BenchError, match="mmedlm2"):
            plan("mmedlm")
        with pytest.raises(BenchError, match="nothing to plan"):
            plan(tiny_folder, "majority")
        with pytest.raises(BenchError, match="tflops"):
            plan(tiny_folder, tflops=0.0)


class TestCosts:
    def test_a_linear_layers_operations_and_kept_input(self):
        layer = nn.Linear(5, 7, bias=False, device="meta")
        x = torch.empty(3, 5, device="meta")
        assert forward_cost(lambda: layer(x)).flops == 2 * 3 * 5 * 7
        cost = forward_backward_cost(lambda: layer(x), layer)
        assert cost.flops == 2 * (2 * 3 * 5 * 7) and cost.saved_bytes == 4 * 3 * 5

    def test_equal_layers_are_extrapolated_exactly(self):
        def cost(layers):
            model = tiny_llama(num_hidden_layers=layers).to("meta")
            embeddings = torch.empty(2, 6, 12, device="meta", dtype=torch.float64, requires_grad=True)
            mask = torch.empty(2, 1, 6, 6, device="meta", dtype=torch.float64)
            return forward_backward_cost(
                lambda: model(inputs_embeds=embeddings, attention_mask=mask, use_cache=False).logits, model
            )

        assert cost(1).layers(cost(2), 4) == cost(4)
