"""Which sources are there: raw files below a root, prepared tasks in a store, and where the rest is
obtained."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fedmeki_bench.data._store import PreparedStore
from fedmeki_bench.errors import BenchError
from fedmeki_bench.sources import Description, find_source
from fedmeki_bench.specs import TaskSpec

__all__ = ["SourceStatus", "Survey", "survey"]


@dataclass(frozen=True)
class SourceStatus:
    """One source.

    Attributes:
        source: its name.
        tasks: abbreviations of the tasks it feeds.
        folder: where it was found below the root, or None.
        description: what was found (of the first task it feeds), or None.
        problem: why it could not be read although it was found.
        prepared: prepared items in the parts, by task abbreviation.
        simulated: the prepared records are simulated.
        licence: its licence or terms.
        access: where and how to obtain it.
        layout: the files and folders that are looked for.
    """

    source: str
    tasks: tuple[str, ...]
    folder: str | None
    description: Description | None
    problem: str | None
    prepared: Mapping[str, int]
    simulated: bool
    licence: str
    access: str
    layout: str


@dataclass(frozen=True)
class Survey:
    """All sources of the tasks, in the papers' order; `root` is None if only the store was looked at."""

    root: str | None
    sources: tuple[SourceStatus, ...]

    def as_json(self) -> dict[str, Any]:
        """JSON-able content; of the missing files only their number and the first."""
        content = asdict(self)
        for one in content["sources"]:
            if one["description"] is not None:
                missing = one["description"]["missing"]
                one["description"]["missing"] = {"records": len(missing), "first": next(iter(missing.values()), None)}
        return content

    def render(self) -> str:
        """A table of what is there, then how to obtain each source."""
        from tabulate import tabulate

        rows = [[one.source, " ".join(one.tasks), self._raw(one), _prepared(one)] for one in self.sources]
        lines = [tabulate(rows, headers=["source", "tasks", "raw files", "prepared items"]), ""]
        for one in self.sources:
            lines.append(f"{one.source}: {one.access}.")
            lines.append(textwrap.indent(f"licence: {one.licence}\nlayout: {one.layout}", "    "))
            if one.problem:
                lines.append(textwrap.indent(f"problem: {one.problem}", "    "))
        return "\n".join(lines)

    def _raw(self, one: SourceStatus) -> str:
        if self.root is None:
            return "not looked for (give --root)"
        if one.folder is None:
            return "missing"
        if one.description is None:
            return "found, with faults (below)"
        gone = len(one.description.missing)
        there = f"{one.description.records - gone:,} records"
        return f"{there}, {gone:,} files missing" if gone else there


def survey(root: Path | None, store: Path, *, tasks: Mapping[str, TaskSpec]) -> Survey:
    """Look for every source below `root` and in `store`; faults of a source are reported, not raised.

    Raises:
        BenchError: `root` does not exist, or `store` is there but cannot be read.
    """
    opened = PreparedStore.open(store) if (store / "store.json").is_file() else None
    by_source: dict[str, list[TaskSpec]] = {}
    for spec in tasks.values():
        by_source.setdefault(spec.source, []).append(spec)
    return Survey(
        None if root is None else str(root),
        tuple(_status(root, opened, specs) for specs in by_source.values()),
    )


def _status(root: Path | None, store: PreparedStore | None, specs: list[TaskSpec]) -> SourceStatus:
    first = specs[0]
    source = find_source(first.source)
    folder = None if root is None else source.find(root)
    description, problem = None, None
    if folder is not None:
        try:
            description = source.describe(folder, first.selection)
        except BenchError as error:
            problem = str(error)
    known = {} if store is None else {spec.short: store.tasks[spec.id] for spec in specs if spec.id in store.tasks}
    return SourceStatus(
        source=first.source,
        tasks=tuple(spec.short for spec in specs),
        folder=None if folder is None else str(folder),
        description=description,
        problem=problem,
        prepared={
            short: sum(count for part, count in task.counts.items() if part != "unused")
            for short, task in known.items()
        },
        simulated=any(task.simulated for task in known.values()),
        licence=first.licence,
        access=first.access,
        layout=source.layout,
    )


def _prepared(one: SourceStatus) -> str:
    text = ", ".join(f"{short} {count:,}" for short, count in one.prepared.items()) or "none"
    return f"{text} (simulated)" if one.simulated else text
