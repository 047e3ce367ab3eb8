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
from fedmeki_bench.simulate._latent import generator
from fedmeki_bench.simulate._pictures import Picture, best_share, plan_pictures
from fedmeki_bench.simulate._scans import Region, as_jpeg, draw_scan
from fedmeki_bench.simulate._source import Settings, SourceSimulator, TaskTruth

__all__ = ["VqaRadSimulator"]

PAPER_IMAGES, PAPER_TRAIN, PAPER_TEST = 315, 3064, 451
ITEMS_AN_IMAGE, FEWEST_IMAGES = 5, 6
ORGANS: dict[Region, str] = {"head": "HEAD", "chest": "CHEST", "abdomen": "ABD"}

PRESENT = (
    "Is there a bright lesion?",
    "Does the image contain a bright spot that should not be there?",
    "Can a lesion be seen?",
)
REGION = ("Which part of the body is this?", "What region does the image show?")
METHOD = ("With which method was the image made?", "Which technique of imaging produced this?")
IS_CT = ("Was this image made by CT?", "Is this a CT slice?")
PLANE = ("In which plane is the image?", "What is the plane of the image?")
SIDE = ("On which side of the image is the lesion?", "Is the lesion in the left or the right half?")
IS_LEFT = ("Is the lesion in the left half of the image?", "Is the bright spot on the image's left?")
PLACE = ("Where in the image is the lesion?", "Where does the bright spot lie?")
"""The wordings of each question."""


@dataclass(frozen=True)
class _Asked:
    """One question and its answer.

    Attributes:
        kind: the source's question type.
        wordings: ways to ask it.
        answer: the answer.
        lesion: whether there is a lesion, if that is what is asked; else the answer is plain to see.
    """

    kind: str
    wordings: tuple[str, ...]
    answer: str
    lesion: bool | None = None


class VqaRadSimulator(SourceSimulator):
    """`trainset.json`, `testset.json`, `images/synpicN.jpg`."""

    source: ClassVar[str] = "vqa_rad"
    folder: ClassVar[str] = "vqa-rad"

    def units(self) -> int:
        """One an image."""
        return len(_pictures(self.settings))

    def write_unit(self, folder: Path, unit: int) -> None:
        """One image; half of the files are colour JPEGs of grey images, as some real ones are."""
        rng = generator(self.settings.seed, self.source, "image", unit)
        height, width = (int(side) for side in rng.integers(320, 513, 2))
        colour = bool(rng.random() < 0.5)
        pixels = draw_scan(rng, _pictures(self.settings)[unit].scan, height, width)
        write_record(folder / "images" / _names(self.settings)[unit], as_jpeg(pixels, colour=colour))

    def write_tables(self, folder: Path) -> None:
        """The two question files; an image may stand in both."""
        rows = [row for _, row in _items(self.settings)]
        first = _parts(self.settings)[0]
        write_json(folder / "trainset.json", rows[:first])
        write_json(folder / "testset.json", rows[first:])

    def truths(self) -> Sequence[TaskTruth]:
        """Medical visual question answering: the best share of answers that are exactly right."""
        asked = [asked for asked, _ in _items(self.settings)]
        best = best_share((question.lesion for question in asked), self.settings.signal)
        return [TaskTruth("medvqa_rad", self.source, len(asked), None, best, None)]


def _parts(settings: Settings) -> tuple[int, int]:
    """Questions in the two files."""
    if settings.size is None:
        return PAPER_TRAIN, PAPER_TEST
    test = max(1, round(settings.size * PAPER_TEST / (PAPER_TRAIN + PAPER_TEST)))
    return settings.size - test, test


@lru_cache(maxsize=2)
def _pictures(settings: Settings) -> tuple[Picture, ...]:
    few = PAPER_IMAGES if settings.size is None else math.ceil(settings.size / ITEMS_AN_IMAGE)
    return plan_pictures(settings, VqaRadSimulator.source, max(FEWEST_IMAGES, few))


@lru_cache(maxsize=2)
def _names(settings: Settings) -> tuple[str, ...]:
    rng = generator(settings.seed, VqaRadSimulator.source, "names")
    numbers = rng.choice(np.arange(100, 60_000), size=len(_pictures(settings)), replace=False)
    return tuple(f"synpic{number}.jpg" for number in numbers)


@lru_cache(maxsize=2)
def _items(settings: Settings) -> tuple[tuple[_Asked, dict[str, Any]], ...]:
    """Every question with its JSON object; the images are asked about in turn until there are enough."""
    pictures, names, total = _pictures(settings), _names(settings), sum(_parts(settings))
    items: list[tuple[_Asked, dict[str, Any]]] = []
    while len(items) < total:
        turn, place = divmod(len(items), len(pictures))
        rng = generator(settings.seed, VqaRadSimulator.source, "question", place, turn)
        possible = list(_questions(pictures[place]))
        # The first question of every image is about the lesion; the others are drawn.
        asked = possible[0] if turn == 0 else possible[int(rng.integers(len(possible)))]
        wording = int(rng.integers(len(asked.wordings)))
        row = {
            "qid": len(items) + 1,
            "image_name": names[place],
            "image_organ": ORGANS[pictures[place].scan.region],
            "answer": asked.answer,
            "answer_type": "CLOSED" if asked.answer in ("yes", "no") else "OPEN",
            "question_type": asked.kind,
            "question": asked.wordings[wording],
            "phrase_type": ("freeform", "para", "frame")[wording],
        }
        items.append((asked, row))
    return tuple(items)


def _questions(picture: Picture) -> Iterator[_Asked]:
    """What can be asked about an image; where a lesion lies is asked only if there is one."""
    scan = picture.scan
    yield _Asked("PRES", PRESENT, _yes(picture.lesion), picture.lesion)
    yield _Asked("ORGAN", REGION, scan.region)
    yield _Asked("MODALITY", METHOD, scan.method)
    yield _Asked("MODALITY", IS_CT, _yes(scan.method == "CT"))
    yield _Asked("PLANE", PLANE, picture.plane)
    if picture.lesion:
        yield _Asked("POS", SIDE, picture.side)
        yield _Asked("POS", IS_LEFT, _yes(picture.side == "left"))
        yield _Asked("POS", PLACE, f"{picture.height} {picture.side}")


def _yes(value: bool) -> str:
    return "yes" if value else "no"
