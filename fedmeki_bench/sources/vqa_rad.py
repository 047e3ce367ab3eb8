"""VQA-RAD (Lau 2018): questions of clinicians about radiology images."""

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

__all__ = ["VqaRad"]

FILES = ("trainset.json", "testset.json")
"""Both belong to the task: it is zero-shot, so no question was trained on."""

IMAGE_FOLDERS = ("images", "VQA_RAD Image Folder")
FIELDS = ("qid", "image_name", "question", "answer", "answer_type")


class VqaRad(Adapter):
    """Questions and answers about 315 images; the group is the image."""

    name: ClassVar[str] = "vqa_rad"
    record_source: ClassVar[str] = "vqa_rad"
    modalities: ClassVar[tuple[Modality, ...]] = ("image",)
    layout: ClassVar[str] = "trainset.json and testset.json beside images/ (or 'VQA_RAD Image Folder/')"

    def find(self, root: Path) -> Path | None:
        """The folder that holds both question files and the images."""
        return find_folder(root, _is_vqa_rad, self.name)

    def listing(self, folder: Path, selection: Selection) -> Listing:
        """One item a question; id is `qid`, group and record are the image's file name."""
        items, faults, places = [], [], []
        for file in FILES:
            for place, row in read_json_list(folder / file, FIELDS):
                fault = path_fault(place, "image_name", str(row["image_name"]))
                if fault:
                    faults.append(fault)
                    continue
                places.append((place, str(row["qid"])))
                image = str(row["image_name"])
                kind = str(row["answer_type"]).strip().lower()
                answer = str(row["answer"]).strip()
                items.append(Item(str(row["qid"]), image, answer, image, str(row["question"]).strip(), kind))
        faults.extend(repeated_id_faults(places, "qid"))
        raise_faults(folder, faults)
        return Listing(tuple(items))

    def files(self, folder: Path, record: str) -> tuple[Path, ...]:
        """The image file."""
        images = next(name for name in IMAGE_FOLDERS if (folder / name).is_dir())
        return (inside(folder, f"{images}/{record}"),)

    def decode(self, folder: Path, record: str) -> Record:
        """`image`, uint8 (224, 224), or (224, 224, 3) for a coloured one."""
        return {"image": load_image(self.files(folder, record)[0], grey=False)}


def _is_vqa_rad(folder: Path) -> bool:
    return all((folder / name).is_file() for name in FILES) and any((folder / name).is_dir() for name in IMAGE_FOLDERS)
