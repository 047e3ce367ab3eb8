"""Intervals of every metric by cluster bootstrap.

The interval is the expanded percentile interval (Hesterberg 2015, The American Statistician 69:371, section
5.3): the percentiles of the bootstrap distribution, taken a little further out so that few clusters give the
wider interval they deserve. With G clusters the tail probability alpha/2 becomes Phi(-sqrt(G/(G-1)) t), where
t is the 1 - alpha/2 quantile of Student's t with G - 1 degrees of freedom; with hundreds of clusters nothing
is left of it.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri, stdtr, stdtrit

from fedmeki_bench.metrics._types import ItemStatistics
from fedmeki_bench.metrics.classification import SOFT_METRICS
from fedmeki_bench.metrics.ranking import RankMetrics
from fedmeki_bench.metrics.resampling import (
    Clusters,
    check_request,
    chunk_rows,
    cluster_weights,
    clusters_of,
    count_draws,
    generator,
    sum_draws,
    why_no_interval,
)
from fedmeki_bench.metrics.weighted import label_metrics, label_sums, text_metrics, text_sums

__all__ = ["bootstrap_draws", "bootstrap_intervals", "interval", "two_sided_p"]

Floats = NDArray[np.float64]

MAX_UNDEFINED = 0.05
"""A metric that more than this share of the draws leaves undefined (too few items of one class) has no
interval."""


def bootstrap_intervals(
    stats: ItemStatistics, *, draws: int, seed: int, level: float = 0.95
) -> Mapping[str, tuple[float, float]]:
    """The interval (low, high) of every metric that has one, by metric.

    The answer depends on the items' content, the seed and the draws alone: not on their order, the process or
    the machine. A metric is absent if it is undefined for these items, if more than one draw in twenty leaves
    it undefined, or if there are fewer than five clusters. A width of zero says that resampling these items
    cannot move the number (the recall of an answer that is always yes), not that it is known exactly.

    Args:
        stats: per-item statistics of one prediction file.
        draws: bootstrap draws; 10,000 for figures to be printed.
        seed: with the task's id, decides the random numbers.
        level: nominal coverage.

    Raises:
        UsageError: no draws, or a level that is no probability.
    """
    check_request(draws, level)
    clusters = clusters_of(stats)
    if why_no_interval(clusters.count):
        return {}
    found = {
        name: interval(values, clusters.count, level)
        for name, values in bootstrap_draws([stats], draws, seed).items()
    }
    return {name: ends for name, ends in found.items() if ends is not None and name not in stats.undefined}


def bootstrap_draws(
    runs: Sequence[ItemStatistics], draws: int, seed: int, metrics: Collection[str] | None = None
) -> dict[str, Floats]:
    """Values of metrics in every draw, (draws, len(runs)) for several runs and (draws,) for one.

    All runs must hold the same items in the same groups; they are reweighted together, so that differences
    between runs are paired draw by draw. Label and text metrics use one stream and score metrics another: a
    run's accuracy has the same interval with and without scores. Leaving out metrics saves their time and
    moves no other.
    """
    clusters = clusters_of(runs[0])
    if runs[0].kind == "text":
        found = _text_draws(runs, clusters, draws, seed)
    else:
        found = _label_draws(runs, clusters, draws, seed)
        if metrics is None or not set(SOFT_METRICS).isdisjoint(metrics):
            found |= _score_draws(runs, clusters, draws, seed)
    return {
        name: values[:, 0] if len(runs) == 1 else values
        for name, values in found.items()
        if metrics is None or name in metrics
    }


def _text_draws(
    runs: Sequence[ItemStatistics], clusters: Clusters, draws: int, seed: int
) -> dict[str, Floats]:
    names = [name for name in runs[0].text if all(name in run.text for run in runs)]
    if not names:
        return {}
    sums = [text_sums({name: run.text[name] for name in names}, clusters) for run in runs]
    totals = sum_draws(generator(seed, runs[0].task, "sums"), np.concatenate(sums, axis=1), draws)
    parts = np.split(totals, len(runs), axis=1)
    return _side_by_side([text_metrics(names, part) for part in parts])


def _label_draws(
    runs: Sequence[ItemStatistics], clusters: Clusters, draws: int, seed: int
) -> dict[str, Floats]:
    sums = np.concatenate([label_sums(run, clusters) for run in runs], axis=1)
    totals = count_draws(generator(seed, runs[0].task, "sums"), sums, draws)
    return _side_by_side([label_metrics(part) for part in np.split(totals, len(runs), axis=1)])


def _score_draws(
    runs: Sequence[ItemStatistics], clusters: Clusters, draws: int, seed: int
) -> dict[str, Floats]:
    if any(run.score is None for run in runs):
        return {}
    rows = chunk_rows(len(runs[0]))
    metrics = [RankMetrics(run, clusters, rows) for run in runs]
    chunks = [
        _side_by_side([of_run(weights) for of_run in metrics])
        for weights in cluster_weights(generator(seed, runs[0].task, "scores"), clusters.count, draws, rows)
    ]
    return {name: np.concatenate([chunk[name] for chunk in chunks]) for name in chunks[0]}


def _side_by_side(runs: Sequence[Mapping[str, Floats]]) -> dict[str, Floats]:
    return {name: np.stack([run[name] for run in runs], axis=1) for name in runs[0]}


def interval(values: Floats, clusters: int, level: float) -> tuple[float, float] | None:
    """Expanded percentile interval of (draws,) bootstrap values; None if too many of them are undefined."""
    defined = values[~np.isnan(values)]
    if len(defined) < (1.0 - MAX_UNDEFINED) * len(values):
        return None
    t = stdtrit(clusters - 1, (1.0 + level) / 2.0)
    tail = float(ndtr(-math.sqrt(clusters / (clusters - 1)) * t))
    low, high = np.quantile(defined, [tail, 1.0 - tail])
    return float(low), float(high)


def two_sided_p(values: Floats, clusters: int) -> float | None:
    """The p-value of "no difference" that goes with `interval`: below 1 - level where the interval leaves out
    zero.

    Args:
        values: (draws,) bootstrap values of a difference; NaN where a draw leaves it undefined.
        clusters: number of clusters G.

    Returns:
        A p-value of at least about 1 / draws (draws cannot show less); None where `interval` gives None.
    """
    defined = values[~np.isnan(values)]
    if len(defined) < (1.0 - MAX_UNDEFINED) * len(values):
        return None
    # Draws at exactly zero (no item answered differently was taken) speak for neither side: half to each.
    below = float((defined < 0).sum() + 0.5 * (defined == 0).sum())
    share = (min(below, len(defined) - below) + 0.5) / (len(defined) + 1)
    t = ndtri(share) * math.sqrt((clusters - 1) / clusters)
    return min(1.0, 2.0 * float(stdtr(clusters - 1, t)))
