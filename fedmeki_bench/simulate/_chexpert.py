"""CheXpert: `valid.csv` and JPEG images in a folder for each patient, study and view."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from fedmeki_bench.simulate._chest import Chest, draw_chest, draw_lateral
from fedmeki_bench.simulate._files import write_csv, write_record
from fedmeki_bench.simulate._latent import draw_latents, generator, intensity
from fedmeki_bench.simulate._scans import as_jpeg
from fedmeki_bench.simulate._source import (
    Settings,
    SourceSimulator,
    TaskTruth,
    scaled_positives,
    yes_no_truth,
)

__all__ = ["CheXpertSimulator"]

HEIGHT, WIDTH = 320, 390
FIRST_PATIENT = 64541

FRONTAL, LATERAL = "view1_frontal", "view2_lateral"
STUDIES = {
    (FRONTAL,): 169,
    (FRONTAL, LATERAL): 28,
    (FRONTAL, "view2_frontal", "view3_lateral"): 2,
    (FRONTAL, LATERAL, "view3_lateral"): 1,
}
"""Views of a study, and how many of the 200 studies have them: 234 images."""

PAPER_IMAGES = sum(len(views) * studies for views, studies in STUDIES.items())

TASKS = {
    "enlarged_cardiomediastinum_detection": ("Enlarged Cardiomediastinum", 109),
    "pleural_effusion_detection": ("Pleural Effusion", 67),
    "atelectasis_detection": ("Atelectasis", 80),
}
"""Task to its column and the positive images among the real 234."""

OTHER_FINDINGS = (
    "Cardiomegaly", "Lung Opacity", "Lung Lesion", "Edema", "Consolidation", "Pneumonia", "Pneumothorax",
    "Pleural Other", "Fracture", "Support Devices",
)  # fmt: skip
"""Columns that no task reads; their values say nothing about the image."""

COLUMNS = (
    "Path", "Sex", "Age", "Frontal/Lateral", "AP/PA", "No Finding", "Enlarged Cardiomediastinum",
    "Cardiomegaly", "Lung Opacity", "Lung Lesion", "Edema", "Consolidation", "Pneumonia", "Atelectasis",
    "Pneumothorax", "Pleural Effusion", "Pleural Other", "Fracture", "Support Devices",
)  # fmt: skip


@dataclass(frozen=True)
class _Study:
    """One patient's study: its views, and label and strength of each finding by column."""

    views: tuple[str, ...]
    labels: dict[str, bool]
    strengths: dict[str, float]


class CheXpertSimulator(SourceSimulator):
    """`valid.csv` and `valid/patientN/study1/viewM_*.jpg`; the views of a study share its labels."""

    source: ClassVar[str] = "chexpert"
    folder: ClassVar[str] = "chexpert/CheXpert-v1.0"

    def units(self) -> int:
        """One a study."""
        return len(_studies(self.settings))

    def write_unit(self, folder: Path, unit: int) -> None:
        """The images of one study."""
        study = _studies(self.settings)[unit]
        rng = generator(self.settings.seed, self.source, "study", unit)
        chest = Chest(
            effusion=study.strengths["Pleural Effusion"],
            effusion_side=int(rng.choice([-1, 1])),
            atelectasis=study.strengths["Atelectasis"],
            mediastinum=study.strengths["Enlarged Cardiomediastinum"],
        )
        for view in study.views:
            draw = draw_lateral if view.endswith("lateral") else draw_chest
            pixels = draw(rng, chest, HEIGHT, WIDTH)
            write_record(folder / _image(unit, view), as_jpeg(pixels, colour=False))

    def write_tables(self, folder: Path) -> None:
        """`valid.csv`, one row an image."""
        studies = enumerate(_studies(self.settings))
        rows = (self._row(unit, study, view) for unit, study in studies for view in study.views)
        write_csv(folder / "valid.csv", COLUMNS, rows)

    def truths(self) -> Sequence[TaskTruth]:
        """The three zero-shot tasks; items are images."""
        images = [study for study in _studies(self.settings) for _ in study.views]
        return [
            yes_no_truth(
                task,
                self.source,
                len(images),
                sum(study.labels[column] for study in images),
                self.settings.signal,
            )
            for task, (column, _) in TASKS.items()
        ]

    def _row(self, unit: int, study: _Study, view: str) -> dict[str, Any]:
        rng = generator(self.settings.seed, self.source, "row", unit)
        others = {column: bool(rng.random() < 0.15) for column in OTHER_FINDINGS}
        findings = {**others, **study.labels}
        ill = any(value for column, value in findings.items() if column != "Support Devices")
        frontal = view.endswith("frontal")
        return {
            "Path": f"CheXpert-v1.0/{_image(unit, view)}",
            "Sex": "Male" if rng.random() < 0.55 else "Female",
            "Age": int(np.clip(rng.normal(60, 17), 18, 90)),
            "Frontal/Lateral": "Frontal" if frontal else "Lateral",
            "AP/PA": ("AP" if rng.random() < 0.83 else "PA") if frontal else None,
            "No Finding": float(not ill),
            **{column: float(value) for column, value in findings.items()},
        }


def _image(unit: int, view: str) -> str:
    return f"valid/patient{FIRST_PATIENT + unit}/study1/{view}.jpg"


@lru_cache(maxsize=2)
def _studies(settings: Settings) -> tuple[_Study, ...]:
    rng = generator(settings.seed, CheXpertSimulator.source, "studies")
    views = _views(rng, settings.size)
    sizes = np.array([len(names) for names in views])
    labels, strengths = {}, {}
    for column, positives in TASKS.values():
        images = int(sizes.sum())
        label = _study_labels(rng, sizes, scaled_positives(images, positives / PAPER_IMAGES))
        labels[column] = label
        strengths[column] = [intensity(latent) for latent in draw_latents(rng, label, settings.signal)]
    return tuple(
        _Study(
            names,
            {column: bool(label[unit]) for column, label in labels.items()},
            {column: strength[unit] for column, strength in strengths.items()},
        )
        for unit, names in enumerate(views)
    )


def _views(rng: np.random.Generator, size: int | None) -> list[tuple[str, ...]]:
    """Views of each study: the real numbers at the papers' size, else drawn like them up to `size` images."""
    if size is None:
        order = rng.permutation(np.repeat(np.arange(len(STUDIES)), list(STUDIES.values())))
        return [list(STUDIES)[kind] for kind in order]
    share = np.array(list(STUDIES.values())) / sum(STUDIES.values())
    # The first study has two views whatever the draw: without such studies an image split could not leak.
    views: list[tuple[str, ...]] = [(FRONTAL, LATERAL)]
    while (left := size - sum(map(len, views))) > 0:
        views.append(list(STUDIES)[int(rng.choice(len(share), p=share))][:left])
    return views


def _study_labels(rng: np.random.Generator, sizes: NDArray[np.int64], positives: int) -> NDArray[np.bool_]:
    """Positive studies, drawn until exactly `positives` images are; single images fill what is left."""
    labels = np.zeros(len(sizes), dtype=np.bool_)
    for unit in rng.permutation(len(sizes)):
        if sizes[unit] <= positives:
            labels[unit] = True
            positives -= int(sizes[unit])
    return labels
