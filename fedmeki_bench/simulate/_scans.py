"""Radiology images of three regions of the body for questions and answers; each shows a few plain things."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fedmeki_bench.simulate._chest import Chest, Opacity, disc, draw_chest, placed, smooth_noise

__all__ = ["Method", "Region", "Scan", "as_jpeg", "draw_scan"]

Region = Literal["head", "chest", "abdomen"]
Method = Literal["CT", "MRI", "X-ray"]

BRIGHT: dict[str, tuple[float, float, float]] = {"CT": (0.85, 0.42, 0.18), "MRI": (0.12, 0.55, 0.08)}
"""Brightness of bone, soft tissue and fluid: bone is white in CT and nearly black in MRI."""


@dataclass(frozen=True)
class Scan:
    """One image.

    Attributes:
        region: part of the body.
        method: chest images are X-rays, the others CT or MRI.
        lesion: how strongly a lesion shows, 0 to 1.
        side: the half of the image it lies in, -1 left, 1 right.
        upper: whether it lies in the upper half.
    """

    region: Region
    method: Method
    lesion: float
    side: int
    upper: bool


def draw_scan(rng: np.random.Generator, scan: Scan, height: int, width: int) -> NDArray[np.uint8]:
    """Grey image (height, width), uint8."""
    where_x, where_y = (
        scan.side * rng.uniform(0.36, 0.46),
        (-1 if scan.upper else 1) * rng.uniform(0.16, 0.28),
    )
    if scan.region == "chest":
        spot = Opacity(where_x, where_y - 0.1, 0.2, 0.2, scan.lesion)
        return draw_chest(rng, Chest(opacities=[spot]), height, width)
    x, y = placed(rng, height, width)
    bone, tissue, fluid = BRIGHT[scan.method]
    image = _head(x, y, bone, tissue, fluid) if scan.region == "head" else _abdomen(x, y, bone, tissue, fluid)
    inside = disc(x, y, 0, 0, 0.72, 0.85)
    image += 0.45 * scan.lesion * np.exp(-(((x - where_x) / 0.13) ** 2) - ((y - where_y) / 0.13) ** 2) * inside
    image += 0.04 * smooth_noise(rng, height, width, 16) * inside
    image += rng.normal(0, 0.012, image.shape).astype(np.float32)
    return np.asarray(np.rint(255 * image.clip(0, 1)), dtype=np.uint8)


def as_jpeg(pixels: NDArray[np.uint8], *, colour: bool) -> bytes:
    """A JPEG file of a grey image, in three equal channels if `colour`."""
    image = Image.fromarray(pixels)
    buffer = io.BytesIO()
    (image.convert("RGB") if colour else image).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def _head(
    x: NDArray[np.float32], y: NDArray[np.float32], bone: float, tissue: float, fluid: float
) -> NDArray[np.float32]:
    skin, skull, brain = (
        disc(x, y, 0, 0, 0.80, 0.95),
        disc(x, y, 0, 0, 0.76, 0.91),
        disc(x, y, 0, 0, 0.69, 0.84),
    )
    image = 0.5 * skin + (bone - 0.5) * skull + (tissue - bone) * brain
    for side in (-1, 1):
        image += (fluid - tissue) * disc(x + 0.3 * side * y, y, 0.13 * side, -0.02, 0.06, 0.24)
    fold = np.exp(-((x / 0.012) ** 2)) * brain
    grooves = 0.03 * np.sin(26 * np.hypot(x, y) + 5 * np.sin(7 * np.arctan2(y, x))) * brain
    return np.asarray(image + 0.08 * fold + grooves, dtype=np.float32)


def _abdomen(
    x: NDArray[np.float32], y: NDArray[np.float32], bone: float, tissue: float, fluid: float
) -> NDArray[np.float32]:
    image = 0.22 * disc(x, y, 0, 0.05, 0.95, 0.76) + (tissue - 0.30) * disc(x, y, 0, 0.05, 0.86, 0.66)
    image += 0.18 * disc(x, y, -0.42, -0.12, 0.40, 0.36)  # liver
    image += 0.16 * disc(x, y, 0.58, -0.02, 0.17, 0.26)  # spleen
    image += (fluid - 0.05) * disc(x, y, 0.26, -0.28, 0.20, 0.14)  # stomach
    for side in (-1, 1):
        image += 0.20 * disc(x, y, 0.36 * side, 0.36, 0.12, 0.16)  # kidneys
    image += (bone - tissue) * disc(x, y, 0, 0.47, 0.12, 0.12)  # spine
    return np.asarray(image, dtype=np.float32)
