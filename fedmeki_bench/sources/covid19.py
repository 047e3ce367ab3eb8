"""COVID-19 Radiography Database (Chowdhury 2020, Rahman 2021): PNG files in one folder a class."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from fedmeki_bench.errors import Fault
from fedmeki_bench.sources._files import demographics, find_folder, inside, raise_faults, read_table
from fedmeki_bench.sources._images import load_image
from fedmeki_bench.sources._types import NO, YES, Adapter, Item, Listing, Record
from fedmeki_bench.specs import Modality, Selection

__all__ = ["Covid19Radiography"]

CLASSES = {"COVID": YES, "Normal": NO}
"""Folder to target. The database's other folders (Lung_Opacity, Viral Pneumonia) belong to no task."""


class Covid19Radiography(Adapter):
    """COVID and Normal images; the class is the folder.

    The database has no patient ids, so an image is its own group. If a `sources.csv` lies in the folder or
    beside it (columns `file`, `source_patient_id`; optional `sex`, `source_repo`), its patients are the
    groups.
    """

    name: ClassVar[str] = "covid19_radiography"
    record_source: ClassVar[str] = "covid19_radiography"
    modalities: ClassVar[tuple[Modality, ...]] = ("image",)
    layout: ClassVar[str] = "COVID/images/*.png and Normal/images/*.png in one folder"

    def find(self, root: Path) -> Path | None:
        """The folder that holds `COVID/images` and `Normal/images`."""
        return find_folder(root, lambda folder: all((folder / name / "images").is_dir() for name in CLASSES), self.name)

    def listing(self, folder: Path, selection: Selection) -> Listing:
        """One item an image file; id and record are the path relative to the folder."""
        known = self._provenance(folder)
        items, faults, other = [], [], 0
        for name, target in CLASSES.items():
            files = sorted((folder / name / "images").iterdir())
            images = [file for file in files if file.suffix.lower() == ".png" and not file.name.startswith(".")]
            other += len(files) - len(images)
            if not images:
                faults.append(Fault(str(folder / name / "images"), "", "PNG files", "none"))
            for file in images:
                key = f"{name}/images/{file.name}"
                row = known.get(key, {})
                items.append(
                    Item(
                        id=key,
                        group=row.get("source_patient_id") or key,
                        target=target,
                        record=key,
                        site=row.get("source_repo") or None,
                        demographics=demographics(sex=row.get("sex"), view=row.get("view")),
                    )
                )
        raise_faults(folder, faults)
        return Listing(tuple(items), {"files that are no PNG image": other} if other else {})

    def files(self, folder: Path, record: str) -> tuple[Path, ...]:
        """The image file."""
        return (inside(folder, record),)

    def decode(self, folder: Path, record: str) -> Record:
        """`image`, uint8 (224, 224)."""
        return {"image": load_image(inside(folder, record), grey=True)}

    @staticmethod
    def _provenance(folder: Path) -> dict[str, dict[str, str]]:
        for table in (folder / "sources.csv", folder.parent / "sources.csv"):
            if table.is_file():
                return {row["file"]: row for _, row in read_table(table, ("file", "source_patient_id"))}
        return {}
