"""CheXpert (Irvin 2019): the 234 validation images with radiologists' labels."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import ClassVar

from fedmeki_bench.errors import BenchError, Fault
from fedmeki_bench.sources._files import (
    demographics,
    find_folder,
    inside,
    path_fault,
    raise_faults,
    read_table,
    repeated_id_faults,
)
from fedmeki_bench.sources._images import load_image
from fedmeki_bench.sources._types import NO, YES, Adapter, Item, Listing, Record
from fedmeki_bench.specs import Modality, Selection

__all__ = ["CheXpert"]

TABLE = "valid.csv"
IMAGES = "valid"
COLUMNS = ("Path", "Sex", "Age", "Frontal/Lateral", "AP/PA")
POSITIVE = 1.0
VALUES = (-1.0, 0.0, POSITIVE)
"""Uncertain, negative, positive; an empty field means not mentioned."""


class CheXpert(Adapter):
    """Images of `valid/`; the label is the column that the task names."""

    name: ClassVar[str] = "chexpert"
    record_source: ClassVar[str] = "chexpert"
    modalities: ClassVar[tuple[Modality, ...]] = ("image",)
    layout: ClassVar[str] = "CheXpert-v1.0*/valid.csv beside valid/"

    def find(self, root: Path) -> Path | None:
        """The folder with `valid.csv` that is called `CheXpert...` or has a `valid` folder."""
        return find_folder(root, _is_chexpert, self.name)

    def listing(self, folder: Path, selection: Selection) -> Listing:
        """One item an image; id and record are the path from `valid/` on, group is the patient in it."""
        if selection.column is None:
            raise BenchError(
                "a CheXpert task needs selection.column", expected="a column of valid.csv", found="nothing"
            )
        items, faults, places = [], [], []
        for place, row in read_table(folder / TABLE, (*COLUMNS, selection.column)):
            fault = path_fault(place, "Path", row["Path"]) or _label_fault(
                place, selection.column, row[selection.column]
            )
            parts = PurePosixPath(row["Path"]).parts
            if fault is None and (IMAGES not in parts or len(parts) < parts.index(IMAGES) + 3):
                fault = Fault(place, "Path", "…/valid/<patient>/<study>/<view>.jpg", row["Path"])
            if fault:
                faults.append(fault)
                continue
            # The table's paths begin with the name of the archive, which differs from one distribution to
            # the next.
            key = "/".join(parts[parts.index(IMAGES) :])
            target = YES if row[selection.column] and float(row[selection.column]) == POSITIVE else NO
            places.append((place, key))
            items.append(Item(key, parts[parts.index(IMAGES) + 1], target, key, demographics=_who(row)))
        raise_faults(folder / TABLE, [*faults, *repeated_id_faults(places, "Path")])
        return Listing(tuple(items))

    def files(self, folder: Path, record: str) -> tuple[Path, ...]:
        """The image file."""
        return (inside(folder, record),)

    def decode(self, folder: Path, record: str) -> Record:
        """`image`, uint8 (224, 224)."""
        return {"image": load_image(inside(folder, record), grey=True)}


def _is_chexpert(folder: Path) -> bool:
    return (folder / TABLE).is_file() and (folder.name.startswith("CheXpert") or (folder / IMAGES).is_dir())


def _label_fault(place: str, column: str, value: str) -> Fault | None:
    try:
        known = not value or float(value) in VALUES
    except ValueError:
        known = False
    return None if known else Fault(place, column, "1, 0, -1 or nothing", repr(value))


def _who(row: Mapping[str, str]) -> Mapping[str, str | float]:
    sex = {"Male": "M", "Female": "F"}.get(row["Sex"])
    view = row["AP/PA"] or row["Frontal/Lateral"]
    # An age of 0 stands for unknown in the table.
    age = float(row["Age"]) if row["Age"] and float(row["Age"]) > 0 else None
    return demographics(age=age, sex=sex, view=view)
