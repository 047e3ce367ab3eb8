"""YAIB cohorts (van de Water 2024): intensive care stays in hourly rows, one folder a database."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from fedmeki_bench.errors import BenchError, Fault
from fedmeki_bench.sources._files import demographics, find_folder, inside, raise_faults
from fedmeki_bench.sources._types import NO, YES, Adapter, Item, Listing, Record
from fedmeki_bench.specs import Modality, Selection

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["FEATURES", "YaibMortality24", "YaibSepsis"]

FEATURES: Mapping[Modality, tuple[str, ...]] = {
    "vital_signs": ("hr", "sbp", "dbp", "map", "o2sat", "resp", "temp"),
    "lab_events": tuple(
        [
            "alb",
            "alp",
            "alt",
            "ast",
            "be",
            "bicar",
            "bili",
            "bili_dir",
            "bnd",
            "bun",
            "ca",
            "cai",
            "ck",
            "ckmb",
            "cl",
            "crea",
            "crp",
            "fgn",
            "glu",
            "hgb",
            "inr_pt",
            "k",
            "lact",
            "lymph",
            "mch",
            "mchc",
            "mcv",
            "methb",
            "mg",
            "na",
            "neut",
            "pco2",
            "ph",
            "phos",
            "plt",
            "po2",
            "ptt",
            "tnt",
            "wbc",
        ]
    ),
    "input": ("fio2",),
    "output": ("urine",),
}
"""Columns of `dyn.parquet` by modality, in the order of a decoded array's columns (48 in all)."""

HOUR_NS = 3_600_000_000_000


@dataclass(frozen=True)
class _Series:
    """All stays of one `dyn.parquet`: rows sorted by stay and hour."""

    values: NDArray[np.float32]
    bounds: Mapping[str, tuple[int, int]]


class _Yaib(Adapter):
    """What the two cohorts share: `<cohort>/[<database>/]{dyn,sta,outc}.parquet`."""

    cohort: ClassVar[str]
    modalities: ClassVar[tuple[Modality, ...]] = tuple(FEATURES)

    def find(self, root: Path) -> Path | None:
        """The cohort's folder: it holds the three tables, or one folder a database that does."""
        return find_folder(root, lambda folder: folder.name == self.cohort and bool(_databases(folder)), self.name)

    def listing(self, folder: Path, selection: Selection) -> Listing:
        """One item a stay; id, group and record are `<database>:<stay_id>`, the site is the database."""
        items: list[Item] = []
        faults: list[Fault] = []
        for name, place in _databases(folder).items():
            labels, found = _labels(place)
            people, more = _people(place)
            faults.extend([*found, *more])
            if found or more:
                continue
            series = _series(place / "dyn.parquet")
            for stay, positive in labels.items():
                if stay not in series.bounds:
                    faults.append(
                        Fault(
                            str(place / "dyn.parquet"),
                            "stay_id",
                            "hourly rows for every stay of outc.parquet",
                            f"none for {stay}",
                        )
                    )
                    continue
                key = f"{name}:{stay}"
                items.append(Item(key, key, YES if positive else NO, key, site=name, demographics=people.get(stay, {})))
        raise_faults(folder, faults)
        return Listing(tuple(items))

    def files(self, folder: Path, record: str) -> tuple[Path, ...]:
        """The database's `dyn.parquet`, which holds all its stays."""
        return (self._database(folder, record) / "dyn.parquet",)

    def decode(self, folder: Path, record: str) -> Record:
        """Four modalities, float32 (hours, features), every hour of the stay; NaN where nothing was
        measured.
        """
        path = self.files(folder, record)[0]
        series = _series(path)
        first, last = series.bounds[record.partition(":")[2]]
        rows = series.values[first:last]
        if np.isinf(rows).any():
            raise BenchError(
                "a record is corrupt",
                where=f"{path}: stay {record}",
                expected="finite values or none",
                found="infinity",
            )
        arrays: dict[Modality, NDArray[np.float32]] = {}
        column = 0
        for modality, features in FEATURES.items():
            arrays[modality] = np.ascontiguousarray(rows[:, column : column + len(features)])
            column += len(features)
        return arrays

    def _database(self, folder: Path, record: str) -> Path:
        database = record.partition(":")[0]
        return inside(folder, database) if (folder / database).is_dir() else folder


class YaibMortality24(_Yaib):
    """Stays of at least a day, labelled by death in the unit (one label a stay)."""

    name: ClassVar[str] = "yaib_mortality24"
    record_source: ClassVar[str] = "yaib_mortality24"
    cohort: ClassVar[str] = "mortality24"
    layout: ClassVar[str] = "mortality24/[<database>/]{dyn,sta,outc}.parquet"


class YaibSepsis(_Yaib):
    """Stays labelled by the hour; a stay is positive if any of its hours is."""

    name: ClassVar[str] = "yaib_sepsis"
    record_source: ClassVar[str] = "yaib_sepsis"
    cohort: ClassVar[str] = "sepsis"
    layout: ClassVar[str] = "sepsis/[<database>/]{dyn,sta,outc}.parquet"


def _databases(folder: Path) -> dict[str, Path]:
    """Folders that hold the tables, by database name; the cohort's own folder stands under its own name."""
    tables = [file for file in ("dyn.parquet", "outc.parquet") if (folder / file).is_file()]
    if tables:
        return {folder.name: folder}
    children = [child for child in sorted(folder.iterdir()) if child.is_dir()]
    return {child.name: child for child in children if (child / "dyn.parquet").is_file()}


def _read(path: Path, columns: tuple[str, ...]) -> pd.DataFrame:
    """The columns of a parquet file; a stay is known by its id as text."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        names = pq.read_schema(path).names
        raise_faults(
            path,
            [Fault(str(path), name, "a column of this name", "none") for name in columns if name not in names],
        )
        frame: pd.DataFrame = pq.read_table(path, columns=list(columns)).to_pandas()
    except (OSError, pa.ArrowException) as error:
        raise BenchError(
            "cannot read a parquet file", where=path, found=error, fix="extract the cohort again"
        ) from error
    if frame.empty:
        raise_faults(path, [Fault(str(path), "", "at least one row", "an empty table")])
    frame["stay_id"] = frame["stay_id"].astype(str)
    return frame


def _labels(place: Path) -> tuple[dict[str, bool], list[Fault]]:
    path = place / "outc.parquet"
    frame = _read(path, ("stay_id", "label"))
    faults = []
    if frame["label"].isna().any():
        faults.append(
            Fault(str(path), "label", "a label in every row", f"{int(frame['label'].isna().sum())} rows without")
        )
    elif not frame["label"].astype(float).isin([0.0, 1.0]).all():
        faults.append(Fault(str(path), "label", "0 or 1", str(sorted(frame["label"].unique())[:5])))
    hourly = "time" in _columns(path)
    repeated = frame["stay_id"][frame["stay_id"].duplicated()].unique()
    if not hourly and len(repeated):
        faults.append(
            Fault(str(path), "stay_id", "one row a stay", f"{len(repeated)} stays twice, first {repeated[0]}")
        )
    if faults:
        return {}, faults
    positive = frame["label"].astype(bool).groupby(frame["stay_id"]).any()
    return {str(stay): bool(value) for stay, value in positive.items()}, []


def _columns(path: Path) -> list[str]:
    import pyarrow.parquet as pq

    return list(pq.read_schema(path).names)


def _people(place: Path) -> tuple[dict[str, Mapping[str, str | float]], list[Fault]]:
    path = place / "sta.parquet"
    frame = _read(path, ("stay_id", "age", "sex"))
    repeated = frame["stay_id"][frame["stay_id"].duplicated()]
    if len(repeated):
        return {}, [
            Fault(str(path), "stay_id", "one row a stay", f"{len(repeated)} repeated, first {repeated.iloc[0]}")
        ]
    sex = {"male": "M", "m": "M", "female": "F", "f": "F"}
    rows = zip(frame["stay_id"], frame["age"], frame["sex"], strict=True)
    return {stay: demographics(age=_number(age), sex=sex.get(str(word).lower())) for stay, age, word in rows}, []


def _number(value: Any) -> float | None:
    return None if value is None or np.isnan(value) else float(value)


def _series(path: Path) -> _Series:
    """A `dyn.parquet`, read once a process as long as the file does not change."""
    try:
        state = path.stat()
    except OSError as error:
        raise BenchError("cannot read a parquet file", where=path, found=error) from error
    return _load_series(path, state.st_mtime_ns, state.st_size)


# Two: mortality and sepsis cohorts of one database are prepared one after the other; more would only hold
# memory.
@lru_cache(maxsize=2)
def _load_series(path: Path, modified_ns: int, size: int) -> _Series:
    names = [feature for features in FEATURES.values() for feature in features]
    frame = _read(path, ("stay_id", "time", *names)).sort_values(["stay_id", "time"], kind="stable")
    hours = frame["time"].to_numpy().astype("timedelta64[ns]").astype(np.int64) / HOUR_NS
    stays = frame["stay_id"].to_numpy()
    starts = np.flatnonzero(np.r_[True, stays[1:] != stays[:-1]])
    ends = np.r_[starts[1:], len(stays)]
    order = np.arange(len(stays)) - np.repeat(starts, ends - starts)
    wrong = np.flatnonzero(hours != order)
    if len(wrong):
        first = wrong[0]
        raise_faults(
            path,
            [
                Fault(
                    f"{path}: stay {stays[first]}",
                    "time",
                    f"one row an hour from hour 0, so hour {order[first]}",
                    f"hour {hours[first]:g}",
                )
            ],
        )
    values = frame[names].to_numpy(dtype=np.float32)
    bounds = {str(stays[first]): (int(first), int(last)) for first, last in zip(starts, ends, strict=True)}
    return _Series(values, bounds)
