"""VQA-RAD: two JSON files of questions about one folder of JPEG images."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from fedmeki_bench.files import write_json
from fedmeki_bench.simulate._files import write_record
from fedmeki_bench.simulate._latent import bayes_accuracy, draw_labels, draw_latents, generator, intensity
from fedmeki_bench.simulate._scans import Method, Region, Scan, as_jpeg, draw_scan
from fedmeki_bench.simulate._source import Settings, SourceSimulator, TaskTruth

__all__ = ["VqaRadSimulator"]

PAPER_IMAGES, PAPER_TRAIN, PAPER_TEST = 315, 3064, 451
ITEMS_AN_IMAGE, FEWEST_IMAGES = 5, 6
KINDS: tuple[tuple[Region, Method], ...] = (
    ("head", "CT"),
    ("head", "MRI"),
    ("chest", "X-ray"),
    ("abdomen", "CT"),
    ("abdomen", "MRI"),
)
ORGANS: dict[Region, str] = {"head": "HEAD", "chest": "CHEST", "abdomen": "ABD"}


@dataclass(frozen=True)
class _Picture:
    """One image: its name, what it shows, and whether the lesion counts as one."""

    name: str
    scan: Scan
    lesion: bool


@dataclass(frozen=True)
class _Asked:
    """One question and answer; `seen_by_latent` if the answer depends on the lesion's latent, else it is plain to see."""

    kind: str
    wordings: tuple[str, ...]
    answer: str
    seen_by_latent: bool = False


class VqaRadSimulator(SourceSimulator):
    """`trainset.json`, `testset.json`, `images/synpicN.jpg`."""

    source: ClassVar[str] = "vqa_rad"
    folder: ClassVar[str] = "vqa-rad"

    def units(self) -> int:
        """One an image."""
        return len(_pictures(self.settings))

    def write_unit(self, folder: Path, unit: int) -> None:
        """One image."""
        picture = _pictures(self.settings)[unit]
        rng = generator(self.settings.seed, self.source, "image", unit)
        height, width = (int(side) for side in rng.integers(320, 513, 2))
        # Some of the real files are colour JPEGs of grey images.
        colour = bool(rng.random() < 0.5)
        write_record(
            folder / "images" / picture.name,
            as_jpeg(draw_scan(rng, picture.scan, height, width), colour=colour),
        )

    def write_tables(self, folder: Path) -> None:
        """The two question files; an image may stand in both."""
        rows = [row for _, row in _items(self.settings)]
        first = _items_by_part(self.settings)[0]
        write_json(folder / "trainset.json", rows[:first])
        write_json(folder / "testset.json", rows[first:])

    def truths(self) -> Sequence[TaskTruth]:
        """Medical visual question answering: the best share of answers that are exactly right."""
        asked = [asked for asked, _ in _items(self.settings)]
        unsure = [question for question in asked if question.seen_by_latent]
        certain = len(asked) - len(unsure)
        share = sum(question.answer == "yes" for question in unsure) / max(1, len(unsure))
        best = (certain + len(unsure) * bayes_accuracy(self.settings.signal, share)) / len(asked)
        return [TaskTruth("medvqa_rad", self.source, len(asked), None, best, None)]


def _items_by_part(settings: Settings) -> tuple[int, int]:
    if settings.size is None:
        return PAPER_TRAIN, PAPER_TEST
    test = max(1, round(settings.size * PAPER_TEST / (PAPER_TRAIN + PAPER_TEST)))
    return settings.size - test, test


@lru_cache(maxsize=2)
def _pictures(settings: Settings) -> tuple[_Picture, ...]:
    count = (
        PAPER_IMAGES
        if settings.size is None
        else max(FEWEST_IMAGES, math.ceil(settings.size / ITEMS_AN_IMAGE))
    )
    rng = generator(settings.seed, VqaRadSimulator.source, "images")
    lesions = draw_labels(rng, count, count // 2)
    latents = draw_latents(rng, lesions, settings.signal)
    numbers = rng.choice(np.arange(100, 60_000), size=count, replace=False)
    pictures = []
    for number, lesion, latent in zip(numbers, lesions, latents, strict=True):
        region, method = KINDS[int(rng.integers(len(KINDS)))]
        scan = Scan(region, method, intensity(latent), int(rng.choice([-1, 1])), bool(rng.random() < 0.5))
        pictures.append(_Picture(f"synpic{number}.jpg", scan, bool(lesion)))
    return tuple(pictures)


@lru_cache(maxsize=2)
def _items(settings: Settings) -> tuple[tuple[_Asked, dict[str, Any]], ...]:
    """Every question with its JSON object; each image is asked about in turn until there are enough."""
    pictures, total = _pictures(settings), sum(_items_by_part(settings))
    items: list[tuple[_Asked, dict[str, Any]]] = []
    while len(items) < total:
        turn, place = divmod(len(items), len(pictures))
        picture = pictures[place]
        rng = generator(settings.seed, VqaRadSimulator.source, "question", place, turn)
        possible = list(_questions(picture))
        # The first question of every image is about the lesion; the others are drawn.
        asked = possible[0] if turn == 0 else possible[int(rng.integers(len(possible)))]
        wording = int(rng.integers(len(asked.wordings)))
        items.append((asked, _row(len(items) + 1, picture, asked, wording)))
    return tuple(items)


def _row(number: int, picture: _Picture, asked: _Asked, wording: int) -> dict[str, Any]:
    return {
        "qid": number,
        "image_name": picture.name,
        "image_organ": ORGANS[picture.scan.region],
        "answer": asked.answer,
        "answer_type": "CLOSED" if asked.answer in ("yes", "no") else "OPEN",
        "question_type": asked.kind,
        "question": asked.wordings[wording],
        "phrase_type": ("freeform", "para", "frame")[wording % 3],
    }


def _questions(picture: _Picture) -> Iterator[_Asked]:
    """What can be asked about an image; where a lesion lies is asked only if there is one."""
    scan = picture.scan
    found = (
        "Is there a bright lesion?",
        "Does the image contain a bright spot that should not be there?",
        "Can a lesion be seen?",
    )
    yield _Asked("PRES", found, _yes(picture.lesion), seen_by_latent=True)
    yield _Asked(
        "ORGAN", ("Which part of the body is this?", "What region does the image show?"), scan.region
    )
    yield _Asked(
        "MODALITY", ("With which method was the image made?", "What kind of image is this?"), scan.method
    )
    yield _Asked("MODALITY", ("Was this image made by CT?", "Is this a CT slice?"), _yes(scan.method == "CT"))
    plane = "frontal" if scan.region == "chest" else "axial"
    yield _Asked("PLANE", ("In which plane is the image?", "What is the plane of the image?"), plane)
    if picture.lesion:
        side, height = "left" if scan.side < 0 else "right", "upper" if scan.upper else "lower"
        yield _Asked(
            "POS",
            (
                "On which side of the image is the lesion?",
                "Which half of the image holds the lesion, left or right?",
            ),
            side,
        )
        yield _Asked(
            "POS",
            ("Is the lesion in the left half of the image?", "Is the bright spot on the image's left?"),
            _yes(scan.side < 0),
        )
        yield _Asked(
            "POS",
            ("Where in the image is the lesion?", "Where does the bright spot lie?"),
            f"{height} {side}",
        )


def _yes(value: bool) -> str:
    return "yes" if value else "no"
