"""The audit of a prepared store: leaks, label balance, confounds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fedmeki_bench.data._confounds import Confound, find_confounds
from fedmeki_bench.data._deal import deal
from fedmeki_bench.data._index import PlannedTask, TaskIndex
from fedmeki_bench.data._leaks import Leak, find_leaks
from fedmeki_bench.data._plan import Planner, Scheme, Unavailable, with_dependencies
from fedmeki_bench.data._store import PreparedStore
from fedmeki_bench.errors import BenchError
from fedmeki_bench.sources import YES
from fedmeki_bench.specs import PARTS, TaskSpec

__all__ = ["AuditReport", "Balance", "audit", "audit_plan"]


@dataclass(frozen=True)
class Balance:
    """Items and positives of one part of a task, or of one client's private items (`client 1` ...)."""

    task: str
    holder: str
    items: int
    groups: int
    positives: int | None


@dataclass(frozen=True)
class AuditReport:
    """What an audit found.

    Attributes:
        place: the store, or the root of the raw files.
        decoded: records were compared too; else only what the metadata say.
        tasks: the tasks looked at.
        leaks: everything that stands on two sides.
        balance: items and positives by part and client.
        confounds: metadata columns with their power to predict the label.
    """

    place: Path
    decoded: bool
    tasks: tuple[str, ...]
    leaks: tuple[Leak, ...]
    balance: tuple[Balance, ...]
    confounds: tuple[Confound, ...]

    @property
    def forbidden(self) -> list[Leak]:
        """Leaks that no spec allows in writing."""
        return [leak for leak in self.leaks if not leak.allowed]

    def as_json(self) -> dict[str, Any]:
        """JSON-able content."""
        return {**asdict(self), "place": str(self.place), "forbidden": len(self.forbidden)}

    def render(self) -> str:
        """Leaks, then the label balance, then the confounds."""
        from tabulate import tabulate

        depth = "metadata and decoded records" if self.decoded else "metadata only: no content was compared"
        heads = ["task", "kind", "part", "items", "positive items", "also in", "by the spec"]
        leaks = tabulate([leak.row for leak in self.leaks], headers=heads) if self.leaks else "none"
        lines = [f"Leaks ({len(self.tasks)} tasks, {depth})", "", leaks]
        rows = [
            [
                one.task,
                one.holder,
                one.items,
                one.groups,
                "" if one.positives is None else f"{one.positives / one.items:.1%}",
            ]
            for one in self.balance
        ]
        lines += ["", "Balance", "", tabulate(rows, headers=["task", "held by", "items", "groups", "positive"])]
        lines += ["", "Confounds (how well one metadata column alone predicts the label)"]
        lines += [f"  {one.render()}" for one in self.confounds] or ["  no metadata"]
        return "\n".join(lines)


def audit(
    store: PreparedStore,
    *,
    tasks: Mapping[str, TaskSpec],
    clients: int = 5,
    seed: int = 0,
    progress: Callable[[str, int, int], None] = lambda stage, done, total: None,
) -> AuditReport:
    """Look for everything that would make a score mean less than it says.

    Args:
        store: the prepared store.
        tasks: specs of the tasks to look at; those the store lacks are passed over.
        clients: number of clients in the label balance.
        seed: seed of the deal to them.
        progress: told of images hashed.
    """
    return _audit(store.path, store.tasks, tasks, clients, seed, progress)


def audit_plan(
    root: Path,
    *,
    tasks: Mapping[str, TaskSpec],
    scheme: Scheme | None = None,
    clients: int = 5,
    seed: int = 0,
) -> AuditReport:
    """Audit the partition that `prepare` would make, from metadata alone: neither files nor content are
    looked at.

    Args:
        root: folder with the raw data sets; label tables suffice.
        tasks: specs of the tasks to look at; those without metadata below the root are passed over.
        scheme: overrides the specs' partition scheme.
        clients: number of clients in the label balance.
        seed: seed of the deal to them.
    """
    planner = Planner(root, with_dependencies(tasks), scheme, need_files=False)
    known: dict[str, TaskIndex] = {}
    for name in with_dependencies(tasks):
        # A task that is not there is not audited, which the report's list of tasks shows.
        with suppress(Unavailable):
            known[name] = PlannedTask(planner.plan(name))
    if not set(known) & set(tasks):
        raise BenchError("nothing to audit", where=root, fix="see fedmeki-bench data ls for where to get the data")
    return _audit(root, known, tasks, clients, seed, lambda stage, done, total: None)


def _audit(
    place: Path,
    known: Mapping[str, TaskIndex],
    tasks: Mapping[str, TaskSpec],
    clients: int,
    seed: int,
    progress: Callable[[str, int, int], None],
) -> AuditReport:
    here = {name: spec for name, spec in tasks.items() if name in known}
    return AuditReport(
        place=place,
        decoded=not any(isinstance(task, PlannedTask) for task in known.values()),
        tasks=tuple(here),
        leaks=tuple(find_leaks(known, here, progress)),
        balance=tuple(one for name, spec in here.items() for one in _balance(known[name], spec, clients, seed)),
        confounds=tuple(one for name, spec in here.items() for one in find_confounds(known[name], spec)),
    )


def _balance(task: TaskIndex, spec: TaskSpec, clients: int, seed: int) -> list[Balance]:
    holders: dict[str, Sequence[int]] = {part: task.rows(part) for part in PARTS if task.counts[part]}
    private = task.rows("private")
    if len(private) >= clients:
        hands = deal(task, private, clients=clients, seed=seed).clients
        holders |= {f"client {number}": hand for number, hand in enumerate(hands, start=1)}
    found = []
    for holder, rows in holders.items():
        labels = task.labels(rows)
        positives = sum(label.target == YES for label in labels) if spec.kind == "yes_no" else None
        found.append(Balance(spec.id, holder, len(rows), len({label.group for label in labels}), positives))
    return found
