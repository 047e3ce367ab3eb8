"""What prepare will do for each task, known from metadata alone: items, missing files, parts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from fedmeki_bench.data._released import CUTS, released
from fedmeki_bench.data._split import Partition, draw_test, grouped, hash_order
from fedmeki_bench.errors import BenchError, UsageError
from fedmeki_bench.sources import Item, Source, find_source
from fedmeki_bench.specs import TaskSpec, load_tasks

__all__ = ["Planner", "Scheme", "TaskPlan", "Unavailable", "part_counts", "with_dependencies", "without"]

Scheme = Literal["grouped", "released"]

SIMULATED, UNFINISHED = "SIMULATED.json", "SIMULATION_UNFINISHED"
"""Files at the root of a simulated corpus, whole or still being written."""


class Unavailable(Exception):
    """A task cannot be prepared from this root; the message says why. Never leaves this package."""


@dataclass(frozen=True)
class TaskPlan:
    """One task's items and parts before anything is decoded.

    Attributes:
        spec: the spec.
        scheme: the partition scheme in force, which a caller may override.
        source: its adapter.
        folder: where the source was found.
        simulated: the folder lies in a simulated corpus.
        items: the items with all files present, by id; repeats only under the released scheme.
        missing: record to the first file that is not there.
        missing_items: items that refer to those records.
        left_out: rows that are no item, by reason.
        partition: the part of every item.
    """

    spec: TaskSpec
    scheme: Scheme
    source: Source
    folder: Path
    simulated: bool
    items: Mapping[str, Item]
    missing: Mapping[str, str]
    missing_items: int
    left_out: Mapping[str, int]
    partition: Partition


class Planner:
    """Plans tasks below one root; plans that others depend on are made once.

    Args:
        root: folder with the raw data sets.
        tasks: all specs a plan may refer to.
        scheme: overrides the specs' scheme; tasks whose released partition cannot be reproduced stay grouped.
        need_files: items whose files are missing are left out; else metadata alone decide.
    """

    def __init__(
        self,
        root: Path,
        tasks: Mapping[str, TaskSpec],
        scheme: Scheme | None = None,
        *,
        need_files: bool = True,
    ) -> None:
        self._root = root
        self._need_files = need_files
        self._scheme = scheme
        self._tasks = tasks
        self._plans: dict[str, TaskPlan | Unavailable] = {}

    def plan(self, task: str) -> TaskPlan:
        """The plan of a task.

        Raises:
            Unavailable: its source or all its files are missing, or no item is left.
            FaultsError: the source's metadata are faulty.
        """
        if task not in self._plans:
            try:
                self._plans[task] = self._make(self._tasks[task])
            except Unavailable as reason:
                self._plans[task] = reason
        known = self._plans[task]
        if isinstance(known, Unavailable):
            raise known
        return known

    def _make(self, spec: TaskSpec) -> TaskPlan:
        source = find_source(spec.source)
        folder = source.find(self._root)
        if folder is None:
            raise Unavailable(f"{spec.source} not found below the root (looked for {source.layout})")
        listing = source.listing(folder, spec.selection)
        items = listing.items
        left_out = dict(listing.left_out)
        scheme = self._scheme_for(spec)
        if scheme == "grouped":
            items = tuple(item for item in items if item.repeat_of is None)
            if len(items) < len(listing.items):
                left_out["rows that repeat an image"] = len(listing.items) - len(items)
        records = sorted({item.record for item in items})
        missing = source.missing(folder, records) if self._need_files else {}
        present = [item for item in items if item.record not in missing]
        if not present:
            first = next(iter(missing.values()), "none")
            raise Unavailable(
                f"none of the {len(records):,} records that {spec.source} refers to is there (first missing: {first})"
            )
        partition = self._partition(spec, scheme, present, listing.rows)
        if "test" not in partition.parts.values():
            reasons = "; ".join(f"{count} {reason}" for reason, count in partition.reasons.items())
            raise Unavailable(f"no test item is left of {len(present)} ({reasons or 'too few groups to divide'})")
        return TaskPlan(
            spec=spec,
            scheme=scheme,
            source=source,
            folder=folder,
            simulated=_simulated(folder),
            items={item.id: item for item in present},
            missing=missing,
            missing_items=len(items) - len(present),
            left_out=left_out,
            partition=partition,
        )

    def _scheme_for(self, spec: TaskSpec) -> Scheme:
        """The scheme in force; only some tables' released partition is known, but every zero-shot task's
        is.
        """
        possible = spec.role == "zero_shot" or spec.source in CUTS
        if spec.split.scheme == "released" and not possible:
            raise UsageError(
                f"{spec.id}: the released partition cannot be reproduced: it follows an unsorted listing",
                where="split.scheme",
                expected="grouped",
                found="released",
            )
        wanted = self._scheme or spec.split.scheme
        return wanted if possible else "grouped"

    def _partition(
        self, spec: TaskSpec, scheme: Scheme, items: Sequence[Item], rows: Sequence[str | None]
    ) -> Partition:
        if spec.role == "training":
            present = {item.id for item in items}
            return released(spec.source, rows, present) if scheme == "released" else grouped(items, spec.split)
        order = hash_order(spec.split.seed, (item.id for item in items))
        if scheme == "grouped":
            taken = {other: self._training_groups(other) for other in spec.split.disjoint_from}
            return draw_test(items, spec, taken, order=order)
        # The release does not keep zero-shot groups out of training, and takes the first items of a table.
        present = set(order)
        in_file = [name for name in rows if name in present]
        return draw_test(items, spec, {}, order=in_file or order)

    def _training_groups(self, task: str) -> frozenset[str]:
        """Groups in the private, public and development parts of a task; none if it is not available here."""
        try:
            plan = self.plan(task)
        except Unavailable:
            return frozenset()
        parts = plan.partition.parts
        return frozenset(plan.items[name].group for name, part in parts.items() if part not in ("test", "unused"))

    def depends(self, spec: TaskSpec) -> dict[str, str]:
        """Partition hashes of the tasks this one must be disjoint from, as far as they are available."""
        hashes: dict[str, str] = {}
        if self.plan(spec.id).scheme == "released":
            return hashes
        for other in spec.split.disjoint_from:
            known = self._plans.get(other)
            if isinstance(known, TaskPlan):
                hashes[other] = known.partition.hash
        return hashes


def without(partition: Partition, dropped: frozenset[str]) -> Partition:
    """The partition less some items; the others keep their parts."""
    return replace(partition, parts={name: part for name, part in partition.parts.items() if name not in dropped})


def part_counts(partition: Partition) -> Counter[str]:
    """Items by part."""
    return Counter(partition.parts.values())


def _simulated(folder: Path) -> bool:
    """Whether the folder lies in a simulated corpus.

    Raises:
        BenchError: the corpus is not whole.
    """
    for place in (folder.resolve(), *folder.resolve().parents):
        if (place / UNFINISHED).exists():
            raise BenchError("the simulation is not finished", where=place, fix="run fedmeki-bench data simulate again")
        if (place / SIMULATED).is_file():
            return True
    return False


def with_dependencies(tasks: Mapping[str, TaskSpec]) -> dict[str, TaskSpec]:
    """The tasks, and those of the package that they must be disjoint from."""
    wanted = {other for spec in tasks.values() for other in spec.split.disjoint_from} - set(tasks)
    known = load_tasks() if wanted else {}
    return {**{name: known[name] for name in known if name in wanted}, **tasks}
