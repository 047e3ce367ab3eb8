"""The index of a task: ids, groups, targets and parts, without any decoded record."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from fedmeki_bench.data._plan import TaskPlan, part_counts
from fedmeki_bench.data._split import ASSIGNMENTS, Assignment, Partition
from fedmeki_bench.errors import UsageError, did_you_mean
from fedmeki_bench.specs import Part

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Label", "PlannedTask", "TaskIndex", "index_entry", "index_table"]


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


class TaskIndex:
    """One task's items. Rows are numbers of items in canonical order.

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

    _table: pa.Table

    def __init__(self, task: str, entry: Mapping[str, Any]) -> None:
        self.id = task
        self.spec_hash: str = entry["spec_hash"]
        self.spec_version: int = entry["spec_version"]
        self.split_hash: str = entry["split_hash"]
        self.scheme: str = entry["scheme"]
        self.source: str = entry["source"]
        self.simulated: bool = entry["simulated"]
        self.skipped: int = entry["skipped"]
        counts = {part: entry["counts"][part] for part in ASSIGNMENTS}
        self.counts: Mapping[Assignment, int] = MappingProxyType(counts)
        self.details: Mapping[str, Any] = MappingProxyType(dict(entry))

    def rows(self, part: Part | Assignment) -> Sequence[int]:
        """Rows of a part, in canonical order: by content hash of seed and id, or as released; never file
        order.
        """
        if part not in ASSIGNMENTS:
            raise UsageError(f"unknown part {part!r}", fix=did_you_mean(part, ASSIGNMENTS))
        return [row for row, own in enumerate(self._column("part")) if own == part]

    def labels(self, rows: Sequence[int]) -> list[Label]:
        """Ids, targets, groups and question types."""
        names = ("id", "target", "group", "question_type")
        columns = [self._column(name) for name in names]
        return [Label(*(column[row] for column in columns)) for row in rows]

    def sites(self, rows: Sequence[int]) -> list[str | None]:
        """Hospital, database or device of each item; None where the source does not say."""
        return self._values("site", rows)

    def demographics(self, rows: Sequence[int]) -> list[Mapping[str, str | float]]:
        """`age`, `sex` and what else the source has, of each item."""
        return [json.loads(text) for text in self._values("demographics", rows)]

    def questions(self, rows: Sequence[int]) -> list[str | None]:
        """The question of each item; None for yes/no tasks."""
        return self._values("question", rows)

    def records(self, rows: Sequence[int]) -> list[str]:
        """Key of each item's decoded record; equal keys mean the same image, signal or stay."""
        return self._values("record", rows)

    def _values(self, name: str, rows: Sequence[int]) -> list[Any]:
        column = self._column(name)
        return [column[row] for row in rows]

    def _column(self, name: str) -> list[Any]:
        if name not in self._columns:
            self._columns[name] = self._table.column(name).to_pylist()
        return self._columns[name]

    @cached_property
    def _columns(self) -> dict[str, list[Any]]:
        return {}


class PlannedTask(TaskIndex):
    """A task as it would be prepared: the index alone, known from metadata."""

    def __init__(self, plan: TaskPlan) -> None:
        super().__init__(plan.spec.id, index_entry(plan, plan.partition, {}, skipped=0))
        self._table = index_table(plan, plan.partition)


def index_table(plan: TaskPlan, partition: Partition) -> pa.Table:
    """The columns of `index.parquet`, one row an item in canonical order."""
    import pyarrow as pa

    rows = [(plan.items[name], part) for name, part in partition.parts.items()]
    text = ("id", "group", "target", "record", "question", "question_type", "site")
    columns = {name: pa.array([getattr(item, name) for item, _ in rows], pa.string()) for name in text}
    people = [json.dumps(dict(item.demographics), sort_keys=True) for item, _ in rows]
    columns["demographics"] = pa.array(people, pa.string())
    columns["part"] = pa.array([part for _, part in rows], pa.string())
    return pa.table(columns)


def index_entry(plan: TaskPlan, partition: Partition, depends: Mapping[str, str], *, skipped: int) -> dict[str, Any]:
    """What `store.json` records about a task.

    Args:
        plan: the task's plan.
        partition: the parts after corrupt records were left out.
        depends: partition hashes of the tasks it was kept disjoint from.
        skipped: items left out for a corrupt record.
    """
    spec, counts = plan.spec, part_counts(partition)
    return {
        "source": spec.source,
        "record_source": plan.source.record_source,
        "simulated": plan.simulated,
        "spec_version": spec.version,
        "spec_hash": spec.hash,
        "scheme": plan.scheme,
        "split_hash": partition.hash,
        "partition_hash": plan.partition.hash,
        "depends": dict(depends),
        "modalities": list(spec.encoded_modalities),
        "hours": spec.selection.hours,
        "counts": {part: counts[part] for part in ASSIGNMENTS},
        "skipped": skipped,
        "missing": {"records": len(plan.missing), "items": plan.missing_items},
        "left_out": dict(plan.left_out),
        "unused": dict(partition.reasons),
    }
