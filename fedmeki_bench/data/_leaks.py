"""What stands on two sides: groups, identical content, near-duplicate images, questions, zero-shot
records."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from fedmeki_bench.data._index import TaskIndex
from fedmeki_bench.data._near import near_duplicates
from fedmeki_bench.data._store import PreparedTask
from fedmeki_bench.sources import YES
from fedmeki_bench.specs import Part, TaskSpec

__all__ = ["Leak", "LeakKind", "find_leaks"]

LeakKind = Literal["group", "content", "near_duplicate", "zero_shot_record", "question"]

TRAINING_PARTS: tuple[Part, ...] = ("private", "public", "development")
SIDES: tuple[tuple[Part, tuple[Part, ...]], ...] = (
    ("test", TRAINING_PARTS),
    ("development", ("private", "public")),
    ("public", ("private",)),
)
"""Each part with the parts it is compared to, so that every pair is looked at once."""

EXAMPLES = 3


@dataclass(frozen=True)
class Leak:
    """Items of one part that meet something of other parts.

    Attributes:
        task: the task whose items leak.
        kind: `group` (a patient, image or stay on both sides), `content` (identical decoded arrays under two
            record keys), `near_duplicate` (images whose perceptual hashes nearly agree), `question` (the
            same question about the same record), `zero_shot_record` (a zero-shot item's record stands in a
            training part).
        part: the part of the items.
        against: the parts, or the task and its parts, they meet.
        items: how many items leak.
        of: how many items the part has.
        positives: how many of the leaking items are positive; None for text tasks.
        of_positives: how many positive items the part has; None for text tasks.
        examples: ids of the first ones.
        allowed: the task's spec allows this kind in writing.
    """

    task: str
    kind: LeakKind
    part: Part
    against: str
    items: int
    of: int
    positives: int | None
    of_positives: int | None
    examples: tuple[str, ...]
    allowed: bool

    @property
    def row(self) -> tuple[str, ...]:
        """The leak as cells of a table: task, kind, part, items, positives, what they meet, verdict."""
        positives = "" if self.positives is None else _share(self.positives, self.of_positives or 0)
        verdict = "allowed" if self.allowed else "NOT ALLOWED"
        return (
            self.task,
            self.kind,
            self.part,
            _share(self.items, self.of),
            positives,
            self.against,
            verdict,
        )


def _share(some: int, every: int) -> str:
    return f"{some:,} of {every:,} ({some / every:.0%})" if every else "0 of 0"


class _Side:
    """The items of one part of a task, with what they can be recognised by."""

    def __init__(self, task: TaskIndex, part: Part) -> None:
        self.task, self.part = task, part
        self.rows = list(task.rows(part))
        self.labels = task.labels(self.rows)

    @cached_property
    def records(self) -> list[str]:
        """Record keys, told apart by their source."""
        return [f"{self.task.details['record_source']}/{key}" for key in self.task.records(self.rows)]

    @cached_property
    def groups(self) -> list[str]:
        return [label.group for label in self.labels]

    @cached_property
    def contents(self) -> list[str]:
        """Content hashes; none for a task that is only planned."""
        return self.task.contents(self.rows) if isinstance(self.task, PreparedTask) else []

    @cached_property
    def questions(self) -> list[tuple[str, str]]:
        """(record, question in lower case without outer spaces)."""
        asked = self.task.questions(self.rows)
        return [(record, (text or "").strip().lower()) for record, text in zip(self.records, asked, strict=True)]


def find_leaks(
    known: Mapping[str, TaskIndex], tasks: Mapping[str, TaskSpec], progress: Callable[[str, int, int], None]
) -> list[Leak]:
    """Every leak within a task, and from zero-shot tasks into the training tasks.

    Args:
        known: every task there is, prepared or planned.
        tasks: specs of the tasks to audit; those that are not there are passed over.
        progress: told of images hashed.
    """
    sides = {name: {part: _Side(task, part) for part in (*TRAINING_PARTS, "test")} for name, task in known.items()}
    near = near_duplicates(known, [name for name in tasks if name in known], progress)
    leaks: list[Leak] = []
    for name, spec in tasks.items():
        if name not in sides:
            continue
        if spec.role == "training":
            for part, others in SIDES:
                against = [sides[name][other] for other in others]
                leaks += _compare(spec, sides[name][part], against, ", ".join(others), near, within=True)
            continue
        for other, training in sides.items():
            against = [training[part] for part in TRAINING_PARTS if training[part].rows]
            if other != name and against:
                where = f"{other} ({', '.join(side.part for side in against)})"
                leaks += _compare(spec, sides[name]["test"], against, where, near, within=False)
    return leaks


def _compare(
    spec: TaskSpec,
    side: _Side,
    others: Sequence[_Side],
    where: str,
    near: Mapping[str, frozenset[str]],
    *,
    within: bool,
) -> list[Leak]:
    """Leaks from one part into others; an item is counted under the first kind that it shows."""
    left = set(range(len(side.rows)))
    found: list[Leak] = []

    def report(kind: LeakKind, hits: Iterable[int]) -> None:
        numbers = sorted(left.intersection(hits))
        if numbers:
            left.difference_update(numbers)
            found.append(_leak(spec, kind, side, numbers, where))

    records = {record for other in others for record in other.records}
    if within:
        report(
            "question",
            _shared(side.questions, (q for o in others for q in o.questions)) if spec.kind == "text" else (),
        )
    else:
        report("zero_shot_record", _shared(side.records, records))
    if within or _comparable(spec, side, others[0]):
        report("group", _shared(side.groups, (group for other in others for group in other.groups)))
    if side.task.details["modalities"] == others[0].task.details["modalities"]:
        report("content", _shared(side.contents, (content for other in others for content in other.contents)))
        report(
            "near_duplicate",
            (n for n, record in enumerate(side.records) if near.get(record, frozenset()) & records),
        )
    return found


def _comparable(spec: TaskSpec, side: _Side, other: _Side) -> bool:
    """Group names of two tasks mean the same people if they share records or one spec names the other."""
    return (
        side.task.details["record_source"] == other.task.details["record_source"]
        or other.task.id in spec.split.disjoint_from
    )


def _shared(own: Sequence[Hashable], others: Iterable[Hashable]) -> list[int]:
    there = set(others)
    return [number for number, value in enumerate(own) if value in there]


def _leak(spec: TaskSpec, kind: LeakKind, side: _Side, numbers: Sequence[int], where: str) -> Leak:
    labels = [side.labels[number] for number in numbers]
    yes_no = spec.kind == "yes_no"
    return Leak(
        task=spec.id,
        kind=kind,
        part=side.part,
        against=where,
        items=len(numbers),
        of=len(side.rows),
        positives=sum(label.target == YES for label in labels) if yes_no else None,
        of_positives=sum(label.target == YES for label in side.labels) if yes_no else None,
        examples=tuple(label.id for label in labels[:EXAMPLES]),
        allowed=kind in spec.split.allowed_leaks,
    )
