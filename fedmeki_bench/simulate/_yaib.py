"""YAIB cohorts: hourly rows of intensive care stays in parquet, a folder a database, some stays in both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from fedmeki_bench.simulate._clinical import COLUMNS, LONGEST, draw_series
from fedmeki_bench.simulate._files import write_csv
from fedmeki_bench.simulate._latent import draw_labels, draw_latents, generator, intensity
from fedmeki_bench.simulate._source import (
    Settings,
    SourceSimulator,
    TaskTruth,
    scaled_positives,
    yes_no_truth,
)

__all__ = ["YaibMortality24Simulator", "YaibSepsisSimulator"]

PAPER_STAYS = 38129
PAPER_SEPSIS_STAYS = 12000
MORTALITY, SEPSIS = 0.0844, 0.029
MORTALITY_ROWS = 25
"""Hourly rows a stay of mortality24: hours 0 to 24, as YAIB writes them."""

SHORTEST_SEPSIS = 13
WINDOW = 6
"""Hours before and after the onset that YAIB labels as sepsis."""

BLOCK = 256
"""Stays a unit of work writes, and a row group holds."""

DATABASES = ("mimic_simulated", "eicu_simulated")
FIRST_IDS = (200001, 140001)
EICU_SHARE = 0.2

DYN = pa.schema([("stay_id", pa.int32()), ("time", pa.duration("s")), *((name, pa.float64()) for name in COLUMNS)])
STA = pa.schema(
    [
        ("stay_id", pa.int32()),
        ("age", pa.float64()),
        ("sex", pa.string()),
        ("height", pa.float64()),
        ("weight", pa.float64()),
    ]
)
ONE_LABEL = pa.schema([("stay_id", pa.int32()), ("label", pa.int32())])
HOURLY_LABEL = pa.schema([("stay_id", pa.int32()), ("time", pa.duration("s")), ("label", pa.bool_())])


@dataclass(frozen=True)
class _Stays:
    """Every stay of either cohort; stay numbers index the arrays.

    Attributes:
        mortality, sepsis: stay numbers of each cohort; the end of the first is the beginning of the second.
        eicu: whether a stay is in the second database.
        dies, septic: labels.
        z_mortality, z_sepsis: their latents.
    """

    mortality: range
    sepsis: range
    eicu: NDArray[np.bool_]
    dies: NDArray[np.bool_]
    septic: NDArray[np.bool_]
    z_mortality: NDArray[np.float64]
    z_sepsis: NDArray[np.float64]


@lru_cache(maxsize=2)
def _stays(settings: Settings) -> _Stays:
    first, second = (PAPER_STAYS, PAPER_SEPSIS_STAYS) if settings.size is None else (settings.size, settings.size)
    # Half the sepsis cohort is in mortality24 too: zero-shot sets must leave out what was trained on.
    shared = second // 2
    alone = second - shared
    rng = generator(settings.seed, "yaib", "labels")
    dies = np.r_[_labels(rng, first, MORTALITY), _labels(rng, alone, MORTALITY)]
    # The septic are spread evenly over both halves, so that a small cohort keeps some for the test.
    positives = scaled_positives(second, SEPSIS)
    septic = np.r_[
        _labels(rng, first - shared, SEPSIS),
        draw_labels(rng, shared, positives // 2),
        draw_labels(rng, alone, positives - positives // 2),
    ]
    segments = (first - shared, shared, alone)
    return _Stays(
        range(first),
        range(first - shared, first + alone),
        np.concatenate([draw_labels(rng, stays, max(1, round(EICU_SHARE * stays))) for stays in segments]),
        dies,
        septic,
        draw_latents(rng, dies, settings.signal),
        draw_latents(rng, septic, settings.signal),
    )


def _labels(rng: np.random.Generator, items: int, prevalence: float) -> NDArray[np.bool_]:
    return draw_labels(rng, items, scaled_positives(items, prevalence))


class _YaibSimulator(SourceSimulator):
    """What the two cohorts share: a stay's people data and series are the same in both."""

    task: ClassVar[str]

    def cohort(self) -> range:
        """Stay numbers of the cohort."""
        raise NotImplementedError

    def hours(self, stay: int) -> int:
        """Hourly rows of a stay in this cohort."""
        raise NotImplementedError

    def positive(self) -> NDArray[np.bool_]:
        """Labels of the cohort's stays, in order."""
        raise NotImplementedError

    def outcomes(self, stays: Sequence[int]) -> pa.Table:
        """`outc.parquet` of the given stays."""
        raise NotImplementedError

    def units(self) -> int:
        """Blocks of stays."""
        return sum(len(range(0, len(stays), BLOCK)) for stays in self._by_database())

    def write_unit(self, folder: Path, unit: int) -> None:
        """The hourly rows of one block, in a part file that `write_tables` gathers."""
        database, block = self._block(unit)
        stays = self._by_database()[database][block * BLOCK : (block + 1) * BLOCK]
        plan = _stays(self.settings)
        series = []
        for stay in stays:
            rng = generator(self.settings.seed, "yaib", "series", stay)
            values = draw_series(rng, intensity(plan.z_mortality[stay]), intensity(plan.z_sepsis[stay]))
            series.append(values[: self.hours(stay)])
        values = np.concatenate(series)
        hours = [len(rows) for rows in series]
        ids = np.repeat([_stay_id(self.settings, stay) for stay in stays], hours)
        measured = [pa.array(values[:, column], from_pandas=True) for column in range(len(COLUMNS))]
        table = pa.Table.from_arrays([pa.array(ids, pa.int32()), _clock(hours), *measured], schema=DYN)
        part = folder / DATABASES[database] / f"dyn.part-{block:05d}"
        part.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, part)

    def write_tables(self, folder: Path) -> None:
        """`dyn`, `sta` and `outc.parquet` and `attrition.csv` of each database."""
        for name, stays in zip(DATABASES, self._by_database(), strict=True):
            place = folder / name
            parts = sorted(place.glob("dyn.part-*"))
            with pq.ParquetWriter(place / "dyn.parquet", DYN) as writer:
                for part in parts:
                    writer.write_table(pq.read_table(part))
            for part in parts:
                part.unlink()
            pq.write_table(self._people(stays), place / "sta.parquet")
            pq.write_table(self.outcomes(stays), place / "outc.parquet")
            excluded = len(stays) // 3
            steps = [{"incl_n": len(stays), "excl_n_total": excluded, "excl_n": excluded}]
            write_csv(place / "attrition.csv", ("incl_n", "excl_n_total", "excl_n"), steps)

    def truths(self) -> Sequence[TaskTruth]:
        """The cohort's task; one item a stay."""
        positives = int(self.positive().sum())
        return [yes_no_truth(self.task, self.source, len(self.cohort()), positives, self.settings.signal)]

    def _by_database(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        return _split(self.settings, self.cohort())

    def _block(self, unit: int) -> tuple[int, int]:
        blocks = len(range(0, len(self._by_database()[0]), BLOCK))
        return (0, unit) if unit < blocks else (1, unit - blocks)

    def _people(self, stays: Sequence[int]) -> pa.Table:
        rows = [_person(self.settings, stay) for stay in stays]
        return pa.Table.from_pylist(rows, schema=STA)


class YaibMortality24Simulator(_YaibSimulator):
    """`mortality24/<database>/`: 25 hourly rows and one label a stay."""

    source: ClassVar[str] = "yaib_mortality24"
    folder: ClassVar[str] = "yaib/mortality24"
    task: ClassVar[str] = "mortality_prediction"

    def cohort(self) -> range:
        """Stays of at least a day."""
        return _stays(self.settings).mortality

    def hours(self, stay: int) -> int:
        """Always 25."""
        return MORTALITY_ROWS

    def positive(self) -> NDArray[np.bool_]:
        """Whether each stay's patient dies."""
        return _stays(self.settings).dies[: len(self.cohort())]

    def outcomes(self, stays: Sequence[int]) -> pa.Table:
        """One row a stay."""
        dies = _stays(self.settings).dies
        ids = [_stay_id(self.settings, stay) for stay in stays]
        return pa.table({"stay_id": ids, "label": [int(dies[stay]) for stay in stays]}, schema=ONE_LABEL)


class YaibSepsisSimulator(_YaibSimulator):
    """`sepsis/<database>/`: up to a week of hourly rows, and a label an hour."""

    source: ClassVar[str] = "yaib_sepsis"
    folder: ClassVar[str] = "yaib/sepsis"
    task: ClassVar[str] = "sepsis_prediction"

    def cohort(self) -> range:
        """Half of them are in mortality24 too."""
        return _stays(self.settings).sepsis

    def hours(self, stay: int) -> int:
        """Half a day to a week; a stay of mortality24 lasts its 25 hours at least."""
        shortest = MORTALITY_ROWS if stay in _stays(self.settings).mortality else SHORTEST_SEPSIS
        length = generator(self.settings.seed, "yaib", "length", stay).lognormal(3.5, 0.8)
        return int(np.clip(length, shortest, LONGEST))

    def positive(self) -> NDArray[np.bool_]:
        """Whether each stay has a septic hour."""
        cohort = self.cohort()
        return _stays(self.settings).septic[cohort.start : cohort.stop]

    def outcomes(self, stays: Sequence[int]) -> pa.Table:
        """One row an hour; true around the onset."""
        septic = _stays(self.settings).septic
        hours = [self.hours(stay) for stay in stays]
        labels = []
        for stay, length in zip(stays, hours, strict=True):
            onset = generator(self.settings.seed, "yaib", "onset", stay).integers(WINDOW, length)
            labels.append(septic[stay] & (np.abs(np.arange(length) - onset) <= WINDOW))
        ids = np.repeat([_stay_id(self.settings, stay) for stay in stays], hours)
        return pa.table(
            [pa.array(ids, pa.int32()), _clock(hours), pa.array(np.concatenate(labels))], schema=HOURLY_LABEL
        )


def _clock(hours: Sequence[int]) -> pa.Array:
    seconds = np.concatenate([3600 * np.arange(length, dtype=np.int64) for length in hours])
    return pa.array(seconds, pa.int64()).cast(pa.duration("s"))


@lru_cache(maxsize=4)
def _split(settings: Settings, cohort: range) -> tuple[tuple[int, ...], tuple[int, ...]]:
    eicu = _stays(settings).eicu
    return tuple(stay for stay in cohort if not eicu[stay]), tuple(stay for stay in cohort if eicu[stay])


def _stay_id(settings: Settings, stay: int) -> int:
    return FIRST_IDS[int(_stays(settings).eicu[stay])] + 3 * stay


def _person(settings: Settings, stay: int) -> dict[str, object]:
    rng = generator(settings.seed, "yaib", "person", stay)
    male = bool(rng.random() < 0.55)
    height, weight = rng.normal(176 if male else 163, 8), rng.normal(86 if male else 74, 18)
    return {
        "stay_id": _stay_id(settings, stay),
        "age": round(float(np.clip(rng.normal(64, 15), 18, 90)), 1),
        "sex": "Male" if male else "Female",
        "height": round(float(height), 1) if rng.random() > 0.1 else None,
        "weight": round(float(np.clip(weight, 35, 220)), 1) if rng.random() > 0.05 else None,
    }
