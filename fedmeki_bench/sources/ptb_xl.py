"""PTB-XL (Wagner 2020): WFDB records of 12 leads and one table; feeds three tasks."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

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
from fedmeki_bench.sources._types import NO, YES, Adapter, Item, Listing, Record
from fedmeki_bench.specs import Modality, Selection

__all__ = ["LEADS", "PtbXl", "read_patients"]

LEADS = ("I", "II", "III", "AVR", "AVL", "AVF", "V1", "V2", "V3", "V4", "V5", "V6")
"""Order of the leads in a decoded signal."""

SAMPLES, FREQUENCY = 1000, 100
"""Samples a lead and samples a second of the `_lr` records."""

TABLE = "ptbxl_database.csv"
COLUMNS = (
    "ecg_id",
    "patient_id",
    "age",
    "sex",
    "device",
    "recording_date",
    "site",
    "scp_codes",
    "extra_beats",
    "filename_lr",
)
NORMAL_LIKELIHOOD = 50.0
"""A record is normal if NORM's likelihood is above this (strictly: reproduces every released label)."""

ECTOPIC = re.compile(r"(?<![a-z])(sv|v)?es(?![a-z])", re.IGNORECASE)
"""An ES, VES or SVES code, with or without a count; never the letters inside another word (German
"alles")."""


class PtbXl(Adapter):
    """PTB-XL records at 100 Hz, with the labels of EAD (`abnormal`) and EBD (`ectopic_beats`)."""

    name: ClassVar[str] = "ptb_xl"
    record_source: ClassVar[str] = "ptb_xl"
    modalities: ClassVar[tuple[Modality, ...]] = ("signal",)
    layout: ClassVar[str] = "ptbxl_database.csv beside records100/"

    def find(self, root: Path) -> Path | None:
        """The folder that holds `ptbxl_database.csv`."""
        return find_folder(root, lambda folder: (folder / TABLE).is_file(), self.name)

    def listing(self, folder: Path, selection: Selection) -> Listing:
        """One item a row; id is `ecg_id`, group is `patient_id`, record is `filename_lr`."""
        label = {"abnormal": _is_abnormal, "ectopic_beats": _is_ectopic, None: None}[selection.label]
        if label is None:
            raise BenchError(
                "a PTB-XL task needs selection.label", expected="abnormal or ectopic_beats", found="nothing"
            )
        items, faults, places = [], [], []
        for place, row in read_table(folder / TABLE, COLUMNS):
            fault = path_fault(place, "filename_lr", row["filename_lr"])
            try:
                patient = str(int(float(row["patient_id"])))
                target = YES if label(row) else NO
            except (ValueError, SyntaxError) as error:
                fault = fault or Fault(place, "patient_id, scp_codes", "a number and a dictionary", str(error))
            if fault:
                faults.append(fault)
                continue
            places.append((place, row["ecg_id"]))
            items.append(
                Item(
                    row["ecg_id"],
                    patient,
                    target,
                    row["filename_lr"],
                    site=_plain(row["site"]),
                    demographics=_who(row),
                )
            )
        faults.extend(repeated_id_faults(places, "ecg_id"))
        raise_faults(folder / TABLE, faults)
        return Listing(tuple(items), rows=tuple(item.id for item in items))

    def files(self, folder: Path, record: str) -> tuple[Path, ...]:
        """Header and signal file."""
        return inside(folder, f"{record}.hea"), inside(folder, f"{record}.dat")

    def decode(self, folder: Path, record: str) -> Record:
        """`signal`, float32 (12, 1000) in millivolt, leads in the order of `LEADS`."""
        self.files(folder, record)
        return {"signal": _read_signal(folder / record)}


def read_patients(folder: Path) -> dict[str, tuple[str, str]]:
    """`ecg_id` to (patient id, record key), for data sets that refer to PTB-XL records."""
    items = PtbXl().items(folder, Selection(label="abnormal"))
    return {item.id: (item.group, item.record) for item in items}


def _is_abnormal(row: Mapping[str, str]) -> bool:
    codes = ast.literal_eval(row["scp_codes"])
    if not isinstance(codes, dict):
        raise ValueError(f"scp_codes {row['scp_codes']!r}")
    return not float(codes.get("NORM", 0.0)) > NORMAL_LIKELIHOOD


def _is_ectopic(row: Mapping[str, str]) -> bool:
    return ECTOPIC.search(row["extra_beats"]) is not None


def _plain(number: str) -> str | None:
    """A code that the table prints as a float (`1.0`), as `1`."""
    return number.removesuffix(".0") or None


def _who(row: Mapping[str, str]) -> Mapping[str, str | float]:
    # The table writes 300 for every age above 89 to protect patients; 90 keeps the order without an absurd
    # value.
    age = min(float(row["age"]), 90.0) if row["age"] else None
    sex = {"0": "M", "1": "F"}.get(_plain(row["sex"]) or "")
    return demographics(age=age, sex=sex, device=row["device"].strip(), year=row["recording_date"][:4])


def _read_signal(path: Path) -> NDArray[np.float32]:
    import wfdb

    def corrupt(expected: str, found: object) -> BenchError:
        return BenchError(
            "a record is corrupt",
            where=f"{path}.hea",
            expected=expected,
            found=found,
            fix="fetch the record again",
        )

    try:
        record = wfdb.rdrecord(str(path), physical=False)
    except (OSError, ValueError, IndexError, KeyError, TypeError, AttributeError) as error:
        # wfdb reports a damaged header by whatever its parser trips over.
        raise corrupt("a WFDB record", error) from error
    if record.d_signal is None or record.d_signal.shape != (SAMPLES, len(LEADS)) or record.fs != FREQUENCY:
        shape = None if record.d_signal is None else record.d_signal.shape
        raise corrupt(
            f"{len(LEADS)} leads of {SAMPLES} samples at {FREQUENCY} Hz",
            f"(samples, leads) {shape} at {record.fs} Hz",
        )
    names = [str(name).upper() for name in record.sig_name]
    if sorted(names) != sorted(LEADS):
        raise corrupt(f"the leads {', '.join(LEADS)}", ", ".join(names))
    units = {str(unit).lower() for unit in record.units}
    if units != {"mv"}:
        raise corrupt("signals in mV", ", ".join(sorted(units)))
    if record.checksum is not None and record.calc_checksum() != record.checksum:
        raise corrupt("samples that match the header's checksums", "other samples")
    signal = record.dac().astype(np.float32).T[[names.index(lead) for lead in LEADS]]
    if not np.isfinite(signal).all():
        raise corrupt("a value for every sample", f"{int((~np.isfinite(signal)).sum())} samples that are not a number")
    return np.ascontiguousarray(signal)
