"""The options that save memory: checkpointed activations and bfloat16 weights."""

from __future__ import annotations

import pytest
import torch

from fedmeki_bench.modeling.foundation import load_foundation_model
from tests.examples import TASKS, make_examples, make_inputs, make_method, no_knowledge

SIGNAL, CLINICAL, TEXT = "ecg_abnormal_detection", "mortality_prediction", "signal_noise_clarification"
PUBLIC = {SIGNAL: make_examples(SIGNAL, 4), CLINICAL: make_examples(CLINICAL, 4)}


@pytest.mark.parametrize("name", ["fedplug", "fedplug_l", "fedkim"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_gradient_checkpointing_changes_no_loss(name: str, dtype: torch.dtype) -> None:
    """Dropout included: what is computed again draws the same masks; mixed tasks keep their routes."""
    losses = []
    for checkpointing in (False, True):
        foundation = load_foundation_model("tiny", device=torch.device("cpu"), dtype=dtype)
        method = make_method(
            name, [SIGNAL, CLINICAL], foundation=foundation, gradient_checkpointing=checkpointing
        )
        losses.append(
            [loss for number in range(2) for loss in method.inject(no_knowledge(), PUBLIC, number).losses]
        )
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)


@pytest.mark.parametrize("name", ["fedplug", "fedplug_l", "fedkim"])
def test_beside_bfloat16_weights_everything_trained_stays_float32(name: str) -> None:
    """Training and both ways of answering run; the losses are those of float32 to bfloat16's precision."""
    losses = {}
    for dtype in (torch.float32, torch.bfloat16):
        foundation = load_foundation_model("tiny", device=torch.device("cpu"), dtype=dtype)
        method = make_method(name, [SIGNAL, CLINICAL], foundation=foundation)
        losses[dtype] = method.inject(no_knowledge(), PUBLIC, 0).losses
        state = method.state_dict()
        trained = [*state["adapter"].values(), *state["encoders"].values()]
        assert {value.dtype for value in trained if value.is_floating_point()} == {torch.float32}
        assert foundation.dtype == dtype
        for task in (SIGNAL, TEXT):
            assert len(method.predict(TASKS[task], [make_inputs(task, at) for at in range(3)])) == 3
    assert losses[torch.bfloat16] == pytest.approx(losses[torch.float32], rel=0.03)
