"""What the simulator of one source is, and what it says about the tasks it feeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

from fedmeki_bench.simulate._latent import bayes_accuracy, bayes_auroc

__all__ = ["Settings", "SourceSimulator", "TaskTruth", "scaled_positives", "yes_no_truth"]

FEWEST_POSITIVES = 4
"""A small sample of a rare label still holds this many positives, or a fifth of its items if that is less."""


@dataclass(frozen=True)
class Settings:
    """What decides every byte of a simulation.

    Attributes:
        size: items a task, or None for the papers' counts.
        seed: any integer.
        signal: distance of the two class means of every latent, in standard deviations.
    """

    size: int | None
    seed: int
    signal: float


@dataclass(frozen=True)
class TaskTruth:
    """What is known about one task's simulated items, because they were made so.

    Attributes:
        task: task id.
        source: source the items come from.
        items: items in the files, before any split or sample.
        positives: positive items among them; None for a text task.
        bayes_accuracy: best accuracy from the latents; for a text task best share of exactly right answers.
        bayes_auroc: area under the ROC curve of the latent; None for a text task.
    """

    task: str
    source: str
    items: int
    positives: int | None
    bayes_accuracy: float
    bayes_auroc: float | None

    def as_json(self) -> dict[str, Any]:
        """The fields by name, probabilities rounded to six digits."""
        return {name: round(value, 6) if isinstance(value, float) else value for name, value in asdict(self).items()}


@dataclass(frozen=True)
class SourceSimulator:
    """Writes one source's files: its records one by one, in any order and process, then its tables.

    What a record holds follows from the settings and the record's number alone.
    """

    settings: Settings

    source: ClassVar[str]
    folder: ClassVar[str]

    def prepare(self, folder: Path) -> None:
        """What must be there before the first unit; nothing for most sources."""

    def units(self) -> int:
        """Pieces of work that can be written independently."""
        raise NotImplementedError

    def write_unit(self, folder: Path, unit: int) -> None:
        """Write the files of one piece of work below the source's folder."""
        raise NotImplementedError

    def write_tables(self, folder: Path) -> None:
        """Write the source's metadata; called once, after all units."""
        raise NotImplementedError

    def truths(self) -> Sequence[TaskTruth]:
        """What is known about each task that this source feeds."""
        raise NotImplementedError


def scaled_positives(items: int, prevalence: float) -> int:
    """Positives among `items` at the real prevalence, but never so few that no split could hold one."""
    return max(round(items * prevalence), min(FEWEST_POSITIVES, items // 5))


def yes_no_truth(task: str, source: str, items: int, positives: int, signal: float) -> TaskTruth:
    """The truth of a yes/no task whose label is seen through one latent."""
    accuracy = bayes_accuracy(signal, positives / items)
    return TaskTruth(task, source, items, positives, accuracy, bayes_auroc(signal))
