"""A small world to try a method in: the tiny foundation model, two training tasks, two unseen ones, invented inputs.

Nothing is read from a data set. A session drives a method exactly as the runner does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from torch import Tensor

from fedmeki_bench.data import Inputs, Labelled
from fedmeki_bench.methods.api import (
    Answer,
    InjectionReport,
    Knowledge,
    Method,
    MethodContext,
    ServerTraining,
)
from fedmeki_bench.methods.conformance._watch import WatchedInputs, WatchedTasks
from fedmeki_bench.methods.optimisation import derived_seed
from fedmeki_bench.modeling.client import LocalModel
from fedmeki_bench.modeling.encoders import EncoderOptions, Encoders, build_encoders, clinical_scale
from fedmeki_bench.modeling.foundation import FoundationModel, load_foundation_model
from fedmeki_bench.sources import Array
from fedmeki_bench.specs import MODALITIES, Modality, TaskSpec, load_tasks

__all__ = ["TRAINING", "ZERO_SHOT", "Factory", "Session", "World", "snapshot"]

Factory = Callable[[], Method]
"""Gives a new instance of the method under test, always with the same options."""

TRAINING = ("ecg_abnormal_detection", "mortality_prediction")
"""Signals and the four clinical modalities: every kind of token but the image's, which costs most and adds nothing."""

ZERO_SHOT = ("ectopic_beats_detection", "signal_noise_clarification")
"""One yes/no task and one text task that no method may know before it answers them."""

FEATURES: Mapping[Modality, int] = {"vital_signs": 7, "lab_events": 39, "input": 1, "output": 1}
HOURS = 8
PUBLIC = 6
ASKED = 7
SEED = 7


def _signal(rng: np.random.Generator, positive: bool) -> Array:
    time = np.linspace(0, 10, 1000, dtype=np.float32)
    wave = np.sin(2 * np.pi * (1.0 + 0.8 * positive) * time)[None, :] * (0.5 + positive)
    noisy: Array = (wave + rng.normal(0, 0.1, (12, 1000))).astype(np.float32)
    return noisy


def _clinical(rng: np.random.Generator, positive: bool, features: int, hours: int) -> Array:
    values = rng.normal(1.0 if positive else -1.0, 1.0, (hours, features)).astype(np.float32)
    values[rng.random((hours, features)) < 0.5] = np.nan
    return values


@cache
def _specs() -> Mapping[str, TaskSpec]:
    """The specs of the tasks, read once: the watch over files must not see this suite's own reading."""
    tasks = load_tasks()
    return {task: tasks[task] for task in (*TRAINING, *ZERO_SHOT)}


@cache
def _examples(task: str, part: str, count: int, hours: int = HOURS) -> tuple[Labelled, ...]:
    """Invented examples of a task, half of them positive; stays differ in length, so that padding matters."""
    spec = _specs()[task]
    rng = np.random.default_rng(derived_seed("conformance", task, part))
    examples = []
    for index in range(count):
        positive, length = index % 2 == 0, hours - index % 4
        arrays: dict[Modality, Array] = {}
        for modality in spec.encoded_modalities:
            signal = modality == "signal"
            arrays[modality] = (
                _signal(rng, positive) if signal else _clinical(rng, positive, FEATURES[modality], length)
            )
        for array in arrays.values():
            array.flags.writeable = False
        question = f"Does lead {'I' * (index % 3 + 1)} show noise?" if spec.kind == "text" else None
        target = ("yes" if positive else "no") if spec.kind == "yes_no" else "static noise"
        examples.append(Labelled(Inputs(f"{part}-{index}", arrays, question), target))
    return tuple(examples)


@dataclass(frozen=True)
class World:
    """What a method meets.

    Attributes:
        context: as the runner gives it; its tasks note every look at a task that is not trained.
        public: the server's examples by training task.
        asked: inputs to answer, by task; they note every look for something that is no input.
        specs: the training tasks, then the unseen ones.
        foundation: the tiny model, None for a method that uses none.
    """

    context: MethodContext
    public: Mapping[str, Sequence[Labelled]]
    asked: Mapping[str, Sequence[Inputs]]
    specs: Mapping[str, TaskSpec]
    foundation: FoundationModel | None

    @staticmethod
    def build(
        uses_foundation_model: bool,
        *,
        batch_size: int,
        times: int,
        hours: int = HOURS,
        foundation: FoundationModel | None = None,
    ) -> World:
        """A new world, always the same.

        Args:
            uses_foundation_model: whether the method asks for one.
            batch_size: most inputs answered at once.
            times: how many times as many examples and inputs as usual.
            hours: of the longest stays.
            foundation: an earlier world's model to go on with; a fresh one without.
        """
        device, specs = torch.device("cpu"), _specs()
        if uses_foundation_model and foundation is None:
            foundation = load_foundation_model("tiny", device=device)
        context = MethodContext(
            foundation_model=foundation,
            encoders=_encoders(foundation),
            tasks=WatchedTasks({task: specs[task] for task in TRAINING}),
            training=ServerTraining(learning_rate=5e-3, batch_size=4, micro_batch_size=2, rounds=2),
            device=device,
            seed=SEED,
            prediction_batch_size=batch_size,
        )
        public = {task: list(_examples(task, "public", PUBLIC * times, hours)) for task in TRAINING}
        asked = {
            task: [WatchedInputs.of(one.inputs) for one in _examples(task, "test", ASKED * times, hours)]
            for task in specs
        }
        return World(context, public, asked, specs, foundation)


def _encoders(foundation: FoundationModel | None) -> Encoders:
    if foundation is None:
        return Encoders({})
    needed = {modality for task in TRAINING for modality in _specs()[task].encoded_modalities}
    scales = {}
    for modality in FEATURES:
        arrays = [one.inputs.modalities[modality] for one in _examples(TRAINING[1], "public", PUBLIC)]
        scales[modality] = clinical_scale(arrays)
    options = EncoderOptions(foundation.width, scales)
    return build_encoders([modality for modality in MODALITIES if modality in needed], options, seed=SEED)


class Session:
    """One method in one world, from `setup` on.

    Args:
        factory: gives the method.
        batch_size: most inputs answered at once.
        times: how many times as many examples and inputs as usual.
        hours: of the longest stays.
        foundation: an earlier session's model to go on with.
    """

    def __init__(
        self,
        factory: Factory,
        *,
        batch_size: int = 4,
        times: int = 1,
        hours: int = HOURS,
        foundation: FoundationModel | None = None,
    ) -> None:
        self.method = factory()
        uses = self.method.uses_foundation_model
        self.world = World.build(uses, batch_size=batch_size, times=times, hours=hours, foundation=foundation)
        self.method.setup(self.world.context)

    def knowledge(self, round_index: int) -> Knowledge:
        """What two clients would send: the method's encoders, moved a little in a direction of the round's own."""
        foundation = self.world.foundation
        local = LocalModel(_encoders(foundation), TRAINING, width=foundation.width if foundation else 1, seed=SEED)
        if not self.method.federated:
            return Knowledge({name: value.detach().clone() for name, value in local.state_dict().items()}, 0)
        local.encoders.load_state_dict(dict(self.method.encoders()))
        generator = torch.Generator().manual_seed(derived_seed("clients", round_index))
        with torch.no_grad():
            for parameter in local.parameters():
                step = torch.randn(parameter.shape, generator=generator) * parameter.abs().mean()
                parameter.add_(0.05 * step)
        return Knowledge({name: value.detach().clone() for name, value in local.state_dict().items()}, 2)

    def train(self, rounds: int, *, start: int = 0) -> list[InjectionReport]:
        """Communication rounds `start` to `start + rounds`."""
        reports = []
        for index in range(start, start + rounds):
            reports.append(self.method.inject(self.knowledge(index), self.world.public, index))
        return reports

    def answers(self, tasks: Sequence[str] = (*TRAINING, *ZERO_SHOT)) -> dict[str, list[Answer]]:
        """The method's answers to every input of the tasks, by task."""
        return {task: self.method.predict(self.world.specs[task], self.world.asked[task]) for task in tasks}

    def close(self) -> None:
        """As after a training."""
        self.method.close()


def snapshot(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A copy of tensors by name."""
    return {name: value.detach().clone() for name, value in state.items()}
