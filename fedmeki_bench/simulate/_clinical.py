"""Hourly series of one intensive care stay: how values vary, how often they are taken, what moves them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["COLUMNS", "LONGEST", "draw_series"]

LONGEST = 169
"""Hourly rows of the longest stay: a week, both ends counted."""


class Feature(NamedTuple):
    """One column of `dyn.parquet`.

    Attributes:
        median, spread: centre and half the width of the middle two thirds, in the source's unit.
        low, high: physical limits; values are clipped to them.
        measured: share of hours with a value, over all stays of the open demo cohorts (rounded).
        decimals: decimals written.
    """

    median: float
    spread: float
    low: float
    high: float
    measured: float
    decimals: int


FEATURES: Mapping[str, Feature] = {
    "alb": Feature(2.8, 0.7, 0.9, 5.5, 0.025, 1),
    "alp": Feature(80, 45, 20, 1000, 0.022, 0),
    "alt": Feature(30, 36, 5, 7000, 0.023, 0),
    "ast": Feature(35, 53, 5, 14000, 0.023, 0),
    "be": Feature(-0.6, 6.3, -25, 25, 0.029, 1),
    "bicar": Feature(24, 4.5, 5, 48, 0.062, 0),
    "bili": Feature(0.6, 0.65, 0.1, 35, 0.022, 1),
    "bili_dir": Feature(0.4, 1.1, 0.1, 22, 0.003, 1),
    "bnd": Feature(8, 10, 0, 96, 0.005, 0),
    "bun": Feature(22, 17, 2, 200, 0.065, 0),
    "ca": Feature(8.2, 0.7, 4.9, 13.5, 0.063, 1),
    "cai": Feature(1.12, 0.09, 0.7, 1.4, 0.004, 2),
    "ck": Feature(185, 800, 10, 90000, 0.012, 0),
    "ckmb": Feature(6, 12.5, 0.4, 950, 0.009, 1),
    "cl": Feature(105, 6, 80, 130, 0.065, 0),
    "crea": Feature(1.1, 0.8, 0.2, 15, 0.065, 2),
    "crp": Feature(166, 160, 4, 3500, 0.001, 0),
    "dbp": Feature(62, 14, 10, 190, 0.88, 0),
    "fgn": Feature(280, 157, 37, 1250, 0.003, 0),
    "fio2": Feature(40, 20, 21, 100, 0.12, 0),
    "glu": Feature(137, 55, 10, 970, 0.18, 0),
    "hgb": Feature(10.3, 2.3, 4, 18, 0.063, 1),
    "hr": Feature(84, 19, 20, 190, 0.95, 0),
    "inr_pt": Feature(1.3, 0.6, 0.9, 10, 0.022, 1),
    "k": Feature(4, 0.6, 2.3, 7.7, 0.074, 1),
    "lact": Feature(1.8, 1.45, 0.4, 28, 0.021, 1),
    "lymph": Feature(9, 8, 0, 100, 0.03, 1),
    "map": Feature(79, 15, 15, 200, 0.88, 0),
    "mch": Feature(30, 2.3, 17, 42, 0.051, 1),
    "mchc": Feature(33, 1.35, 25, 39, 0.052, 1),
    "mcv": Feature(90, 6.2, 60, 125, 0.052, 1),
    "methb": Feature(0.4, 0.35, 0, 1.8, 0.008, 1),
    "mg": Feature(2, 0.38, 0.7, 4.7, 0.037, 1),
    "na": Feature(139, 5, 112, 165, 0.07, 0),
    "neut": Feature(80, 12.5, 0, 98, 0.027, 1),
    "o2sat": Feature(97, 3, 50, 100, 0.89, 0),
    "pco2": Feature(40, 11.5, 11, 120, 0.035, 0),
    "ph": Feature(7.37, 0.1, 6.8, 7.7, 0.035, 2),
    "phos": Feature(3.2, 1.3, 0.2, 12.5, 0.023, 1),
    "plt": Feature(186, 84, 6, 700, 0.053, 0),
    "po2": Feature(99, 55, 40, 530, 0.035, 0),
    "ptt": Feature(36, 18, 20, 185, 0.018, 1),
    "resp": Feature(19, 5.2, 4, 60, 0.85, 0),
    "sbp": Feature(117, 22, 30, 250, 0.88, 0),
    "temp": Feature(36.8, 0.6, 32, 41, 0.29, 1),
    "tnt": Feature(0.1, 0.32, 0.01, 13, 0.004, 2),
    "urine": Feature(100, 185, 0, 3600, 0.24, 0),
    "wbc": Feature(10.8, 5.7, 0.1, 470, 0.053, 1),
}

COLUMNS = tuple(FEATURES)
"""Measurement columns of `dyn.parquet`, in the file's order."""

DYING: Mapping[str, float] = {
    "map": -1.0, "sbp": -0.9, "dbp": -0.6, "o2sat": -0.8, "resp": 0.7, "hr": 0.5, "fio2": 1.0, "lact": 1.3,
    "bun": 1.0, "crea": 1.0, "bicar": -1.0, "ph": -1.0, "urine": -1.0,
}  # fmt: skip
"""How much a failing circulation, lungs and kidneys move each feature, relative to the strongest effects."""

SEPTIC: Mapping[str, float] = {
    "temp": 1.2, "hr": 1.2, "resp": 1.0, "wbc": 1.2, "neut": 0.8, "bnd": 1.0, "map": -0.6, "sbp": -0.5,
    "dbp": -0.5, "lact": 0.6, "plt": -0.7, "crp": 1.2,
}  # fmt: skip
"""The same for sepsis. It shares what failing circulation does, and differs by fever and white cells."""

GAIN = 2.5
"""Spreads that separate intensities 0 and 1 in a feature of weight 1."""

SKEWED = 0.42
"""Features whose spread is above this share of their median are spread on a logarithmic scale."""


def draw_series(rng: np.random.Generator, mortality: float, sepsis: float) -> NDArray[np.float64]:
    """A stay's whole week: (169, 48), NaN where nothing was measured.

    Args:
        rng: the stay's own generator.
        mortality, sepsis: intensities of the two findings, 0 to 1.
    """
    table, dying, septic = _tables()
    shift = GAIN * ((mortality - 0.5) * dying + (sepsis - 0.5) * septic)
    level = 0.35 * rng.standard_normal(len(COLUMNS))
    drift = _wander(0.6 * rng.standard_normal((LONGEST, len(COLUMNS))))
    score = shift + level + drift
    median, spread, low, high = table[:, 0], table[:, 1], table[:, 2], table[:, 3]
    skewed = (spread > SKEWED * np.abs(median)) & (median > 0)
    scale = np.log1p(spread / np.abs(median))
    values = np.where(skewed, median * np.exp(score * scale), median + spread * score).clip(low, high)
    tens = 10.0 ** table[:, 5]
    values = np.rint(values * tens) / tens
    values[~_measured(rng, table[:, 4])] = np.nan
    return np.asarray(values)


def _wander(noise: NDArray[np.float64]) -> NDArray[np.float64]:
    """First-order autoregression over hours, started in its stationary state."""
    keep = 0.8
    series = noise.copy()
    for hour in range(1, len(series)):
        series[hour] = keep * series[hour - 1] + np.sqrt(1 - keep**2) * noise[hour]
    return series


def _measured(rng: np.random.Generator, share: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which values exist: blood is drawn at few hours for many tests at once, bedside values come singly."""
    hours, own = rng.random((LONGEST, 1)), rng.random((LONGEST, len(share)))
    # A uniform common to the hour bundles blood tests; one in four is ordered by itself, so that no two
    # columns are measured at exactly the same hours. Either way the chance of a value is `share`.
    bundled = (rng.random((LONGEST, len(share))) < 0.75) & (share < 0.2)
    return np.asarray(np.where(bundled, hours, own) < share)


@lru_cache(maxsize=1)
def _tables() -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    table = np.array(list(FEATURES.values()), dtype=np.float64)
    return (
        table,
        np.array([DYING.get(name, 0.0) for name in COLUMNS]),
        np.array([SEPTIC.get(name, 0.0) for name in COLUMNS]),
    )
