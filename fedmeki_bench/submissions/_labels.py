"""Where the checker's labels come from: a prepared store or a folder of `<task>.jsonl`, never a bundle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from fedmeki_bench.errors import BenchError, UsageError
from fedmeki_bench.metrics import LabelLike, LabelRow, Score, reference_rows
from fedmeki_bench.specs import TaskSpec
from fedmeki_bench.submissions._text import parse_json

if TYPE_CHECKING:
    from fedmeki_bench.data import PreparedStore

__all__ = ["Labels", "read_labels"]


@dataclass
class Labels:
    """The test labels of a benchmark's tasks, read when first asked for and kept.

    Attributes:
        store: the prepared store they come from, or None.
        folder: the folder of `<task>.jsonl` they come from, or None.
    """

    store: PreparedStore | None = None
    folder: Path | None = None
    _read: dict[str, Sequence[LabelLike] | None] = field(default_factory=dict)
    _references: dict[tuple[str, int], Mapping[str, Mapping[str, Score]]] = field(default_factory=dict)

    @staticmethod
    def from_store(path: Path) -> Labels:
        """Labels of a prepared store (`data prepare`); neither torch nor `datasets` is imported.

        Raises:
            BenchError: not a prepared store.
        """
        from fedmeki_bench.data import PreparedStore

        return Labels(store=PreparedStore.open(path))

    @staticmethod
    def from_folder(folder: Path) -> Labels:
        """Labels of a folder of `<task>.jsonl`, each line as `read_labels` takes it (a run's `labels/`).

        Raises:
            UsageError: the folder holds no such file.
        """
        if not any(folder.glob("*.jsonl")):
            raise UsageError("no labels here", where=folder, expected="files named <task>.jsonl", found="none")
        return Labels(folder=folder)

    def split_hash(self, task: str) -> str | None:
        """The hash of the task's split in the store; None for a plain folder or a task it does not hold."""
        if self.store is None or task not in self.store.tasks:
            return None
        return self.store.tasks[task].split_hash

    def test_labels(self, task: str, limit: int | None = None) -> Sequence[LabelLike] | None:
        """The labels of the task's test part in canonical order, None if there are none here.

        Args:
            task: the task's id.
            limit: only the first so many, as a limited run answers: nobody can choose the easy ones.

        Raises:
            BenchError: the file is there but cannot be read as labels.
        """
        if task not in self._read:
            self._read[task] = self._load(task)
        labels = self._read[task]
        return labels if labels is None else labels[:limit]

    def references(self, spec: TaskSpec, limit: int | None = None) -> Mapping[str, Mapping[str, Score]]:
        """Scores of the constant answers on the same labels; empty without labels."""
        labels = self.test_labels(spec.id, limit) or ()
        key = (spec.id, len(labels))
        if key not in self._references:
            self._references[key] = reference_rows(spec, labels)
        return self._references[key]

    def _load(self, task: str) -> Sequence[LabelLike] | None:
        if self.store is not None:
            prepared = self.store.tasks.get(task)
            return None if prepared is None else prepared.labels(prepared.rows("test"))
        path = self.folder / f"{task}.jsonl" if self.folder else None
        return read_labels(path) if path is not None and path.is_file() else None


def read_labels(path: Path) -> list[LabelRow]:
    """The rows of one label file (`id`, `target`, `group`, perhaps `question_type`).

    Raises:
        BenchError: a line that is no label, with its number.
    """
    rows = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            raw = parse_json(line)
            rows.append(LabelRow(raw["id"], raw["target"], raw["group"], raw.get("question_type")))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise BenchError(
                "not a label", where=f"{path}:{number}", expected="id, target, group", found=error
            ) from error
    return rows
