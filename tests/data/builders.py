"""Small builders of items and partitions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from hypothesis import strategies as st

from fedmeki_bench.sources import NO, YES, Item
from fedmeki_bench.specs import SplitSpec, TaskSpec, load_tasks

RATIO: Any = {"private": 7, "public": 1, "development": 1, "test": 1}


def make_split(**fields: Any) -> SplitSpec:
    defaults: dict[str, Any] = {
        "scheme": "grouped",
        "seed": 7,
        "group": "patient",
        "stratify": "label",
        "ratio": RATIO,
    }
    return SplitSpec(**(defaults | fields))


def make_items(sizes: Sequence[int], positive: Sequence[bool] | None = None) -> list[Item]:
    """One group for each size; every item of a group has its label."""
    labels = positive or [number % 3 == 0 for number in range(len(sizes))]
    return [
        Item(f"g{group}-{number}", f"g{group}", YES if labels[group] else NO, f"r{group}-{number}")
        for group, size in enumerate(sizes)
        for number in range(size)
    ]


def zero_shot(**split: Any) -> TaskSpec:
    spec = load_tasks()["ectopic_beats_detection"]
    return replace(spec, split=replace(spec.split, **split))


@st.composite
def grouped_items(draw: st.DrawFn) -> list[Item]:
    """Items in groups of one to seven with any labels, also mixed within a group."""
    sizes = draw(st.lists(st.integers(1, 7), min_size=1, max_size=60))
    items = make_items(sizes)
    labels = draw(st.lists(st.sampled_from([YES, NO]), min_size=len(items), max_size=len(items)))
    return [replace(item, target=label) for item, label in zip(items, labels, strict=True)]
