"""Which part each item belongs to: group-disjoint, stratified, decided by content hashes alone.

No random state and no file order enters: the order of groups is the SHA-256 of (seed, group), so the
partition is the same on every machine, in every process, however the files are listed.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from fedmeki_bench.files import content_hash
from fedmeki_bench.sources import YES, Item
from fedmeki_bench.specs import PARTS, Part, SplitSpec, TaskSpec

__all__ = ["ASSIGNMENTS", "Assignment", "Partition", "draw_test", "grouped", "hash_order"]

Assignment = Literal["private", "public", "development", "test", "unused"]
ASSIGNMENTS: tuple[Assignment, ...] = (*PARTS, "unused")
"""The parts, and `unused` for items of the task that no part needs."""


@dataclass(frozen=True)
class Partition:
    """The part of every item.

    Attributes:
        parts: item id to part; iteration order is the canonical order of the items.
        reasons: for unused items, how many are unused for which reason.
    """

    parts: Mapping[str, Assignment]
    reasons: Mapping[str, int]

    @property
    def hash(self) -> str:
        """SHA-256 over the ids of each part in canonical order."""
        return content_hash({part: [name for name, own in self.parts.items() if own == part] for part in ASSIGNMENTS})


def hash_order(seed: int, names: Iterable[str]) -> list[str]:
    """Names sorted by the SHA-256 of (seed, name): a fixed shuffle that needs no random state."""
    return sorted(names, key=lambda name: content_hash([seed, name]))


def grouped(items: Sequence[Item], split: SplitSpec) -> Partition:
    """Divide items so that no group stands in two parts and each part has its share within one group's size.

    Every group gets a position in (0, 1): the middle of its items when the groups of its stratum are laid
    end to end in hash order. Merged by position, the strata are spread evenly over the whole, and one pass
    of cuts at the cumulative ratio divides all of them alike. A group goes to the part that holds its middle
    item, so each cut is off by at most half a group and each part by at most one.
    """
    sizes = Counter(item.group for item in items)
    by_stratum: dict[object, list[str]] = defaultdict(list)
    positives = {item.group for item in items if item.target == YES} if split.stratify == "label" else set()
    for group in hash_order(split.seed, sizes):
        by_stratum[group in positives].append(group)
    position: dict[str, Fraction] = {}
    for groups in by_stratum.values():
        total, before = sum(sizes[group] for group in groups), 0
        for group in groups:
            position[group] = Fraction(2 * before + sizes[group], 2 * total)
            before += sizes[group]
    part_of: dict[str, Part] = {}
    cuts = _cuts(split.ratio)
    before = 0
    for group in sorted(position, key=lambda name: (position[name], content_hash([split.seed, name]))):
        middle = Fraction(2 * before + sizes[group], 2 * len(items))
        part_of[group] = next(part for part, cut in cuts if middle <= cut)
        before += sizes[group]
    part_of_item = {item.id: part_of[item.group] for item in items}
    return Partition({name: part_of_item[name] for name in hash_order(split.seed, part_of_item)}, {})


def draw_test(
    items: Sequence[Item], spec: TaskSpec, taken: Mapping[str, Collection[str]], *, order: Sequence[str]
) -> Partition:
    """The test part of a zero-shot task: items in `order` whose group is not taken, up to the papers' size.

    Args:
        items: all items of the task.
        spec: gives `test_size` and `balanced`.
        taken: task id to the groups in its private, public and development parts.
        order: item ids in the order in which they are drawn.
    """
    by_id = {item.id: item for item in items}
    reasons: Counter[str] = Counter()
    free: list[str] = []
    for name in order:
        holder = next((task for task, groups in taken.items() if by_id[name].group in groups), None)
        if holder is None:
            free.append(name)
        else:
            reasons[f"group in a training part of {holder}"] += 1
    chosen = free
    if spec.split.balanced:
        positive = [name for name in free if by_id[name].target == YES]
        negative = [name for name in free if by_id[name].target != YES]
        each = min(len(positive), len(negative), (spec.split.test_size or 2 * len(free)) // 2)
        kept = {*positive[:each], *negative[:each]}
        chosen = [name for name in free if name in kept]
        reasons["beyond as many of one answer as of the other"] += len(free) - len(chosen)
    elif spec.split.test_size is not None:
        chosen = free[: spec.split.test_size]
        reasons["beyond the papers' test size"] += len(free) - len(chosen)
    test = set(chosen)
    parts: dict[str, Assignment] = {name: "test" if name in test else "unused" for name in order}
    return Partition(parts, {reason: count for reason, count in reasons.items() if count})


def _cuts(ratio: Mapping[Part, int]) -> list[tuple[Part, Fraction]]:
    """Parts with the share of items up to their end."""
    total, before = sum(ratio.values()), 0
    cuts = []
    for part in PARTS:
        if part in ratio:
            before += ratio[part]
            cuts.append((part, Fraction(before, total)))
    return cuts
