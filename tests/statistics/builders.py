"""Small prediction files as statistics, for the tests of intervals and paired comparisons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from fedmeki_bench.metrics import ItemStatistics


def yes_no(
    truth: Sequence[bool],
    answers: Sequence[bool],
    *,
    scores: Sequence[float] | None = None,
    groups: Sequence[int] | None = None,
    task: str = "covid_detection",
) -> ItemStatistics:
    """Statistics of a yes/no task; each item is its own group unless told otherwise."""
    n = len(truth)
    return ItemStatistics(
        task=task,
        kind="yes_no",
        ids=[f"item-{k:05d}" for k in range(n)],
        groups=np.arange(n) if groups is None else np.asarray(groups, dtype=np.int64),
        parsed=np.ones(n, dtype=np.bool_),
        y_true=np.asarray(truth, dtype=np.bool_),
        y_pred=np.asarray(answers, dtype=np.bool_),
        score=None if scores is None else np.asarray(scores, dtype=np.float64),
    )


def text(values: dict[str, Sequence[float]], *, groups: Sequence[int] | None = None) -> ItemStatistics:
    """Statistics of a text task from its per-item values."""
    n = len(next(iter(values.values())))
    return ItemStatistics(
        task="medvqa_rad",
        kind="text",
        ids=[f"item-{k:05d}" for k in range(n)],
        groups=np.arange(n) if groups is None else np.asarray(groups, dtype=np.int64),
        parsed=np.ones(n, dtype=np.bool_),
        text={name: np.asarray(rows, dtype=np.float64) for name, rows in values.items()},
    )


def reordered(stats: ItemStatistics, order: Sequence[int]) -> ItemStatistics:
    """The same items in another order, with groups numbered by first appearance as a reader would."""
    take = np.asarray(order)
    codes: dict[int, int] = {}
    return replace(
        stats,
        ids=[stats.ids[k] for k in order],
        groups=np.array(
            [codes.setdefault(int(code), len(codes)) for code in stats.groups[take]], dtype=np.int64
        ),
        parsed=stats.parsed[take],
        y_true=None if stats.y_true is None else stats.y_true[take],
        y_pred=None if stats.y_pred is None else stats.y_pred[take],
        score=None if stats.score is None else stats.score[take],
        text={name: rows[take] for name, rows in stats.text.items()},
    )


def random_yes_no(seed: int, n: int, *, clusters: int | None = None, ties: bool = False) -> ItemStatistics:
    """Random labels, answers and scores; `ties` rounds the scores to one digit."""
    rng = np.random.default_rng(seed)
    truth = rng.random(n) < 0.4
    scores = np.clip(rng.normal(0.4 + 0.2 * truth, 0.25), 0.0, 1.0)
    scores = scores.round(1) if ties else scores
    groups = rng.integers(0, clusters, n) if clusters else None
    return yes_no(
        list(truth), list(scores > 0.5), scores=list(scores), groups=None if groups is None else list(groups)
    )
