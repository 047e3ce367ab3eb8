"""Prediction in batches: halved when memory runs out, with the answers unchanged."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch

from fedmeki_bench.data import Inputs
from fedmeki_bench.methods import Answer
from fedmeki_bench.methods.answering import in_batches
from tests.examples import make_inputs

INPUTS = [make_inputs("mortality_prediction", number) for number in range(11)]


class Device:
    """Answers with the input's own id, and runs out of memory above a batch size."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.sizes: list[int] = []

    def __call__(self, batch: Sequence[Inputs]) -> list[Answer]:
        if len(batch) > self.most:
            raise torch.OutOfMemoryError("too many")
        self.sizes.append(len(batch))
        return [Answer(one.id) for one in batch]


@pytest.mark.parametrize("most", [1, 2, 3, 8])
def test_batches_are_halved_until_they_fit_and_answers_keep_their_order(most: int) -> None:
    """Every input is answered once, in the order asked, whatever fits."""
    device = Device(most)
    answers = in_batches(INPUTS, 8, device, lambda *_: None)
    assert [one.text for one in answers] == [one.id for one in INPUTS]
    assert sum(device.sizes) == len(INPUTS) and max(device.sizes) <= most


def test_an_input_that_does_not_fit_alone_is_an_error() -> None:
    """There is nothing left to halve."""
    with pytest.raises(torch.OutOfMemoryError):
        in_batches(INPUTS, 8, Device(0), lambda *_: None)


def test_the_longest_inputs_come_first() -> None:
    """A batch size that is too large fails at once, not at the end of a task."""
    hours: list[int] = []

    def answer(batch: Sequence[Inputs]) -> list[Answer]:
        hours.extend(len(one.modalities["vital_signs"]) for one in batch)
        return [Answer("Yes") for _ in batch]

    in_batches(INPUTS, 2, answer, lambda *_: None)
    assert hours == sorted(hours, reverse=True)
