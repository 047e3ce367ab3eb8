"""What every source adapter yields: labelled items first, decoded records on demand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fedmeki_bench.specs import Modality, Selection

__all__ = ["NO", "YES", "Array", "Item", "Record", "Source"]

Array = NDArray[np.uint8] | NDArray[np.float32]

YES = "yes"
"""Target of a positive item of a yes/no task, whatever words the task's answer uses."""

NO = "no"
"""Target of a negative item of a yes/no task."""

Record = Mapping[Modality, Array]
"""A decoded record: image uint8 (224, 224) or (224, 224, 3); signal float32 (12, 1000) in millivolt;
clinical modalities float32 (hours, features) in the source's units, NaN where nothing was measured."""


@dataclass(frozen=True)
class Item:
    """One labelled item of a task, known from metadata alone, before anything is decoded.

    Attributes:
        id: unique within the source and selection; the id in predictions.
        group: patient, image, record or stay: what must never stand on two sides of a split.
        target: `yes` or `no` for yes/no tasks, else the reference answer.
        record: key of the decoded record; several items may share one (questions about one image).
        question: the question of a text task.
        question_type: `closed` or `open` where the source says so.
        site: hospital, database, device or other place the item comes from, where the source says so.
        demographics: `age` in years, `sex` as `F` or `M`, and what else the source has; absent if unknown.
    """

    id: str
    group: str
    target: str
    record: str
    question: str | None = None
    question_type: str | None = None
    site: str | None = None
    demographics: Mapping[str, str | float] = field(default_factory=dict)


class Source(Protocol):
    """One source data set in its own folder layout and file formats.

    `find` looks for the layout under a root folder; `items` reads metadata only; `decode` reads one record's files.
    """

    name: str

    def find(self, root: Path) -> Path | None:
        """The source's folder under `root` (at any depth of its documented layout), or None."""

    def items(self, folder: Path, selection: Selection) -> Sequence[Item]:
        """All items of the selection, in any order; raises `FaultsError` with every metadata fault found."""

    def decode(self, folder: Path, record: str) -> Record:
        """One decoded record; raises `BenchError` naming the file if it is corrupt, never returns a guess."""
