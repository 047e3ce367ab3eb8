"""SLAKE 1.0: three JSON files of questions in English and Chinese about JPEG images in a folder each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, Literal

from fedmeki_bench.files import write_json
from fedmeki_bench.simulate._files import write_record
from fedmeki_bench.simulate._latent import generator
from fedmeki_bench.simulate._pictures import Picture, best_share, plan_pictures
from fedmeki_bench.simulate._scans import Method, Region, as_jpeg, draw_scan
from fedmeki_bench.simulate._source import Settings, SourceSimulator, TaskTruth

__all__ = ["SlakeSimulator"]

Language = Literal["en", "zh"]
Text = tuple[str, str]
"""The same in English and in Chinese."""

PAPER_IMAGES = 642
PAPER_ITEMS: Mapping[str, tuple[int, int]] = {
    "train": (4919, 4916),
    "validate": (1053, 1046),
    "test": (1061, 1033),
}
"""Questions in English and in Chinese of each file."""

ITEMS_AN_IMAGE, FEWEST_IMAGES = 5, 6

LOCATIONS: Mapping[Region, str] = {"head": "Brain", "chest": "Lung", "abdomen": "Abdomen"}
METHODS: Mapping[Method, str] = {"CT": "CT", "MRI": "MRI", "X-ray": "X-Ray"}
REGIONS: Mapping[Region, Text] = {
    "head": ("Head", "头部"),
    "chest": ("Chest", "胸部"),
    "abdomen": ("Abdomen", "腹部"),
}
SYSTEMS: Mapping[Region, Text] = {
    "head": ("Nervous system", "神经系统"),
    "chest": ("Respiratory system", "呼吸系统"),
    "abdomen": ("Digestive system", "消化系统"),
}
SIDES: Mapping[str, Text] = {"left": ("Left", "左侧"), "right": ("Right", "右侧")}
PLANES: Mapping[str, Text] = {"frontal": ("Frontal plane", "冠状面"), "axial": ("Axial plane", "横断面")}
YES_NO: Mapping[bool, Text] = {True: ("Yes", "是"), False: ("No", "否")}


@dataclass(frozen=True)
class _Asked:
    """One question and its answer in both languages.

    Attributes:
        content: the source's content type.
        question, answer: in both languages.
        lesion: whether there is a lesion, if that is what is asked; else the answer is plain to see.
        closed: whether the answer is one of a few given in the question.
        triple: the piece of medical knowledge needed, if any.
    """

    content: str
    question: Text
    answer: Text
    lesion: bool | None = None
    closed: bool = False
    triple: tuple[str, str, str] = ("vhead", "_", "_")


class SlakeSimulator(SourceSimulator):
    """`Slake1.0/{train,validate,test}.json` and `Slake1.0/imgs/xmlabN/source.jpg`."""

    source: ClassVar[str] = "slake"
    folder: ClassVar[str] = "slake/Slake1.0"

    def units(self) -> int:
        """One an image."""
        return len(_pictures(self.settings))

    def write_unit(self, folder: Path, unit: int) -> None:
        """One image, a colour JPEG of a grey image as in the source."""
        rng = generator(self.settings.seed, self.source, "image", unit)
        side = int(rng.integers(256, 513))
        pixels = draw_scan(rng, _pictures(self.settings)[unit].scan, side, side)
        write_record(folder / "imgs" / _image_name(unit), as_jpeg(pixels, colour=True))

    def write_tables(self, folder: Path) -> None:
        """The three question files."""
        qid = 0
        for part in PAPER_ITEMS:
            rows = []
            for unit, language, asked in _items(self.settings, part):
                rows.append(self._row(qid, unit, language, asked))
                qid += 1
            write_json(folder / f"{part}.json", rows)

    def truths(self) -> Sequence[TaskTruth]:
        """Visual question answering, English questions of `test.json`: the best share of right answers."""
        asked = [asked for _, language, asked in _items(self.settings, "test") if language == "en"]
        best = best_share((question.lesion for question in asked), self.settings.signal)
        return [TaskTruth("medvqa_slake", self.source, len(asked), None, best, None)]

    def _row(self, qid: int, unit: int, language: Language, asked: _Asked) -> dict[str, Any]:
        scan = _pictures(self.settings)[unit].scan
        which = ("en", "zh").index(language)
        return {
            "img_id": unit,
            "img_name": _image_name(unit),
            "question": asked.question[which],
            "answer": asked.answer[which],
            "q_lang": language,
            "location": LOCATIONS[scan.region],
            "modality": METHODS[scan.method],
            "answer_type": "CLOSED" if asked.closed else "OPEN",
            "base_type": "vqa" if asked.triple[0] == "vhead" else "kvqa",
            "content_type": asked.content,
            "triple": list(asked.triple),
            "qid": qid,
        }


def _image_name(unit: int) -> str:
    return f"xmlab{unit}/source.jpg"


@lru_cache(maxsize=2)
def _pictures(settings: Settings) -> tuple[Picture, ...]:
    few = PAPER_IMAGES if settings.size is None else settings.size // ITEMS_AN_IMAGE
    return plan_pictures(settings, SlakeSimulator.source, max(FEWEST_IMAGES, few))


@lru_cache(maxsize=8)
def _items(settings: Settings, part: str) -> tuple[tuple[int, Language, _Asked], ...]:
    """(image, language, question) of one file; the images are asked about in turn."""
    counts = PAPER_ITEMS[part] if settings.size is None else (settings.size, settings.size)
    languages: tuple[Language, Language] = ("en", "zh")
    return tuple(
        (place, language, _drawn(settings, part, language, turn, place))
        for language, count in zip(languages, counts, strict=True)
        for turn, place in (divmod(index, len(_pictures(settings))) for index in range(count))
    )


def _drawn(settings: Settings, part: str, language: str, turn: int, place: int) -> _Asked:
    rng = generator(settings.seed, SlakeSimulator.source, part, language, turn, place)
    possible = list(_questions(_pictures(settings)[place]))
    # The first question of every image is about the lesion; the others are drawn.
    return possible[0] if turn == 0 else possible[int(rng.integers(len(possible)))]


def _questions(picture: Picture) -> Iterator[_Asked]:
    """What can be asked about an image; where a lesion lies is asked only if there is one."""
    scan = picture.scan
    seen = ("Does the image show a bright lesion?", "图像中有高亮的病灶吗?")
    yield _Asked("Abnormality", seen, YES_NO[picture.lesion], picture.lesion, closed=True)
    yield _Asked("Organ", ("Which region of the body is shown?", "图像显示的是身体的哪个区域?"), REGIONS[scan.region])
    method = METHODS[scan.method]
    yield _Asked("Modality", ("How was this image acquired?", "该图像是用什么方式获得的?"), (method, method))
    yield _Asked("Plane", ("Which plane does the image lie in?", "图像位于哪个平面?"), PLANES[picture.plane])
    system = ("Which organ system does this region mainly hold?", "该区域主要包含哪个器官系统?")
    triple = (LOCATIONS[scan.region], "system", "_")
    yield _Asked("KG", system, SYSTEMS[scan.region], triple=triple)
    if picture.lesion:
        side = ("Which half of the image holds the lesion?", "病灶位于图像的哪一侧?")
        yield _Asked("Position", side, SIDES[picture.side])
        left = ("Is the lesion in the left half of the image?", "病灶在图像的左半部分吗?")
        yield _Asked("Position", left, YES_NO[picture.side == "left"], closed=True)
