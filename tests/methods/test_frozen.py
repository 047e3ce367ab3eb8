"""Tokens of encoders that are not trained are computed once, and change no loss."""

from __future__ import annotations

import pytest

from fedmeki_bench.methods import Knowledge
from fedmeki_bench.methods.base import FoundationInjection
from tests.examples import make_encoders, make_examples, make_method, no_knowledge

SIGNAL = "ecg_abnormal_detection"
OTHER = Knowledge(
    {f"encoders.{at}": one for at, one in make_encoders(32, modalities=["signal"], seed=7).state_dict().items()},
    clients=5,
)


def build(name: str = "fedplug_l", **settings: object) -> tuple[FoundationInjection, list[int]]:
    """A method with frozen encoders, and a list that grows by the rows of each pass through the encoder."""
    options = {"train_encoders": False} | settings.pop("options", {})  # type: ignore[operator]
    method = make_method(name, [SIGNAL], options=options, **settings)
    assert isinstance(method, FoundationInjection)
    passes: list[int] = []
    method.context.encoders["signal"].register_forward_hook(lambda module, args, out: passes.append(len(out)))
    return method, passes


def test_each_input_is_encoded_once_over_all_epochs_of_a_round() -> None:
    """And again in the next round, when aggregated encoders have replaced the old ones."""
    method, passes = build(epochs=3)
    public = {SIGNAL: make_examples(SIGNAL, 5)}
    method.inject(OTHER, public, 0)
    assert sum(passes) == 5
    method.inject(OTHER, public, 1)
    assert sum(passes) == 10


def test_without_clients_each_input_is_encoded_once_over_all_rounds() -> None:
    """The ablation `pub` never replaces its encoders."""
    method, passes = build(options={"federated": False})
    public = {SIGNAL: make_examples(SIGNAL, 5)}
    for number in range(2):
        method.inject(no_knowledge(), public, number)
    assert sum(passes) == 5


def test_losses_are_those_without_kept_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    """Over epochs and rounds, with encoders that change in between."""
    losses = []
    for kept in (True, False):
        method, _ = build(epochs=2)
        if not kept:
            monkeypatch.setattr(method, "_tokens", lambda method=method: method.context.encoders)
        public = {SIGNAL: make_examples(SIGNAL, 5)}
        losses.append(
            [
                loss
                for number, knowledge in enumerate((no_knowledge(), OTHER))
                for loss in method.inject(knowledge, public, number).losses
            ]
        )
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_frozen_encoders_get_no_gradient() -> None:
    """Nor is a graph through them kept in memory."""
    method, _ = build()
    method.inject(OTHER, {SIGNAL: make_examples(SIGNAL, 3)}, 0)
    assert all(one.grad is None for one in method.context.encoders.parameters())
