"""Paired comparison of two methods on the same items: bootstrap of the difference, McNemar's test, Holm's
correction.

Two intervals that overlap say little about a difference; the same items answered by both methods say much
more. All tests here resample or flip whole clusters, so that two questions about one image are not counted as
two patients.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fedmeki_bench.errors import CheckFailed
from fedmeki_bench.metrics._types import ItemStatistics
from fedmeki_bench.metrics.classification import LOWER_IS_BETTER
from fedmeki_bench.metrics.intervals import bootstrap_draws, interval, two_sided_p
from fedmeki_bench.metrics.resampling import check_request, clusters_of, why_no_interval
from fedmeki_bench.metrics.scoring import metric_values

__all__ = [
    "LOWER_IS_BETTER",
    "Difference",
    "McNemar",
    "Spread",
    "aligned",
    "holm",
    "mcnemar",
    "paired_differences",
    "seed_spread",
]


@dataclass(frozen=True)
class Difference:
    """One metric of two methods on the same items.

    Attributes:
        first: the metric of A, the mean over its seeds if there are several.
        second: the metric of B, likewise.
        difference: `first - second`.
        low: lower end of the interval of the difference; None where there is none.
        high: upper end.
        p: two-sided p-value of the paired bootstrap that goes with the interval.
    """

    first: float
    second: float
    difference: float
    low: float | None
    high: float | None
    p: float | None


@dataclass(frozen=True)
class McNemar:
    """McNemar's test of whether two methods are right equally often.

    Attributes:
        only_first: items that A alone answers right.
        only_second: items that B alone answers right.
        p: exact two-sided p-value.
        unit: `item` for the classical test, `cluster` where signs are flipped a cluster at a time.
    """

    only_first: int
    only_second: int
    p: float
    unit: str


@dataclass(frozen=True)
class Spread:
    """One metric across the seeds of one method: how much a retraining moves it, apart from sampling error.

    Attributes:
        values: one value a seed.
        mean: their mean.
        sd: their standard deviation with n - 1 in the denominator; None for a single seed.
    """

    values: tuple[float, ...]
    mean: float
    sd: float | None


def aligned(runs: Sequence[ItemStatistics], names: Sequence[str] | None = None) -> list[ItemStatistics]:
    """The runs with their items in order of id, after a check that they can be paired.

    Args:
        runs: statistics of one task, one for each run.
        names: what to call the runs in a message.

    Raises:
        CheckFailed: another task, other items, other labels or other groups; says which and where.
    """
    names = names or [f"run {number}" for number in range(1, len(runs) + 1)]
    first, *others = [_by_id(run) for run in runs]
    for other, name in zip(others, names[1:], strict=True):
        where = f"{first.task}: {names[0]} and {name}"
        if other.task != first.task or other.kind != first.kind:
            raise CheckFailed("only runs of one task can be compared", where=where, found=other.task)
        if list(other.ids) != list(first.ids):
            raise CheckFailed(
                "the two runs hold different items",
                where=where,
                expected="the same ids on both sides",
                found=f"{_only(first, other)} only in {names[0]}, {_only(other, first)} only in {name}",
                fix="compare runs of one split, with the same --limit and seed of the sample",
            )
        if first.y_true is not None and other.y_true is not None and (first.y_true != other.y_true).any():
            count = int((first.y_true != other.y_true).sum())
            raise CheckFailed(
                "the two runs hold different labels", where=where, found=f"{count} items differ"
            )
        if (clusters_of(first).codes != clusters_of(other).codes).any():
            raise CheckFailed(
                "the two runs group their items differently (patient, image or record)", where=where
            )
    return [first, *others]


def _by_id(stats: ItemStatistics) -> ItemStatistics:
    order = np.argsort(np.asarray(stats.ids, dtype=np.str_), kind="stable")
    return replace(
        stats,
        ids=[stats.ids[position] for position in order],
        groups=stats.groups[order],
        parsed=stats.parsed[order],
        y_true=None if stats.y_true is None else stats.y_true[order],
        y_pred=None if stats.y_pred is None else stats.y_pred[order],
        score=None if stats.score is None else stats.score[order],
        text={name: rows[order] for name, rows in stats.text.items()},
    )


def _only(one: ItemStatistics, other: ItemStatistics) -> str:
    rest = sorted(set(one.ids) - set(other.ids))
    return f"{len(rest)} ({', '.join(rest[:3])}{' ...' if len(rest) > 3 else ''})" if rest else "none"


def paired_differences(
    first: Sequence[ItemStatistics],
    second: Sequence[ItemStatistics],
    *,
    draws: int,
    seed: int,
    level: float = 0.95,
    metrics: Sequence[str] | None = None,
) -> dict[str, Difference]:
    """The difference of every metric that both methods have, by metric.

    Every draw reweights the items of all runs alike. With several seeds a method's value is the mean over
    them, and the interval speaks of these trained models on other patients; how far other seeds would move
    the value is `seed_spread`, and is not in the interval.

    Args:
        first: runs of method A, one a seed, aligned with each other and with `second` (`aligned`).
        second: runs of method B.
        draws: bootstrap draws.
        seed: with the task's id, decides the random numbers.
        level: nominal coverage of the interval.
        metrics: only these.

    Raises:
        UsageError: no draws, or a level that is no probability.
    """
    check_request(draws, level)
    runs = [*first, *second]
    values = [metric_values(run) for run in runs]
    wanted = values[0] if metrics is None else metrics
    shared = [name for name in wanted if all(name in of_run for of_run in values)]
    count = clusters_of(runs[0]).count
    drawn = bootstrap_draws(runs, draws, seed, metrics) if why_no_interval(count) is None else {}
    differences: dict[str, Difference] = {}
    for name in shared:
        one = float(np.mean([of_run[name] for of_run in values[: len(first)]]))
        two = float(np.mean([of_run[name] for of_run in values[len(first) :]]))
        ends, p = None, None
        if name in drawn:
            moved = drawn[name][:, : len(first)].mean(axis=1) - drawn[name][:, len(first) :].mean(axis=1)
            ends, p = interval(moved, count, level), two_sided_p(moved, count)
        low, high = ends or (None, None)
        differences[name] = Difference(one, two, one - two, low, high, p)
    return differences


def mcnemar(first: ItemStatistics, second: ItemStatistics) -> McNemar | None:
    """McNemar's exact test on aligned runs; None where right and wrong are not defined for single items.

    An item is right if the answer is the label's (yes/no), or if it matches the reference exactly (text).
    Where clusters hold several items, the net number of items won in a cluster is taken with a random sign:
    the same hypothesis, the cluster as the unit, and the classical test where every cluster is one item.
    """
    right = [_right(run) for run in (first, second)]
    if right[0] is None or right[1] is None or len(first) == 0:
        return None
    won = right[0].astype(np.int64) - right[1].astype(np.int64)
    clusters = clusters_of(first)
    net = np.bincount(clusters.codes, weights=won[clusters.order], minlength=clusters.count).astype(np.int64)
    unit = "item" if clusters.count == len(first) else "cluster"
    return McNemar(int((won > 0).sum()), int((won < 0).sum()), _sign_flip_p(net), unit)


def _right(stats: ItemStatistics) -> NDArray[np.bool_] | None:
    if stats.kind == "yes_no":
        assert stats.y_true is not None and stats.y_pred is not None
        return np.asarray(stats.y_true == stats.y_pred)
    match = stats.text.get("exact_match")
    return None if match is None or np.isnan(match).any() else np.asarray(match == 1.0)


def _sign_flip_p(net: NDArray[np.int64]) -> float:
    """P(|S| >= |sum of net|) where S is the sum of `net` with independent fair signs, exactly."""
    from scipy.stats import binom

    sizes, counts = np.unique(np.abs(net[net != 0]), return_counts=True)
    distribution = np.ones(1)
    for size, count in zip(sizes.tolist(), counts.tolist(), strict=True):
        # size * (2 Bin(count, 1/2) - count): the binomial's probabilities, 2 * size apart.
        steps = np.zeros(2 * size * count + 1)
        steps[:: 2 * size] = binom.pmf(np.arange(count + 1), count, 0.5)
        distribution = np.convolve(distribution, steps)
    reach = (len(distribution) - 1) // 2
    total = np.arange(-reach, reach + 1)
    return min(1.0, float(distribution[np.abs(total) >= abs(int(net.sum()))].sum()))


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Holm's step-down correction: adjusted p-values that may be held against the level as they are.

    Holm 1979, Scandinavian Journal of Statistics 6:65. Controls the chance of any false claim among the tests
    given, whatever their dependence.
    """
    adjusted: dict[str, float] = {}
    largest = 0.0
    for rank, name in enumerate(sorted(p_values, key=lambda name: (p_values[name], name))):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[name]))
        adjusted[name] = largest
    return {name: adjusted[name] for name in p_values}


def seed_spread(runs: Sequence[ItemStatistics]) -> dict[str, Spread]:
    """Every metric across the seeds of one method."""
    values = [metric_values(run) for run in runs]
    spreads: dict[str, Spread] = {}
    for name in [name for name in values[0] if all(name in of_run for of_run in values)]:
        of_metric = [of_run[name] for of_run in values]
        sd = float(np.std(of_metric, ddof=1)) if len(of_metric) > 1 else None
        spreads[name] = Spread(tuple(of_metric), float(np.mean(of_metric)), sd)
    return spreads
