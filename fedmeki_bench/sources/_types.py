"""What every source adapter yields: labelled items first, decoded records on demand."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from fedmeki_bench.specs import Modality, Selection

__all__ = ["NO", "YES", "Adapter", "Array", "Description", "Item", "Listing", "Record", "Source"]

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
        repeat_of: id of the item that this one repeats (RSNA lists an image once for each box). Repeats
            belong to the released partition only; every other partition counts an image once.
    """

    id: str
    group: str
    target: str
    record: str
    question: str | None = None
    question_type: str | None = None
    site: str | None = None
    demographics: Mapping[str, str | float] = field(default_factory=dict)
    repeat_of: str | None = None


@dataclass(frozen=True)
class Listing:
    """What a source's metadata hold for one selection.

    Attributes:
        items: all items, repeats included, in no particular order.
        left_out: rows of the source that are no item of the selection, counted by reason.
        rows: the source's table in file order, one entry a row: the id of the row's item, or None if the row
            belongs to no item. Empty unless the released partition, which shuffles whole tables, can be
            reproduced.
    """

    items: tuple[Item, ...]
    left_out: Mapping[str, int] = field(default_factory=dict)
    rows: tuple[str | None, ...] = ()


@dataclass(frozen=True)
class Description:
    """A source as found on disk, for one selection.

    Attributes:
        items: items in the metadata, repeats not counted.
        repeats: items that repeat another one.
        records: decoded records the items refer to.
        groups: patients, images or stays.
        targets: items by target (yes/no tasks) or by question type (text tasks).
        left_out: rows that are no item, by reason.
        missing: records with a file that is not there: record key to the first absent file, relative to the
            folder.
    """

    items: int
    repeats: int
    records: int
    groups: int
    targets: Mapping[str, int]
    left_out: Mapping[str, int]
    missing: Mapping[str, str]


class Source(Protocol):
    """One source data set in its own folder layout and file formats.

    `find` looks for the layout under a root folder; `items` reads metadata only; `decode` reads one record's
    files.

    Attributes:
        name: the source's name in task specs.
        record_source: the source that owns the records; differs from `name` where one data set asks
            questions about the records of another (ECG-QA about PTB-XL).
        modalities: what a record holds, in the order of its columns in the store.
        layout: the files and folders `find` looks for, in words.
    """

    name: ClassVar[str]
    record_source: ClassVar[str]
    modalities: ClassVar[tuple[Modality, ...]]
    layout: ClassVar[str]

    def find(self, root: Path) -> Path | None:
        """The source's folder under `root` (at any depth of its documented layout), or None."""

    def listing(self, folder: Path, selection: Selection) -> Listing:
        """Items, rows that are none, and row order; raises `FaultsError` with every metadata fault found."""

    def items(self, folder: Path, selection: Selection) -> Sequence[Item]:
        """All items of the selection, in any order; raises `FaultsError` with every metadata fault found."""

    def files(self, folder: Path, record: str) -> tuple[Path, ...]:
        """The files a record is decoded from; raises `BenchError` if one lies outside the source's folder."""

    def decode(self, folder: Path, record: str) -> Record:
        """One decoded record; raises `BenchError` naming the file if it is corrupt, never returns a guess."""

    def missing(self, folder: Path, records: Sequence[str]) -> dict[str, str]:
        """Records with an absent file: record key to the first absent file."""

    def record_owner(self, folder: Path) -> tuple[Source, Path]:
        """The adapter that owns the records, with its folder; itself unless it asks about another source's
        records.
        """

    def describe(self, folder: Path, selection: Selection) -> Description:
        """Counts, label balance and missing files of a selection."""


class Adapter(ABC):
    """Base of the adapters: the parts of `Source` that follow from the others."""

    name: ClassVar[str]
    record_source: ClassVar[str]
    modalities: ClassVar[tuple[Modality, ...]]
    layout: ClassVar[str]

    @abstractmethod
    def find(self, root: Path) -> Path | None:
        """The source's folder under `root`, or None."""

    @abstractmethod
    def listing(self, folder: Path, selection: Selection) -> Listing:
        """Items, rows that are none, and row order."""

    @abstractmethod
    def files(self, folder: Path, record: str) -> tuple[Path, ...]:
        """The files a record is decoded from."""

    @abstractmethod
    def decode(self, folder: Path, record: str) -> Record:
        """One decoded record."""

    def items(self, folder: Path, selection: Selection) -> Sequence[Item]:
        """All items of the selection, in any order."""
        return self.listing(folder, selection).items

    def missing(self, folder: Path, records: Sequence[str]) -> dict[str, str]:
        """Records with an absent file: record key to the first absent file, relative to the folder."""
        owner, place = self.record_owner(folder)
        absent = {}
        for record in records:
            for file in owner.files(place, record):
                if not file.is_file():
                    absent[record] = str(file.relative_to(place))
                    break
        return absent

    def record_owner(self, folder: Path) -> tuple[Source, Path]:
        """Itself and its own folder."""
        return self, folder

    def describe(self, folder: Path, selection: Selection) -> Description:
        """Counts, label balance and missing files of a selection."""
        listing = self.listing(folder, selection)
        items = [item for item in listing.items if item.repeat_of is None]
        records = sorted({item.record for item in items})
        targets = Counter(item.target if item.question is None else item.question_type or "unknown" for item in items)
        return Description(
            items=len(items),
            repeats=len(listing.items) - len(items),
            records=len(records),
            groups=len({item.group for item in items}),
            targets=dict(sorted(targets.items())),
            left_out=dict(listing.left_out),
            missing=self.missing(folder, records),
        )
