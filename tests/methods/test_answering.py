"""Prediction in batches: halved when memory runs out, with the answers unchanged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch

from fedmeki_bench.data import Inputs
from fedmeki_bench.errors import BenchError
from fedmeki_bench.methods import Answer, MethodContext, ServerTraining
from fedmeki_bench.methods.answering import in_batches
from fedmeki_bench.modeling.encoders import Encoders
from fedmeki_bench.modeling.foundation import FoundationModel
from tests.examples import make_inputs

INPUTS = [make_inputs("mortality_prediction", number) for number in range(11)]


class Device:
    """Answers with the input's own id, and runs out of memory above a batch size."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.sizes: list[int] = []
        self.refused = 0

    def __call__(self, batch: Sequence[Inputs]) -> list[Answer]:
        if len(batch) > self.most:
            self.refused += 1
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        self.sizes.append(len(batch))
        return [Answer(one.id) for one in batch]


def context(size: int | None, device: str = "cpu") -> MethodContext:
    """A context of which only the batch size and the device's name matter."""
    return MethodContext(
        foundation_model=None,
        encoders=Encoders({}),
        tasks={},
        training=ServerTraining(),
        device=torch.device(device),
        seed=0,
        prediction_batch_size=size,
    )


@pytest.mark.parametrize("most", [1, 2, 3, 8])
def test_batches_are_halved_until_they_fit_and_answers_keep_their_order(most: int) -> None:
    """Every input is answered once, in the order asked, whatever fits."""
    device = Device(most)
    answers = in_batches(INPUTS, context(8), device)
    assert [one.text for one in answers] == [one.id for one in INPUTS]
    assert sum(device.sizes) == len(INPUTS) and max(device.sizes) <= most


@pytest.mark.parametrize(
    ("most", "sizes", "refused"),
    [(500, [8, 16, 32, 64, 128, 27], 0), (40, [8, 16, 32, 32, 32, 32, 32, 32, 32, 27], 1), (5, [4] * 68 + [3], 1)],
)
def test_on_a_gpu_the_size_is_found(most: int, sizes: list[int], refused: int) -> None:
    """It doubles as long as memory allows, up to 128; once it was too large it is halved and stays."""
    device, inputs = Device(most), [make_inputs("ecg_abnormal_detection", number) for number in range(275)]
    answers = in_batches(inputs, context(None, "cuda"), device)
    assert (device.sizes, device.refused) == (sizes, refused)
    assert [one.text for one in answers] == [one.id for one in inputs]


def test_on_a_cpu_and_where_it_is_given_the_size_stays() -> None:
    """A process that takes too much of the computer's memory is ended, not told."""
    for size, device in ((None, "cpu"), (8, "cuda")):
        recorder = Device(500)
        in_batches(INPUTS * 3, context(size, device), recorder)
        assert set(recorder.sizes[:-1]) == {8}


def test_an_input_that_does_not_fit_alone_is_an_error() -> None:
    """There is nothing left to halve."""
    with pytest.raises(torch.OutOfMemoryError):
        in_batches(INPUTS, context(8), Device(0))


def test_with_a_model_sharded_over_processes_the_error_says_how_to_go_on() -> None:
    """The others wait inside the pass; another size, given to all, changes no answer."""
    shared = FoundationModel("tiny", "0", True, None, None, sharded=True, collective=True)
    with pytest.raises(BenchError, match="--prediction-batch-size 4"):
        in_batches(INPUTS, replace(context(None, "cuda"), foundation_model=shared), Device(5))


def test_other_errors_are_not_taken_for_lack_of_memory() -> None:
    """A fault in a model stops the run at once, with its own words."""

    def answer(batch: Sequence[Inputs]) -> list[Answer]:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        in_batches(INPUTS, context(8), answer)


def test_the_longest_inputs_come_first() -> None:
    """A batch size that is too large fails at once, not at the end of a task."""
    hours: list[int] = []

    def answer(batch: Sequence[Inputs]) -> list[Answer]:
        hours.extend(len(one.modalities["vital_signs"]) for one in batch)
        return [Answer("Yes") for _ in batch]

    in_batches(INPUTS, context(2), answer)
    assert hours == sorted(hours, reverse=True)
