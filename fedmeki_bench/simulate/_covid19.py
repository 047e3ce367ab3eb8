"""COVID-19 Radiography Database: PNG images, 299 x 299, one folder a class."""

from __future__ import annotations

import io
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import ClassVar

import numpy as np
from PIL import Image

from fedmeki_bench.simulate._chest import Chest, Opacity, draw_chest
from fedmeki_bench.simulate._files import write_record
from fedmeki_bench.simulate._latent import draw_latents, generator, intensity
from fedmeki_bench.simulate._source import (
    Settings,
    SourceSimulator,
    TaskTruth,
    scaled_positives,
    yes_no_truth,
)

__all__ = ["Covid19Simulator"]

SIDE = 299
PAPER_POSITIVES, PAPER_NEGATIVES = 3616, 10192


class Covid19Simulator(SourceSimulator):
    """`COVID/images/COVID-N.png`, `Normal/images/Normal-N.png`: patches at the lungs' edges, or faint."""

    source: ClassVar[str] = "covid19_radiography"
    folder: ClassVar[str] = "COVID-19_Radiography_Dataset"

    def units(self) -> int:
        """One an image; the positive ones come first."""
        return sum(_counts(self.settings))

    def write_unit(self, folder: Path, unit: int) -> None:
        """One image."""
        positives, _ = _counts(self.settings)
        name = (
            f"COVID/images/COVID-{unit + 1}.png"
            if unit < positives
            else f"Normal/images/Normal-{unit - positives + 1}.png"
        )
        rng = generator(self.settings.seed, self.source, unit)
        strength = intensity(_latents(self.settings)[unit])
        chest = Chest(opacities=[_peripheral(rng, side, low, strength) for side in (-1, 1) for low in (0.15, 0.35)])
        buffer = io.BytesIO()
        Image.fromarray(draw_chest(rng, chest, SIDE, SIDE)).save(buffer, "PNG", compress_level=6)
        write_record(folder / name, buffer.getvalue())

    def write_tables(self, folder: Path) -> None:
        """Nothing: the label is the folder."""

    def truths(self) -> Sequence[TaskTruth]:
        """COVID-19 detection."""
        positives, negatives = _counts(self.settings)
        total = positives + negatives
        return [yes_no_truth("covid_detection", self.source, total, positives, self.settings.signal)]


def _peripheral(rng: np.random.Generator, side: int, low: float, strength: float) -> Opacity:
    x, y = side * rng.normal(0.52, 0.04), rng.normal(low, 0.06)
    return Opacity(x, y, rng.uniform(0.14, 0.2), rng.uniform(0.14, 0.22), strength)


def _counts(settings: Settings) -> tuple[int, int]:
    if settings.size is None:
        return PAPER_POSITIVES, PAPER_NEGATIVES
    positives = scaled_positives(settings.size, PAPER_POSITIVES / (PAPER_POSITIVES + PAPER_NEGATIVES))
    return positives, settings.size - positives


@lru_cache(maxsize=2)
def _latents(settings: Settings) -> tuple[float, ...]:
    positives, negatives = _counts(settings)
    labels = np.arange(positives + negatives) < positives
    rng = generator(settings.seed, Covid19Simulator.source, "latents")
    return tuple(draw_latents(rng, labels, settings.signal).tolist())
