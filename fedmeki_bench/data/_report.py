"""What prepare did, as data and as text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fedmeki_bench.data._plan import TaskPlan
from fedmeki_bench.data._split import ASSIGNMENTS

__all__ = ["PrepareReport", "TaskReport", "task_report"]


@dataclass(frozen=True)
class TaskReport:
    """What became of one task.

    Attributes:
        counts: items by part.
        source: source adapter.
        simulated: the raw files were simulated.
        scheme: partition scheme in force.
        missing: records with an absent file, and the items that refer to them.
        missing_first: the first absent file.
        skipped: items left out because their record is corrupt.
        left_out: rows that are no item, by reason.
        unused: why items are in no part, by reason.
    """

    counts: Mapping[str, int]
    source: str
    simulated: bool
    scheme: str
    missing: tuple[int, int]
    missing_first: str | None
    skipped: int
    left_out: Mapping[str, int]
    unused: Mapping[str, int]


@dataclass(frozen=True)
class PrepareReport:
    """What `prepare` did.

    Attributes:
        store: the folder written.
        tasks: by id, the tasks prepared now.
        unavailable: by id, why a task could not be prepared.
        decoded: records decoded now.
        reused: records that were decoded by an earlier run.
        corrupt: records left out, by key, with the reason.
        seconds: wall time.
    """

    store: Path
    tasks: Mapping[str, TaskReport]
    unavailable: Mapping[str, str]
    decoded: int
    reused: int
    corrupt: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 0.0

    def render(self) -> str:
        """A table of the tasks and a line for everything that was left out."""
        from tabulate import tabulate

        rows = [
            [
                name,
                task.source + (" (simulated)" if task.simulated else ""),
                task.scheme,
                *(task.counts[part] for part in ASSIGNMENTS),
            ]
            for name, task in self.tasks.items()
        ]
        lines = [tabulate(rows, headers=["task", "source", "scheme", *ASSIGNMENTS]), ""]
        for name, task in self.tasks.items():
            if task.missing[0]:
                lines.append(
                    f"{name}: {task.missing[1]:,} items left out, {task.missing[0]:,} records have no file "
                    f"(first: {task.missing_first}; all in tasks/{name}/left_out.jsonl)"
                )
            if task.skipped:
                lines.append(f"{name}: {task.skipped:,} items left out, their records are corrupt")
            lines.extend(f"{name}: {count:,} {reason}" for reason, count in task.left_out.items())
            lines.extend(f"{name}: {count:,} unused: {reason}" for reason, count in task.unused.items())
        lines.extend(f"{name}: not available: {reason}" for name, reason in self.unavailable.items())
        lines.extend(f"corrupt: {key}: {reason}" for key, reason in self.corrupt.items())
        lines.append(f"{self.decoded:,} records decoded, {self.reused:,} reused, {self.seconds:.1f} s: {self.store}")
        return "\n".join(lines)


def task_report(plan: TaskPlan, entry: Mapping[str, Any]) -> TaskReport:
    """The report of a task from its plan and its entry in `store.json`."""
    return TaskReport(
        counts=entry["counts"],
        source=entry["source"],
        simulated=entry["simulated"],
        scheme=entry["scheme"],
        missing=(entry["missing"]["records"], entry["missing"]["items"]),
        missing_first=next(iter(plan.missing.values()), None),
        skipped=entry["skipped"],
        left_out=entry["left_out"],
        unused=entry["unused"],
    )
