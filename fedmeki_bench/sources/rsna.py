"""RSNA Pneumonia Detection Challenge 2018 (Shih 2019): DICOM images, one table row a box."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from fedmeki_bench.errors import BenchError, Fault, did_you_mean
from fedmeki_bench.sources._dicom import load_dicom, read_who
from fedmeki_bench.sources._files import (
    demographics,
    find_folder,
    inside,
    path_fault,
    raise_faults,
    read_table,
)
from fedmeki_bench.sources._types import NO, YES, Adapter, Item, Listing, Record
from fedmeki_bench.specs import Modality, Selection

__all__ = ["RsnaPneumonia"]

CLASSES = "stage_2_detailed_class_info.csv"
BOXES = "stage_2_train_labels.csv"
IMAGES = "stage_2_train_images"
HEADERS = "kaggle_stage_2_train_images_dicom_headers.csv.gz"
OPACITY, NORMAL, NEITHER = "Lung Opacity", "Normal", "No Lung Opacity / Not Normal"
TARGETS = {OPACITY: YES, NORMAL: NO}


class RsnaPneumonia(Adapter):
    """Images of class Lung Opacity or Normal.

    The tables list an image once for each box. The first row of an image is its item; further ones are
    repeats of it, which only the released partition uses. Demographics come from the DICOM headers, or from
    a table of them (`kaggle_stage_2_train_images_dicom_headers.csv.gz`) if it lies beside the labels.
    """

    name: ClassVar[str] = "rsna_pneumonia"
    record_source: ClassVar[str] = "rsna_pneumonia"
    modalities: ClassVar[tuple[Modality, ...]] = ("image",)
    layout: ClassVar[str] = f"{CLASSES} and {BOXES} beside {IMAGES}/"

    def find(self, root: Path) -> Path | None:
        """The folder that holds both label tables."""
        return find_folder(root, lambda folder: (folder / CLASSES).is_file() and (folder / BOXES).is_file(), self.name)

    def listing(self, folder: Path, selection: Selection) -> Listing:
        """One item a row of class Lung Opacity or Normal; id, group and record are `patientId`.

        The n-th row of an image has the id `patientId#n` and repeats the first.
        """
        rows, faults = self._rows(folder)
        faults.extend(_box_faults(folder, {name for name, word in rows if word == OPACITY}, {name for name, _ in rows}))
        raise_faults(folder, faults)
        headers = _header_table(folder)
        seen: dict[str, int] = {}
        items: list[Item] = []
        order: list[str | None] = []
        for name, word in rows:
            if word == NEITHER:
                order.append(None)
                continue
            seen[name] = seen.get(name, 0) + 1
            again = seen[name] > 1
            header = headers[name] if name in headers else {} if headers else _dicom_header(folder, name)
            who = _who(header)
            items.append(
                Item(
                    id=f"{name}#{seen[name]}" if again else name,
                    group=name,
                    target=TARGETS[word],
                    record=name,
                    demographics=who,
                    repeat_of=name if again else None,
                )
            )
            order.append(items[-1].id)
        neither = order.count(None)
        return Listing(tuple(items), {f"rows of class {NEITHER}": neither} if neither else {}, tuple(order))

    def files(self, folder: Path, record: str) -> tuple[Path, ...]:
        """The DICOM file."""
        return (inside(folder, f"{IMAGES}/{record}.dcm"),)

    def decode(self, folder: Path, record: str) -> Record:
        """`image`, uint8 (224, 224)."""
        return {"image": load_dicom(self.files(folder, record)[0])}

    @staticmethod
    def _rows(folder: Path) -> tuple[list[tuple[str, str]], list[Fault]]:
        """(patientId, class) in file order, and what is wrong with them."""
        classes = (OPACITY, NORMAL, NEITHER)
        rows, faults = [], []
        class_of: dict[str, str] = {}
        unboxed: set[str] = set()
        for place, row in read_table(folder / CLASSES, ("patientId", "class")):
            name, word = row["patientId"], row["class"]
            fault = path_fault(place, "patientId", name)
            if word not in classes:
                fault = Fault(place, "class", f"one of {', '.join(classes)}", repr(word), did_you_mean(word, classes))
            elif class_of.setdefault(name, word) != word:
                fault = Fault(place, "class", f"{class_of[name]}, as in an earlier row of {name}", word)
            elif word != OPACITY and name in unboxed:
                fault = Fault(place, "patientId", "one row for an image without boxes", f"{name} again")
            if word != OPACITY:
                unboxed.add(name)
            if fault:
                faults.append(fault)
            rows.append((name, word))
        return rows, faults


def _box_faults(folder: Path, opaque: set[str], known: set[str]) -> list[Fault]:
    """Where the table of boxes contradicts the table of classes."""
    faults, boxed = [], set()
    for place, row in read_table(folder / BOXES, ("patientId", "Target")):
        name, target = row["patientId"], row["Target"]
        boxed.add(name)
        if target not in ("0", "1"):
            faults.append(Fault(place, "Target", "0 or 1", repr(target)))
        elif name not in known:
            faults.append(Fault(place, "patientId", f"an image of {CLASSES}", name))
        elif (target == "1") != (name in opaque):
            faults.append(Fault(place, "Target", f"1 exactly for class {OPACITY}", f"{target} for {name}"))
    absent = sorted(known - boxed)
    if absent:
        faults.append(
            Fault(
                str(folder / BOXES),
                "patientId",
                f"every image of {CLASSES}",
                f"{len(absent)} absent, first {absent[0]}",
            )
        )
    return faults


def _header_table(folder: Path) -> dict[str, dict[str, str]]:
    path = folder / HEADERS
    if not path.is_file():
        return {}
    try:
        with gzip.open(path, "rt", encoding="utf-8", newline="") as handle:
            return {row["PatientID"]: row for row in csv.DictReader(handle)}
    except (OSError, EOFError, UnicodeDecodeError, KeyError, csv.Error) as error:
        raise BenchError(
            "cannot read the table of DICOM headers", where=path, found=error, fix="fetch or remove it"
        ) from error


def _dicom_header(folder: Path, name: str) -> dict[str, str]:
    path = inside(folder, f"{IMAGES}/{name}.dcm")
    return read_who(path) if path.is_file() else {}


def _who(header: Mapping[str, str]) -> Mapping[str, str | float]:
    age = header.get("PatientAge", "").removesuffix("Y").lstrip("0")
    sex = header.get("PatientSex", "")
    return demographics(
        age=float(age) if age.isdigit() else None,
        sex=sex if sex in ("F", "M") else None,
        view=header.get("ViewPosition"),
    )
