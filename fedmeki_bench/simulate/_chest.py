"""Chest radiographs as drawings: outlines of the chest, different each time, with findings laid over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

__all__ = ["Chest", "Opacity", "disc", "draw_chest", "draw_lateral", "placed", "smooth_noise"]

Plane = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Opacity:
    """A dense region of a lung.

    Attributes:
        x, y: centre, from -1 (left, top) to 1 (right, bottom) of the image.
        width, height: half-axes in the same unit.
        strength: 0 to 1.
    """

    x: float
    y: float
    width: float
    height: float
    strength: float


@dataclass(frozen=True)
class Chest:
    """What a radiograph shows; every strength lies between 0 and 1.

    Attributes:
        opacities: dense regions of the lungs.
        effusion: fluid that hides the angle between lung and chest wall.
        effusion_side: -1 for the image's left, 1 for its right.
        atelectasis: a dense band above a raised diaphragm.
        mediastinum: width of the middle of the chest.
    """

    opacities: Sequence[Opacity] = field(default=())
    effusion: float = 0.0
    effusion_side: int = 1
    atelectasis: float = 0.0
    mediastinum: float = 0.0


def draw_chest(rng: np.random.Generator, chest: Chest, height: int, width: int) -> NDArray[np.uint8]:
    """Frontal view: grey image (height, width), uint8, white where X-rays are absorbed."""
    x, y = placed(rng, height, width)
    lungs = _lung(x, y, -1) + _lung(x, y, 1)
    image = 0.06 + 0.52 * _edge(1.0 - (x / 0.98) ** 2 - ((y - 0.35) / 1.4) ** 2, 0.08)
    image += _heart_and_vessels(x, y, chest.mediastinum) - 0.36 * lungs
    return _exposed(rng, image + _ribs(rng, x, y, lungs) + _findings(x, y, lungs, chest))


def draw_lateral(rng: np.random.Generator, chest: Chest, height: int, width: int) -> NDArray[np.uint8]:
    """Side view of the same chest: the lungs lie over each other, the spine behind, the heart before them."""
    x, y = placed(rng, height, width)
    lungs = _edge(1 - ((x - 0.05) / 0.58) ** 2 - ((y + 0.06) / 0.72) ** 2, 0.07)
    image = 0.06 + 0.52 * _edge(1.0 - ((x - 0.05) / 0.85) ** 2 - ((y - 0.35) / 1.4) ** 2, 0.08) - 0.34 * lungs
    image += 0.16 * _edge(0.09 - np.abs(x - 0.5 - 0.1 * y * y), 0.03)
    image += 0.28 * _edge(1 - ((x + 0.25) / 0.3) ** 2 - ((y - 0.36) / 0.3) ** 2, 0.25)
    image += 0.30 * chest.mediastinum * np.exp(-(((x + 0.05) / 0.25) ** 2) - ((y + 0.3) / 0.3) ** 2)
    image += 0.34 * _edge(y - 0.60 - 0.2 * (x - 0.1) ** 2, 0.025) * _edge(0.75 - np.abs(x - 0.05), 0.03)
    seen = replace(chest, effusion_side=1)
    return _exposed(rng, image + _ribs(rng, x, y, lungs) + _findings(x, y, lungs, seen))


def smooth_noise(rng: np.random.Generator, height: int, width: int, cells: int) -> Plane:
    """Unit Gaussian values at `cells` x `cells` points, interpolated over the image: (height, width)."""
    coarse = Image.fromarray(rng.standard_normal((cells, cells)).astype(np.float32))
    return np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), dtype=np.float32)


def disc(x: Plane, y: Plane, centre_x: float, centre_y: float, half_width: float, half_height: float) -> Plane:
    """1 inside an ellipse, 0 outside, with a soft rim."""
    return _edge(1 - ((x - centre_x) / half_width) ** 2 - ((y - centre_y) / half_height) ** 2, 0.06)


@lru_cache(maxsize=8)
def _grid(height: int, width: int) -> tuple[Plane, Plane]:
    """Coordinates of an image's pixels: x from -1 (left) to 1, y from -1 (top) to 1, each (height, width)."""
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j].astype(np.float32)
    return x, y


def placed(rng: np.random.Generator, height: int, width: int) -> tuple[Plane, Plane]:
    """Coordinates of a patient who stands a little aside, aslant, nearer or farther, and is built like no other.

    A smooth distortion of the plane gives every image an anatomy of its own: without it the outlines would be so
    alike that a search for near-duplicates finds strangers.
    """
    x, y = _grid(height, width)
    slant = rng.normal(0, 0.045)
    x, y = x + slant * y, y - slant * x
    x = (x - rng.normal(0, 0.035)) * rng.normal(1, 0.035) + 0.032 * smooth_noise(rng, height, width, 6)
    y = (y - rng.normal(0, 0.035)) * rng.normal(1, 0.035) + 0.032 * smooth_noise(rng, height, width, 6)
    return np.asarray(x, dtype=np.float32), np.asarray(y, dtype=np.float32)


def _ribs(rng: np.random.Generator, x: Plane, y: Plane, lungs: Plane) -> Plane:
    bones = np.sin((y + 0.45 * x * x) * rng.uniform(18, 24) + rng.uniform(0, 6.28)).clip(0, 1)
    return np.asarray(0.05 * lungs * bones, dtype=np.float32)


def _exposed(rng: np.random.Generator, image: Plane) -> NDArray[np.uint8]:
    """Texture, detector noise, and a slightly different exposure for every image."""
    height, width = image.shape
    image = image + 0.05 * smooth_noise(rng, height, width, 14) + 0.02 * smooth_noise(rng, height, width, 40)
    image += rng.normal(0, 0.012, image.shape).astype(np.float32)
    image = (image + rng.normal(0, 0.01)) * rng.normal(1, 0.02)
    return np.asarray(np.rint(255 * image.clip(0, 1)), dtype=np.uint8)


def _heart_and_vessels(x: Plane, y: Plane, widening: float) -> Plane:
    half = 0.11 + 0.17 * widening * np.exp(-(((y + 0.25) / 0.4) ** 2))
    middle = 0.24 * _edge(half - np.abs(x), 0.03)
    spine = 0.06 * _edge(0.05 - np.abs(x), 0.015)
    heart = 0.28 * _edge(1 - ((x - 0.14) / 0.34) ** 2 - ((y - 0.40) / 0.33) ** 2, 0.3)
    diaphragm = 0.34 * _edge(y - 0.60 - 0.28 * (np.abs(x) - 0.42) ** 2, 0.025) * _edge(0.9 - np.abs(x), 0.03)
    collar = 0.12 * np.exp(-(((y + 0.74 - 0.22 * np.abs(x)) / 0.03) ** 2)) * _edge(0.75 - np.abs(x), 0.05)
    return np.asarray(np.maximum(middle, heart) + spine + diaphragm + collar, dtype=np.float32)


def _findings(x: Plane, y: Plane, lungs: Plane, chest: Chest) -> Plane:
    dense = np.zeros_like(x)
    for spot in chest.opacities:
        shape = np.exp(-(((x - spot.x) / spot.width) ** 2) - ((y - spot.y) / spot.height) ** 2)
        dense += 0.40 * spot.strength * shape * lungs
    level = 0.62 - 0.40 * chest.effusion
    fluid = _edge(y - level + 0.25 * (np.abs(x) - 0.4), 0.03) * _edge(x * chest.effusion_side, 0.04)
    dense += 0.34 * (chest.effusion > 0) * fluid * lungs
    band = np.exp(-(((y - 0.34 + 0.25 * np.abs(x)) / 0.09) ** 2))
    dense += 0.36 * chest.atelectasis * band * lungs
    return np.asarray(dense, dtype=np.float32)


def _lung(x: Plane, y: Plane, side: int) -> Plane:
    across = (x - 0.43 * side) / (0.32 + 0.09 * y)
    return _edge(1 - across**2 - ((y + 0.06) / 0.70) ** 2, 0.07)


def _edge(inside: Plane, softness: float) -> Plane:
    """1 well inside, 0 well outside, a smooth step where `inside` is 0."""
    return np.asarray(0.5 * (1 + np.tanh(inside / softness)), dtype=np.float32)
