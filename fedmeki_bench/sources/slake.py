"""SLAKE 1.0 (Liu 2021): questions in English and Chinese about radiology images."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from fedmeki_bench.sources._files import (
    find_folder,
    inside,
    path_fault,
    raise_faults,
    read_json_list,
    repeated_id_faults,
)
from fedmeki_bench.sources._images import load_image
from fedmeki_bench.sources._types import Adapter, Item, Listing, Record
from fedmeki_bench.specs import Modality, Selection

__all__ = ["Slake"]

FILE = "test.json"
IMAGES = "imgs"
FOLDER = "Slake1.0"
FIELDS = ("qid", "img_name", "question", "answer", "answer_type", "q_lang")
NAMES = {"en": "English", "zh": "Chinese"}


class Slake(Adapter):
    """Questions of `test.json` in the language the task selects; the group is the image."""

    name: ClassVar[str] = "slake"
    record_source: ClassVar[str] = "slake"
    modalities: ClassVar[tuple[Modality, ...]] = ("image",)
    layout: ClassVar[str] = "Slake1.0/test.json beside Slake1.0/imgs/"

    def find(self, root: Path) -> Path | None:
        """The folder with `test.json` that is called `Slake1.0` or has an `imgs` folder."""
        return find_folder(root, _is_slake, self.name)

    def listing(self, folder: Path, selection: Selection) -> Listing:
        """One item a question; id is `qid`, group and record are the image's path below `imgs/`."""
        language = selection.language or "en"
        items, faults, places, other = [], [], [], 0
        for place, row in read_json_list(folder / FILE, FIELDS):
            fault = path_fault(place, "img_name", str(row["img_name"]))
            if fault:
                faults.append(fault)
            elif language not in ("all", row["q_lang"]):
                other += 1
            else:
                places.append((place, str(row["qid"])))
                image = str(row["img_name"])
                kind = str(row["answer_type"]).strip().lower()
                items.append(
                    Item(
                        str(row["qid"]),
                        image,
                        str(row["answer"]).strip(),
                        image,
                        str(row["question"]).strip(),
                        kind,
                    )
                )
        raise_faults(folder / FILE, [*faults, *repeated_id_faults(places, "qid")])
        return Listing(tuple(items), {f"questions that are not in {NAMES[language]}": other} if other else {})

    def files(self, folder: Path, record: str) -> tuple[Path, ...]:
        """The image file."""
        return (inside(folder, f"{IMAGES}/{record}"),)

    def decode(self, folder: Path, record: str) -> Record:
        """`image`, uint8 (224, 224), or (224, 224, 3) for a coloured one."""
        return {"image": load_image(self.files(folder, record)[0], grey=False)}


def _is_slake(folder: Path) -> bool:
    return (folder / FILE).is_file() and (folder.name == FOLDER or (folder / IMAGES).is_dir())
