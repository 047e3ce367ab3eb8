"""ECG-QA (Oh 2023): questions about PTB-XL records."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from fedmeki_bench.errors import BenchError, Fault
from fedmeki_bench.sources._files import find_folder, raise_faults, read_json_list, repeated_id_faults
from fedmeki_bench.sources._types import Adapter, Item, Listing, Record, Source
from fedmeki_bench.sources.ptb_xl import PtbXl, read_patients
from fedmeki_bench.specs import Modality, Selection

__all__ = ["EcgQa"]

QUESTIONS = "ecgqa/ptbxl/template"
SPLITS = ("train", "valid", "test")
FIELDS = ("sample_id", "question_type", "attribute_type", "question", "answer", "ecg_id")
CLOSED = "verify"


class EcgQa(Adapter):
    """Template questions on single PTB-XL records; the group is the PTB-XL patient.

    The folder is a root below which both ECG-QA and PTB-XL are found. Template questions are used, as in the
    public release of the benchmark; the paraphrased ones ask the same of the same records.
    """

    name: ClassVar[str] = "ecg_qa"
    record_source: ClassVar[str] = "ptb_xl"
    modalities: ClassVar[tuple[Modality, ...]] = ("signal",)
    layout: ClassVar[str] = (
        f"{QUESTIONS}/{{train,valid,test}}/*.json, together with PTB-XL (ptbxl_database.csv) for the records"
    )

    def find(self, root: Path) -> Path | None:
        """`root` itself if the questions and PTB-XL are both below it."""
        return root if _questions(root) and PtbXl().find(root) else None

    def listing(self, folder: Path, selection: Selection) -> Listing:
        """One item a question; id is `<split>:<sample_id>`, group and record are those of PTB-XL."""
        questions, ptb_xl = self._folders(folder)
        patients = read_patients(ptb_xl)
        items: list[Item] = []
        faults: list[Fault] = []
        places: list[tuple[str, str]] = []
        other = several = 0
        files = [(split, file) for split in SPLITS for file in sorted((questions / QUESTIONS / split).glob("*.json"))]
        for split, file in files:
            for place, row in read_json_list(file, FIELDS):
                if selection.attribute_type not in (None, row["attribute_type"]):
                    other += 1
                elif len(row["ecg_id"]) != 1:
                    several += 1
                elif str(row["ecg_id"][0]) not in patients:
                    faults.append(Fault(place, "ecg_id", "a record of ptbxl_database.csv", str(row["ecg_id"][0])))
                else:
                    places.append((place, f"{split}:{row['sample_id']}"))
                    items.append(_item(places[-1][1], row, *patients[str(row["ecg_id"][0])]))
        raise_faults(questions / QUESTIONS, [*faults, *repeated_id_faults(places, "sample_id")])
        left_out = {"questions about other attributes": other, "questions that compare two records": several}
        return Listing(tuple(items), {reason: count for reason, count in left_out.items() if count})

    def record_owner(self, folder: Path) -> tuple[Source, Path]:
        """PTB-XL and its folder."""
        return PtbXl(), self._folders(folder)[1]

    def files(self, folder: Path, record: str) -> tuple[Path, ...]:
        """The PTB-XL record's files."""
        return PtbXl().files(self._folders(folder)[1], record)

    def decode(self, folder: Path, record: str) -> Record:
        """`signal`, as PTB-XL decodes it."""
        return PtbXl().decode(self._folders(folder)[1], record)

    @staticmethod
    def _folders(root: Path) -> tuple[Path, Path]:
        questions, ptb_xl = _questions(root), PtbXl().find(root)
        if questions is None or ptb_xl is None:
            raise BenchError("ECG-QA needs its questions and PTB-XL's records", where=root, expected=EcgQa.layout)
        return questions, ptb_xl


def _questions(root: Path) -> Path | None:
    return find_folder(root, lambda folder: any((folder / QUESTIONS / split).is_dir() for split in SPLITS), "ecg_qa")


def _item(name: str, row: dict[str, object], patient: str, record: str) -> Item:
    answers = row["answer"] if isinstance(row["answer"], list) else [row["answer"]]
    kind = "closed" if str(row["question_type"]).endswith(CLOSED) else "open"
    return Item(name, patient, ", ".join(map(str, answers)), record, str(row["question"]), kind)
