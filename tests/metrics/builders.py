"""Small labels and predictions for the tests of scoring."""

from __future__ import annotations

from collections.abc import Sequence

from fedmeki_bench.metrics import LabelRow, Prediction
from fedmeki_bench.specs import TaskSpec, find_task, load_tasks


def task(name: str) -> TaskSpec:
    """A task's spec by id or abbreviation."""
    return find_task(name, load_tasks())


def rows(
    targets: Sequence[str],
    answers: Sequence[str],
    *,
    scores: Sequence[float | None] | None = None,
    types: Sequence[str | None] | None = None,
) -> tuple[list[LabelRow], list[Prediction]]:
    """Labels and predictions of as many items as there are targets, each its own group."""
    n = len(targets)
    kinds, values = types or [None] * n, scores or [None] * n
    labels = [LabelRow(f"i{k}", targets[k], f"g{k}", kinds[k]) for k in range(n)]
    return labels, [Prediction(f"i{k}", answers[k], values[k]) for k in range(n)]
