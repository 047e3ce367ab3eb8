"""What each simulated PTB-XL record shows, and what its row of the table says about it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from fedmeki_bench.simulate._latent import draw_labels, draw_latents, generator, intensity
from fedmeki_bench.simulate._source import Settings, scaled_positives

__all__ = ["FAULTS", "RecordingFault", "Records", "plan_records"]

PAPER_RECORDS = 21799
RECORDS_AN_ITEM, MORE_RECORDS = 2, 60
"""At a given size N there are 2 N records, or N + 60 if that is more: the two zero-shot tasks may only use
the tenth that EAD tests on, and need some there."""

ABNORMAL = 0.59
PAPER_ECTOPIC, SMALL_ECTOPIC = 0.0799, 0.4
"""Share of records with an ES code: the real one, and that of small corpora, which would else test none."""

TRAP, OTHER = 94 / 21837, 116 / 21837
"""Share of rows whose `extra_beats` holds the letters "es" only in the German word "alles", or not at all."""

ECTOPIC_CODES = {
    "1ES": 409, "SVES": 381, "2ES": 179, "VES": 159, "VES1,alles": 151, "3ES": 81, "VES2,alles": 70,
    "ES": 42, "VES3,alles": 40, "4ES": 29, "VES,SVES": 28, "VES4,alles": 20, "5ES": 16, "VES,SVES1,alles": 14,
    "3VES": 10, "1VES": 9, "SVES1,alles": 8, "1ES,SVES": 7, "1Es": 2,
}  # fmt: skip
TRAP_CODES = {"1,alles": 61, "2,alles": 17, "3,alles": 9}
OTHER_CODES = {"1,V1": 16, "1,I-AVF": 8, "1,V3": 7}
"""Forms of the column and how often each stands in the real table."""

MOST_BEATS = 3

FAULTS = {
    "baseline_drift": (0.074, 0.2),
    "static_noise": (0.149, 0.25),
    "burst_noise": (0.028, 0.2),
    "electrodes_problems": (0.0014, 0.1),
}
"""Recording faults: the real share of records that have one, and the share in small corpora."""

LEAD_SETS = {
    "alles": range(12), "I-AVF": range(6), "I-AVR": range(4), "I-V1": range(7), "II,III,AVF": (1, 2, 5),
    "I,III,AVL": (0, 2, 4), "I,II": (0, 1), "II": (1,), "III": (2,), "AVR": (3,), "V1": (6,), "V2": (7,),
    "V3": (8,), "V4": (9,), "V5": (10,), "V6": (11,), "v6": (11,), "V1,V2": (6, 7), "V5,V6": (10, 11),
    "V4-V6": (9, 10, 11),
}  # fmt: skip
"""How the table writes a set of leads, and which leads these are."""

PATIENT_RECORDS = (16758, 1604, 348, 103, 43, 16, 5, 4, 3, 1)
"""Real patients with 1, 2, ... 10 records."""


@dataclass(frozen=True)
class RecordingFault:
    """One kind of fault in one record.

    Attributes:
        kind: column of the table.
        present: the label.
        written: the leads as the table writes them.
        leads: indexes of the leads that show it, if only faintly.
        strength: how strongly they do, 0 to 1.
    """

    kind: str
    present: bool
    written: str
    leads: tuple[int, ...]
    strength: float


@dataclass(frozen=True)
class Records:
    """All records; record i has `ecg_id` i + 1.

    Attributes:
        patients: patient number of each record.
        abnormal, ectopic: labels.
        abnormal_strength, ectopic_strength: how strongly they show, 0 to 1.
        ectopic_beats: extra beats in the record (faint ones if the label is false).
        extra_beats: text of the column, empty if the row has none.
        faults: the four recording faults of each record.
    """

    patients: NDArray[np.intp]
    abnormal: NDArray[np.bool_]
    ectopic: NDArray[np.bool_]
    abnormal_strength: NDArray[np.float64]
    ectopic_strength: NDArray[np.float64]
    ectopic_beats: tuple[int, ...]
    extra_beats: tuple[str, ...]
    faults: tuple[tuple[RecordingFault, ...], ...]

    def __len__(self) -> int:
        return len(self.patients)


@lru_cache(maxsize=2)
def plan_records(settings: Settings) -> Records:
    """Every record of a simulated PTB-XL; the same in every process."""
    paper = settings.size is None
    size = settings.size
    count = PAPER_RECORDS if size is None else max(RECORDS_AN_ITEM * size, size + MORE_RECORDS)
    rng = generator(settings.seed, "ptb_xl", "plan")
    patients = _patients(rng, count)
    abnormal = draw_labels(rng, count, scaled_positives(count, ABNORMAL))
    ectopic = draw_labels(rng, count, scaled_positives(count, PAPER_ECTOPIC if paper else SMALL_ECTOPIC))
    texts = _extra_beats(rng, ectopic)
    kinds = [
        _faults(rng, kind, count, real if paper else small, settings.signal) for kind, (real, small) in FAULTS.items()
    ]
    return Records(
        patients,
        abnormal,
        ectopic,
        _strengths(draw_latents(rng, abnormal, settings.signal)),
        _strengths(draw_latents(rng, ectopic, settings.signal)),
        tuple(_beats(text) if shown else 1 for text, shown in zip(texts, ectopic, strict=True)),
        tuple(texts),
        tuple(zip(*kinds, strict=True)),
    )


def _patients(rng: np.random.Generator, records: int) -> NDArray[np.intp]:
    share = np.array(PATIENT_RECORDS) / sum(PATIENT_RECORDS)
    # The first patient has two records whatever the draw: a corpus without repeats could not show a leak.
    sizes = [2, *(1 + rng.choice(len(share), size=records, p=share))]
    return rng.permutation(np.repeat(np.arange(len(sizes)), sizes)[:records]).astype(np.intp)


def _extra_beats(rng: np.random.Generator, ectopic: NDArray[np.bool_]) -> list[str]:
    count = len(ectopic)
    others = rng.permutation(np.flatnonzero(~ectopic))
    traps, rest = max(1, round(TRAP * count)), max(1, round(OTHER * count))
    texts = [""] * count
    places = [
        (np.flatnonzero(ectopic), ECTOPIC_CODES),
        (others[:traps], TRAP_CODES),
        (others[traps : traps + rest], OTHER_CODES),
    ]
    for rows, codes in places:
        share = np.array(list(codes.values())) / sum(codes.values())
        for row, code in zip(rows, rng.choice(len(codes), size=len(rows), p=share), strict=True):
            texts[row] = list(codes)[code]
    return texts


def _beats(text: str) -> int:
    digits = [int(letter) for letter in text if letter.isdigit()]
    return min(digits[0], MOST_BEATS) if digits else 1


def _faults(rng: np.random.Generator, kind: str, count: int, share: float, signal: float) -> list[RecordingFault]:
    present = draw_labels(rng, count, max(1, round(share * count)))
    strengths = _strengths(draw_latents(rng, present, signal))
    written = [list(LEAD_SETS)[index] for index in rng.integers(len(LEAD_SETS), size=count)]
    return [
        RecordingFault(kind, bool(label), text, tuple(LEAD_SETS[text]), float(strength))
        for label, text, strength in zip(present, written, strengths, strict=True)
    ]


def _strengths(latents: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.array([intensity(latent) for latent in latents])
