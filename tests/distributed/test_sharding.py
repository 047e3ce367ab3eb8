"""A model dispatched by accelerate answers and trains as a plain one.

Every layer carries accelerate's hooks, as between GPUs, but all layers are on this CPU: nothing here tests that tensors
cross from one GPU to the next.
"""

from __future__ import annotations

import pytest
import torch

from fedmeki_bench.errors import BenchError
from fedmeki_bench.modeling.foundation import FoundationModel, load_foundation_model
from tests.examples import TASKS, make_examples, make_inputs, make_method, no_knowledge, tensor_hash

CPU = torch.device("cpu")
SIGNAL, TEXT = "ecg_abnormal_detection", "signal_noise_clarification"
FIRST = ("model.embed_tokens", "model.rotary_emb", "model.layers.0")
SECOND = ("model.layers.1", "model.norm", "lm_head")


def load(second: str | torch.device = CPU) -> FoundationModel:
    devices = dict.fromkeys(FIRST, CPU) | dict.fromkeys(SECOND, second)
    return load_foundation_model("tiny", device=CPU, device_map=devices)


@pytest.mark.parametrize("name", ["fedplug", "fedplug_l", "fedkim"])
@pytest.mark.parametrize("checkpointing", [False, True])
def test_losses_and_answers_are_those_of_the_whole_model(name: str, checkpointing: bool) -> None:
    """Training, likelihood, greedy decoding with its cache, and FedKIM's merge, through the hooks."""
    results = []
    for foundation in (load(), load_foundation_model("tiny", device=CPU)):
        method = make_method(
            name, [SIGNAL], foundation=foundation, gradient_checkpointing=checkpointing and foundation.sharded
        )
        losses = method.inject(no_knowledge(), {SIGNAL: make_examples(SIGNAL, 5)}, 0).losses
        answers = [
            method.predict(TASKS[task], [make_inputs(task, at) for at in range(3)]) for task in (SIGNAL, TEXT)
        ]
        method.close()
        results.append((losses, answers, tensor_hash(foundation.model.state_dict())))
    assert hasattr(load().model.model.layers[1], "_hf_hook")
    (sharded, answers, frozen), (whole, expected, untouched) = results
    assert sharded == pytest.approx(whole, rel=1e-5)
    assert frozen == untouched
    for found, wanted in zip(answers, expected, strict=True):
        assert [one.text for one in found] == [one.text for one in wanted]
        for one, other in zip(found, wanted, strict=True):
            assert one.score == (None if other.score is None else pytest.approx(other.score, abs=1e-5))


@pytest.mark.parametrize("second", ["cpu", "disk"])
def test_layers_left_without_a_device_are_refused(second: str) -> None:
    """Adapters cannot be made from weights that are not there: said at once, with the layers' names."""
    with pytest.raises(BenchError, match=r"does not fit the GPUs together[\s\S]*lm_head"):
        load(second=second)
