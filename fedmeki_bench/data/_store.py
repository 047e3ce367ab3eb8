"""The prepared store as the rest of the project reads it: tasks, parts, labels, inputs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from fedmeki_bench.data._split import ASSIGNMENTS, Assignment
from fedmeki_bench.errors import BenchError, UsageError, did_you_mean
from fedmeki_bench.files import read_json
from fedmeki_bench.sources import Array
from fedmeki_bench.specs import Modality, Part, TaskSpec

if TYPE_CHECKING:
    import pyarrow as pa

    from fedmeki_bench.data._records import RecordReader

__all__ = ["DEFAULT_STORE", "STORE_FORMAT", "Inputs", "Label", "Labelled", "PreparedStore", "PreparedTask"]

DEFAULT_STORE = Path("prepared")
"""Where `data prepare` writes and `run` looks if no folder is given."""

STORE_FORMAT = 1
"""Version of the store's layout; another one is not read."""

AGAIN = "run data prepare again"


@dataclass(frozen=True)
class Inputs:
    """What a model may see of an item: never its label.

    Attributes:
        id: the item's id.
        modalities: decoded arrays (read-only views), shapes as in `sources.Record`.
        question: the question of a text task.
    """

    id: str
    modalities: Mapping[Modality, Array]
    question: str | None


@dataclass(frozen=True)
class Labelled:
    """An item for training: inputs with `yes`, `no` or the reference answer."""

    inputs: Inputs
    target: str


@dataclass(frozen=True)
class Label:
    """What scoring needs of an item.

    Attributes:
        id: the item's id.
        target: `yes` or `no` for yes/no tasks, else the reference answer.
        group: patient, image or stay; the cluster for intervals.
        question_type: `closed` or `open`, where the source says so.
    """

    id: str
    target: str
    group: str
    question_type: str | None


class PreparedTask:
    """One task of a prepared store. Rows are numbers of items in canonical order.

    Attributes:
        id: task id.
        spec_hash: hash of the spec it was prepared with.
        spec_version: version of that spec.
        split_hash: hash of the ids of each part.
        scheme: `grouped` or `released`.
        source: source adapter.
        simulated: the raw files were simulated.
        skipped: items left out because their record is corrupt.
        counts: items by part, unused ones included.
        details: everything `store.json` records about the task.
    """

    def __init__(self, store: Path, task: str, entry: Mapping[str, Any], records: Mapping[str, Any]) -> None:
        self.id = task
        self.spec_hash: str = entry["spec_hash"]
        self.spec_version: int = entry["spec_version"]
        self.split_hash: str = entry["split_hash"]
        self.scheme: str = entry["scheme"]
        self.source: str = entry["source"]
        self.simulated: bool = entry["simulated"]
        self.skipped: int = entry["skipped"]
        self.counts: Mapping[Assignment, int] = MappingProxyType({part: entry["counts"][part] for part in ASSIGNMENTS})
        self.details: Mapping[str, Any] = MappingProxyType(dict(entry))
        self._store = store
        self._records = records

    def __getstate__(self) -> dict[str, Any]:
        # Memory maps do not travel between processes; the copy opens its own.
        state = {name: value for name, value in self.__dict__.items() if name not in ("_index", "_reader")}
        return state | {"counts": dict(self.counts), "details": dict(self.details)}

    @cached_property
    def _index(self) -> pa.Table:
        import pyarrow as pa
        import pyarrow.parquet as pq

        path = self._store / "tasks" / self.id / "index.parquet"
        try:
            return pq.read_table(path)
        except (OSError, pa.ArrowException) as error:
            raise BenchError("the task's index is missing or damaged", where=path, found=error, fix=AGAIN) from error

    @cached_property
    def _reader(self) -> RecordReader:
        from fedmeki_bench.data._records import RecordReader

        return RecordReader(self._store / "records" / self.details["record_source"], self._records["shards"])

    def rows(self, part: Part | Assignment) -> Sequence[int]:
        """Rows of a part in canonical order (by content hash of seed and id, or as released), never file order."""
        if part not in ASSIGNMENTS:
            raise UsageError(f"unknown part {part!r}", fix=did_you_mean(part, ASSIGNMENTS))
        return [row for row, own in enumerate(self._column("part")) if own == part]

    def labels(self, rows: Sequence[int]) -> list[Label]:
        """Ids, targets, groups and question types; reads the index only."""
        names = ("id", "target", "group", "question_type")
        columns = [self._column(name) for name in names]
        return [Label(*(column[row] for column in columns)) for row in rows]

    def inputs(self, rows: Sequence[int]) -> list[Inputs]:
        """What a model may see; arrays are read-only views of the mapped store."""
        ids, records, questions = self._column("id"), self._column("record"), self._column("question")
        return [Inputs(ids[row], self._arrays(records[row]), questions[row]) for row in rows]

    def labelled(self, rows: Sequence[int]) -> list[Labelled]:
        """Inputs with their targets, for training."""
        targets = self._column("target")
        return [Labelled(inputs, targets[row]) for inputs, row in zip(self.inputs(rows), rows, strict=True)]

    def sites(self, rows: Sequence[int]) -> list[str | None]:
        """Hospital, database or device of each item; None where the source does not say."""
        column = self._column("site")
        return [column[row] for row in rows]

    def demographics(self, rows: Sequence[int]) -> list[Mapping[str, str | float]]:
        """`age`, `sex` and what else the source has, of each item."""
        column = self._column("demographics")
        return [json.loads(column[row]) for row in rows]

    def records(self, rows: Sequence[int]) -> list[str]:
        """Key of each item's decoded record; equal keys mean the same image, signal or stay."""
        column = self._column("record")
        return [column[row] for row in rows]

    def contents(self, rows: Sequence[int]) -> list[str]:
        """SHA-256 of each item's decoded arrays."""
        return [self._reader.content(key) for key in self.records(rows)]

    @property
    def _hours(self) -> int | None:
        hours: int | None = self.details["hours"]
        return hours

    def _column(self, name: str) -> list[Any]:
        if name not in self._lists:
            self._lists[name] = self._index.column(name).to_pylist()
        return self._lists[name]

    @cached_property
    def _lists(self) -> dict[str, list[Any]]:
        return {}

    def _arrays(self, record: str) -> dict[Modality, Array]:
        names: list[Modality] = self.details["modalities"]
        # Only clinical tasks have hours; their arrays run over hours first.
        return {name: self._reader.array(record, name)[: self._hours] for name in names}


class PreparedStore:
    """A folder written by `prepare`.

    Attributes:
        path: the folder.
        tasks: id to task, for the tasks that are there, in the papers' order.
        unavailable: id to reason, for the tasks that could not be prepared.
    """

    def __init__(self, path: Path, tasks: Mapping[str, PreparedTask], unavailable: Mapping[str, str]) -> None:
        self.path = path
        self.tasks = MappingProxyType(dict(tasks))
        self.unavailable = MappingProxyType(dict(unavailable))

    @classmethod
    def open(cls, path: Path, *, tasks: Mapping[str, TaskSpec] | None = None) -> PreparedStore:
        """Open a store; neither torch nor `datasets` is imported.

        Args:
            path: the folder given to `prepare` as `out`.
            tasks: current specs; a task prepared with another spec, or a split that has moved since, is refused.

        Raises:
            BenchError: absent, incomplete, of another format version, or stale.
        """
        table = path / "store.json"
        if not table.is_file():
            fix = "run fedmeki-bench data prepare --root DIR, or name the store with --data"
            raise BenchError("no prepared data", where=path, expected="a folder written by data prepare", found="no store.json", fix=fix)
        content = read_json(table)
        if not isinstance(content, dict) or content.get("format") != STORE_FORMAT:
            found = content.get("format") if isinstance(content, dict) else type(content).__name__
            raise BenchError("the prepared data have another format", where=table, expected=STORE_FORMAT, found=found, fix=AGAIN)
        entries: Mapping[str, Any] = content["tasks"]
        _check_current(table, entries, tasks or {})
        opened = {
            name: PreparedTask(path, name, entry, content["records"][entry["record_source"]]) for name, entry in entries.items()
        }
        return cls(path, opened, content["unavailable"])

    def task(self, name: str) -> PreparedTask:
        """A task by id.

        Raises:
            BenchError: it could not be prepared; says why.
            UsageError: it was never asked for.
        """
        if name in self.tasks:
            return self.tasks[name]
        if name in self.unavailable:
            raise BenchError(f"the task {name} is not available", where=self.path, found=self.unavailable[name])
        raise UsageError(f"the task {name!r} is not prepared", where=self.path, fix=did_you_mean(name, self.tasks))


def _check_current(table: Path, entries: Mapping[str, Any], specs: Mapping[str, TaskSpec]) -> None:
    for name, entry in entries.items():
        spec = specs.get(name)
        if spec is not None and spec.hash != entry["spec_hash"]:
            raise BenchError(
                f"the spec of {name} has changed since its data were prepared",
                where=table,
                expected=f"version {spec.version}, hash {spec.hash[:12]}",
                found=f"version {entry['spec_version']}, hash {entry['spec_hash'][:12]}",
                fix=AGAIN,
            )
        for other, partition in entry["depends"].items():
            if other in entries and entries[other]["partition_hash"] != partition:
                raise BenchError(
                    f"{other} was prepared anew since {name}, which must be disjoint from it", where=table, fix=AGAIN
                )
