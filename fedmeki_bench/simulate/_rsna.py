"""RSNA Pneumonia Detection Challenge 2018: DICOM images, and two tables that list an image once a box."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from fedmeki_bench.simulate._chest import Chest, Opacity, draw_chest
from fedmeki_bench.simulate._dicom import Header, as_dicom
from fedmeki_bench.simulate._files import write_csv, write_record
from fedmeki_bench.simulate._latent import draw_latents, generator, intensity
from fedmeki_bench.simulate._source import (
    Settings,
    SourceSimulator,
    TaskTruth,
    scaled_positives,
    yes_no_truth,
)

__all__ = ["RsnaSimulator"]

PIXELS = 256
"""Side of an image. Real ones have 1024; these need a sixteenth of the room, and tasks decode to 224."""

BOXES = {1: 2614, 2: 3266, 3: 119, 4: 13}
"""Real images of class Lung Opacity with 1, 2, 3, 4 boxes."""

PAPER_OPACITY, PAPER_NORMAL, PAPER_NEITHER = sum(BOXES.values()), 8851, 11821
OPACITY, NORMAL, NEITHER = "Lung Opacity", "Normal", "No Lung Opacity / Not Normal"


@dataclass(frozen=True)
class _Images:
    """All images, in the order of the tables.

    Attributes:
        classes: the class of each.
        boxes: opacities of each (faint ones if the class is another).
        strengths: how strongly the opacities show, 0 to 1.
    """

    classes: tuple[str, ...]
    boxes: tuple[int, ...]
    strengths: tuple[float, ...]


class RsnaSimulator(SourceSimulator):
    """`stage_2_train_images/*.dcm`, `stage_2_train_labels.csv`, `stage_2_detailed_class_info.csv`."""

    source: ClassVar[str] = "rsna_pneumonia"
    folder: ClassVar[str] = "rsna-pneumonia"

    def units(self) -> int:
        """One an image, the third class included."""
        return len(_images(self.settings).classes)

    def write_unit(self, folder: Path, unit: int) -> None:
        """One DICOM file."""
        images = _images(self.settings)
        rng = generator(self.settings.seed, self.source, "image", unit)
        other = images.classes[unit] == NEITHER
        chest = Chest(
            opacities=self._opacities(unit),
            # The third class is ill in some other way than by an opacity.
            effusion=rng.uniform(0.3, 0.8) if other else 0.0,
            effusion_side=int(rng.choice([-1, 1])),
            mediastinum=rng.uniform(0.2, 0.7) if other else 0.0,
        )
        pixels = draw_chest(rng, chest, PIXELS, PIXELS)
        header = Header(
            patient=self._patient(unit),
            sex="M" if rng.random() < 0.57 else "F",
            age=int(np.clip(rng.normal(47, 17), 1, 95)),
            view="PA" if rng.random() < 0.54 else "AP",
            spacing=float(rng.choice([0.143, 0.168, 0.139])) * 1024 / PIXELS,
        )
        content = as_dicom(rng, pixels, header, unit)
        write_record(folder / "stage_2_train_images" / f"{header.patient}.dcm", content)

    def write_tables(self, folder: Path) -> None:
        """One row a box, and one for each image without boxes."""
        rows = list(self._rows())
        boxes = ("patientId", "x", "y", "width", "height", "Target")
        labels = ({name: row.get(name) for name in boxes} for row in rows)
        write_csv(folder / "stage_2_train_labels.csv", boxes, labels)
        classes = ({"patientId": row["patientId"], "class": row["class"]} for row in rows)
        write_csv(folder / "stage_2_detailed_class_info.csv", ("patientId", "class"), classes)

    def truths(self) -> Sequence[TaskTruth]:
        """Lung opacity detection; an image counts once, however many rows it has."""
        classes = _images(self.settings).classes
        positives, usable = classes.count(OPACITY), len(classes) - classes.count(NEITHER)
        return [yes_no_truth("lung_opacity_detection", self.source, usable, positives, self.settings.signal)]

    def _rows(self) -> Iterator[dict[str, Any]]:
        for unit, word in enumerate(_images(self.settings).classes):
            row = {"patientId": self._patient(unit), "class": word, "Target": int(word == OPACITY)}
            if word == OPACITY:
                for spot in self._opacities(unit):
                    yield {**row, **_box(spot)}
            else:
                yield row

    def _patient(self, unit: int) -> str:
        return str(uuid.UUID(bytes=generator(self.settings.seed, self.source, "patient", unit).bytes(16), version=4))

    def _opacities(self, unit: int) -> tuple[Opacity, ...]:
        """The image's opacities, left and right in turn."""
        images = _images(self.settings)
        if images.classes[unit] == NEITHER:
            return ()
        rng = generator(self.settings.seed, self.source, "boxes", unit)
        first = int(rng.choice([-1, 1]))
        return tuple(
            Opacity(
                x=first * (-1) ** place * rng.normal(0.43, 0.05),
                y=rng.uniform(-0.45, 0.35),
                width=rng.uniform(0.13, 0.22),
                height=rng.uniform(0.16, 0.30),
                strength=images.strengths[unit],
            )
            for place in range(images.boxes[unit])
        )


def _box(spot: Opacity) -> dict[str, float]:
    """Upper left corner, width and height in pixels, as the table has them."""
    scale = PIXELS / 2
    left, top = (1 + spot.x - spot.width) * scale, (1 + spot.y - spot.height) * scale
    box = {"x": left, "y": top, "width": 2 * spot.width * scale, "height": 2 * spot.height * scale}
    return {name: float(round(value)) for name, value in box.items()}


@lru_cache(maxsize=2)
def _images(settings: Settings) -> _Images:
    opaque, normal, neither = _counts(settings)
    rng = generator(settings.seed, RsnaSimulator.source, "classes")
    classes = rng.permutation(np.repeat([OPACITY, NORMAL, NEITHER], [opaque, normal, neither]))
    latents = draw_latents(rng, classes == OPACITY, settings.signal)
    boxes = np.where(classes == NEITHER, 0, rng.choice(list(BOXES), size=len(classes), p=_shares()))
    boxes[classes == OPACITY] = _opaque_boxes(rng, opaque, paper=settings.size is None)
    return _Images(
        tuple(str(word) for word in classes),
        tuple(int(count) for count in boxes),
        tuple(intensity(latent) for latent in latents),
    )


def _counts(settings: Settings) -> tuple[int, int, int]:
    if settings.size is None:
        return PAPER_OPACITY, PAPER_NORMAL, PAPER_NEITHER
    usable = PAPER_OPACITY + PAPER_NORMAL
    opaque = scaled_positives(settings.size, PAPER_OPACITY / usable)
    return opaque, settings.size - opaque, round(settings.size * PAPER_NEITHER / usable)


def _opaque_boxes(rng: np.random.Generator, images: int, *, paper: bool) -> NDArray[np.int64]:
    """Boxes of each positive image: exactly the real numbers at the papers' size, else drawn like them."""
    if paper:
        return rng.permutation(np.repeat(list(BOXES), list(BOXES.values())))
    boxes = rng.choice(list(BOXES), size=images, p=_shares())
    # One image is listed twice whatever the draw: without repeats a row split could not leak.
    boxes[0] = 2
    return boxes


def _shares() -> NDArray[np.float64]:
    counts = np.array(list(BOXES.values()), dtype=np.float64)
    return np.asarray(counts / counts.sum())
