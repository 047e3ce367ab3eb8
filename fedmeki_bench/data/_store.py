"""The prepared store as the rest of the project reads it: tasks, parts, labels, inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from fedmeki_bench.data._index import Label, TaskIndex
from fedmeki_bench.errors import BenchError, UsageError, did_you_mean
from fedmeki_bench.files import file_sha256, read_json
from fedmeki_bench.sources import Array
from fedmeki_bench.specs import Modality, TaskSpec

if TYPE_CHECKING:
    import pyarrow as pa

    from fedmeki_bench.data._records import RecordReader

__all__ = ["DEFAULT_STORE", "STORE_FORMAT", "Inputs", "Label", "Labelled", "PreparedStore", "PreparedTask"]

DEFAULT_STORE = Path("prepared")
"""Where `data prepare` writes and `run` looks if no folder is given."""

STORE_FORMAT = 3
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


class PreparedTask(TaskIndex):
    """One task of a prepared store: its index, and the decoded records behind it."""

    def __init__(self, store: Path, task: str, entry: Mapping[str, Any]) -> None:
        super().__init__(task, entry)
        self._store = store

    def __getstate__(self) -> dict[str, Any]:
        # Memory maps do not travel between processes; the copy opens its own.
        state = {name: value for name, value in self.__dict__.items() if name not in ("_table", "_reader")}
        return state | {"counts": dict(self.counts), "details": dict(self.details)}

    @cached_property
    def _table(self) -> pa.Table:
        import pyarrow as pa
        import pyarrow.parquet as pq

        path = self._store / "tasks" / self.id / "index.parquet"
        try:
            # A run killed between the index and store.json leaves the two of different partitions.
            if file_sha256(path) != self.details["index_sha256"]:
                raise BenchError("the task's index is not the one that was prepared", where=path, fix=AGAIN)
            return pq.read_table(path)
        except (OSError, pa.ArrowException) as error:
            what = "the task's index is missing or damaged"
            raise BenchError(what, where=path, found=error, fix=AGAIN) from error

    @cached_property
    def _reader(self) -> RecordReader:
        from fedmeki_bench.data._records import RecordReader

        return RecordReader(self._store / "records" / self.details["record_source"], self.details["shards"])

    def inputs(self, rows: Sequence[int]) -> list[Inputs]:
        """What a model may see; arrays are read-only views of the mapped store."""
        ids, records, questions = self._column("id"), self._column("record"), self._column("question")
        return [Inputs(ids[row], self._arrays(records[row]), questions[row]) for row in rows]

    def labelled(self, rows: Sequence[int]) -> list[Labelled]:
        """Inputs with their targets, for training."""
        targets = self._column("target")
        return [Labelled(inputs, targets[row]) for inputs, row in zip(self.inputs(rows), rows, strict=True)]

    def contents(self, rows: Sequence[int]) -> list[str]:
        """SHA-256 of each item's decoded arrays."""
        return [self._reader.content(key) for key in self.records(rows)]

    def _arrays(self, record: str) -> dict[Modality, Array]:
        names: list[Modality] = self.details["modalities"]
        # Only clinical tasks have hours; their arrays run over hours first.
        return {name: self._reader.array(record, name)[: self.details["hours"]] for name in names}


class PreparedStore:
    """A folder written by `prepare`.

    Attributes:
        path: the folder.
        tasks: id to task, for the tasks that are there; in the order of the specs, where given.
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
            tasks: current specs; a task prepared with another spec, or a split that has moved since, is
                refused.

        Raises:
            BenchError: absent, incomplete, of another format version, or stale.
        """
        table = path / "store.json"
        if not table.is_file():
            fix = "run fedmeki-bench data prepare --root DIR, or name the store with --data"
            raise BenchError(
                "no prepared data",
                where=path,
                expected="a folder written by data prepare",
                found="no store.json",
                fix=fix,
            )
        content = read_json(table)
        if not isinstance(content, dict) or content.get("format") != STORE_FORMAT:
            found = content.get("format") if isinstance(content, dict) else type(content).__name__
            raise BenchError(
                "the prepared data have another format",
                where=table,
                expected=STORE_FORMAT,
                found=found,
                fix=AGAIN,
            )
        entries: Mapping[str, Any] = content["tasks"]
        _check_current(table, entries, tasks or {})
        opened = {name: PreparedTask(path, name, entry) for name, entry in entries.items()}
        order = [*(name for name in tasks or {} if name in opened), *opened]
        return cls(path, {name: opened[name] for name in order}, content["unavailable"])

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
                    f"{other} was prepared anew since {name}, which must be disjoint from it",
                    where=table,
                    fix=AGAIN,
                )
