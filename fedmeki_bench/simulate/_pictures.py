"""Images for questions and answers, and how well such questions can be answered at best."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from fedmeki_bench.simulate._latent import (
    bayes_accuracy,
    draw_labels,
    draw_latents,
    generator,
    intensity,
)
from fedmeki_bench.simulate._scans import Method, Region, Scan
from fedmeki_bench.simulate._source import Settings

__all__ = ["Picture", "best_share", "plan_pictures"]

KINDS: tuple[tuple[Region, Method], ...] = (
    ("head", "CT"),
    ("head", "MRI"),
    ("chest", "X-ray"),
    ("abdomen", "CT"),
    ("abdomen", "MRI"),
)


@dataclass(frozen=True)
class Picture:
    """One image: what it shows, and whether its lesion counts as one."""

    scan: Scan
    lesion: bool

    @property
    def side(self) -> str:
        """The half of the image that the lesion lies in: `left` or `right`."""
        return "left" if self.scan.side < 0 else "right"

    @property
    def height(self) -> str:
        """The half of the image that the lesion lies in: `upper` or `lower`."""
        return "upper" if self.scan.upper else "lower"

    @property
    def plane(self) -> str:
        """`frontal` for an X-ray, `axial` for a slice."""
        return "frontal" if self.scan.region == "chest" else "axial"


def plan_pictures(settings: Settings, source: str, count: int) -> tuple[Picture, ...]:
    """`count` images of all kinds; half of them have a lesion, which shows as strongly as its latent says."""
    rng = generator(settings.seed, source, "images")
    lesions = draw_labels(rng, count, count // 2)
    latents = draw_latents(rng, lesions, settings.signal)
    pictures = []
    for lesion, latent in zip(lesions, latents, strict=True):
        region, method = KINDS[int(rng.integers(len(KINDS)))]
        scan = Scan(region, method, intensity(latent), int(rng.choice([-1, 1])), bool(rng.random() < 0.5))
        pictures.append(Picture(scan, bool(lesion)))
    return tuple(pictures)


def best_share(answers: Iterable[bool | None], signal: float) -> float:
    """The best share of exactly right answers.

    Args:
        answers: one entry a question: whether the lesion it asks for is there, or None for a question whose
            answer is plain to see.
        signal: distance of the class means of the lesion's latent.
    """
    entries = list(answers)
    unsure = [entry for entry in entries if entry is not None]
    share = float(np.mean(unsure)) if unsure else 0.0
    certain = len(entries) - len(unsure)
    return (certain + len(unsure) * bayes_accuracy(signal, share)) / len(entries)
