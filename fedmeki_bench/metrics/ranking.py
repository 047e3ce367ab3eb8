"""AUROC, AUPRC, Brier score and calibration error under bootstrap weights, for many draws at once.

They need every item's score, so their cost is items times draws: about 10^9 steps for a whole benchmark. All
work is done on whole numbers in arrays that are allocated once, because fresh memory costs more than the
arithmetic.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedmeki_bench.metrics._types import ItemStatistics
from fedmeki_bench.metrics.classification import ECE_BINS
from fedmeki_bench.metrics.resampling import Clusters
from fedmeki_bench.metrics.weighted import ratio

__all__ = ["RankMetrics"]

Weights = NDArray[np.integer[Any]]
Floats = NDArray[np.float64]


MOST_DRAWN_32_BIT = 65_535
"""Up to here 32 bits hold every number, and halve the memory to go through: with P positives and N negatives
drawn none exceeds 2 P N, at most half the square of the items drawn."""


class RankMetrics:
    """The four score metrics of one prediction file, ready to be computed for chunks of bootstrap weights.

    AUROC is the share of (positive, negative) pairs in the right order, ties counting half. AUPRC is average
    precision, the step-wise sum scikit-learn computes: each distinct score is one threshold.

    Args:
        stats: a yes/no task with a score for every item.
        clusters: its clusters.
        rows: the largest chunk, in draws.
    """

    def __init__(self, stats: ItemStatistics, clusters: Clusters, rows: int) -> None:
        assert stats.score is not None and stats.y_true is not None
        truth, score = stats.y_true[clusters.order], stats.score[clusters.order]
        ascending = np.argsort(score, kind="stable")
        truth, score, codes = truth[ascending], score[ascending], clusters.codes[ascending]
        high, low = score[truth], score[~truth]
        # Clusters of the positive and of the negative items, by ascending score.
        self._positive, self._negative = codes[truth], codes[~truth]
        # For each positive: how many negatives have a lower score, how many a lower or equal one, and how
        # many positives have a lower one.
        self._below = np.searchsorted(low, high, side="left")
        self._not_above = np.searchsorted(low, high, side="right")
        self._tied_from = np.searchsorted(high, high, side="left")
        self._tied = not np.array_equal(self._below, self._not_above)
        self._sums = clusters.sums(_calibration_columns(stats.y_true, stats.score))

        # Items drawn: n on average; ten standard deviations more does not happen, whatever the clusters' sizes.
        most = len(score) + 10 * np.sqrt(np.sum(np.bincount(clusters.codes).astype(np.float64) ** 2))
        self._dtype: type[np.integer[Any]] = np.int32 if most <= MOST_DRAWN_32_BIT else np.int64
        positives, negatives = len(high), len(low)
        self._w_pos = np.empty((rows, positives), dtype=self._dtype)
        self._w_neg = np.empty((rows, negatives), dtype=self._dtype)
        self._up_pos = np.zeros((rows, positives + 1), dtype=self._dtype)
        self._up_neg = np.zeros((rows, negatives + 1), dtype=self._dtype)
        self._work = [np.empty((rows, positives), dtype=self._dtype) for _ in range(2)]
        self._precision = np.empty((rows, positives))
        self._weights = np.empty((rows, clusters.count))

    def __call__(self, weights: NDArray[np.int32]) -> dict[str, Floats]:
        """(b, G) cluster weights to (b,) values by metric; NaN where a draw lacks a class that it needs."""
        rows, counts = len(weights), weights.astype(self._dtype, copy=False)
        w_pos, up_pos = self._gather(counts, self._positive, self._w_pos, self._up_pos)
        _, up_neg = self._gather(counts, self._negative, self._w_neg, self._up_neg)
        total_pos, total_neg = up_pos[:, -1].astype(np.float64), up_neg[:, -1].astype(np.float64)
        below, other = (work[:rows] for work in self._work)

        up_neg.take(self._below, axis=1, out=below, mode="clip")
        pairs = np.einsum("ij,ij->i", w_pos, below)
        if self._tied:
            up_neg.take(self._not_above, axis=1, out=other, mode="clip")
            pairs += np.einsum("ij,ij->i", w_pos, other)
        else:
            pairs *= 2

        # At each positive's score as threshold: positives found, and items claimed to be positive.
        found = up_pos.take(self._tied_from, axis=1, out=other, mode="clip")
        np.subtract(up_pos[:, -1:], found, out=found)
        claimed = np.subtract(up_neg[:, -1:], below, out=below)
        claimed += found
        # A threshold at which nothing is claimed belongs to a positive that was not drawn: its weight is 0.
        np.maximum(claimed, 1, out=claimed)
        precision = np.divide(found, claimed, out=self._precision[:rows])
        precision *= w_pos

        taken = self._weights[:rows]
        taken[...] = weights
        totals = taken @ self._sums
        return {
            "auroc": ratio(pairs.astype(np.float64), 2.0 * total_pos * total_neg, np.nan),
            "auprc": ratio(precision.sum(axis=1), total_pos, np.nan),
            "brier": ratio(totals[:, 1], totals[:, 0], np.nan),
            "ece": ratio(np.abs(totals[:, 2:]).sum(axis=1), totals[:, 0], np.nan),
        }

    def _gather(
        self, weights: Weights, columns: NDArray[np.int64], gathered: Weights, running: Weights
    ) -> tuple[Weights, Weights]:
        """Weights of the given clusters, and their running totals from 0."""
        gathered, running = gathered[: len(weights)], running[: len(weights)]
        # "clip" spares numpy a copy of the result; every column is in range.
        weights.take(columns, axis=1, out=gathered, mode="clip")
        np.cumsum(gathered, axis=1, dtype=self._dtype, out=running[:, 1:])
        return gathered, running


def _calibration_columns(truth: NDArray[np.bool_], score: Floats) -> Floats:
    """(n, 2 + bins): 1, the squared error, and outcome minus probability in the column of the bin."""
    bins = np.minimum((score * ECE_BINS).astype(np.int64), ECE_BINS - 1)
    columns = np.zeros((len(score), 2 + ECE_BINS))
    columns[:, 0] = 1.0
    columns[:, 1] = (score - truth) ** 2
    columns[np.arange(len(score)), 2 + bins] = truth - score
    return columns
