"""Clusters and their bootstrap weights: the one place that says what is resampled, how, and with which
numbers.

The cluster (patient, image, ECG, stay) is the independent unit, so a draw takes G clusters with replacement
out of G and every item of a cluster comes along (Davison & Hinkley 1997, section 3.8). A draw is stored as
how often each cluster was taken, never as a list of items, because every metric can be computed from such
weights.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedmeki_bench.errors import UsageError
from fedmeki_bench.files import canonical_json
from fedmeki_bench.metrics._types import ItemStatistics

__all__ = [
    "Clusters",
    "check_request",
    "chunk_rows",
    "cluster_weights",
    "clusters_of",
    "generator",
    "sum_draws",
    "why_no_interval",
]

Counts = NDArray[np.int64]
Floats = NDArray[np.float64]

CHUNK_CELLS = 1 << 17
"""Weights held at a time (1 MiB): small enough for a core's cache, which matters more here than long
loops."""

COLLAPSE_FACTOR = 12
"""A binomial draw costs about this many single index draws: collapsing equal clusters pays beyond it."""


@dataclass(frozen=True)
class Clusters:
    """Which cluster each item belongs to, in an order that depends on content alone.

    Attributes:
        order: (n,) positions of the items sorted by id; per-item arrays are indexed with it first.
        codes: (n,) cluster of each item in that order, 0 .. count-1 by first appearance in it.
        count: number of clusters G.
    """

    order: Counts
    codes: Counts
    count: int

    def sums(self, values: Floats) -> Floats:
        """Sums of per-item values by cluster: (n, S) in the statistics' own item order to (count, S)."""
        result = np.empty((self.count, values.shape[1]))
        for column in range(values.shape[1]):
            result[:, column] = np.bincount(
                self.codes, weights=values[self.order, column], minlength=self.count
            )
        return result


def clusters_of(stats: ItemStatistics) -> Clusters:
    """The clusters of a prediction file; items are put in order of their ids, so no file's order matters."""
    order = np.argsort(np.asarray(stats.ids, dtype=np.str_), kind="stable")
    _, first, codes = np.unique(stats.groups[order], return_index=True, return_inverse=True)
    rank = np.empty(len(first), dtype=np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    return Clusters(order=order, codes=rank[codes.reshape(-1)], count=len(first))


def why_no_interval(clusters: int) -> str | None:
    """Why so few clusters allow no interval and no test, or None if they do; decided here for every
    statistic."""
    if clusters == 0:
        return "there are no items"
    if clusters == 1:
        return (
            "all items belong to one cluster (patient, image or record), so their spread cannot be estimated"
        )
    return None


def check_request(draws: int, level: float) -> None:
    """Refuse a bootstrap that cannot be done.

    Raises:
        UsageError: fewer than one draw, or a level outside (0, 1).
    """
    if draws < 1:
        raise UsageError(
            "a bootstrap needs draws", expected="1 or more (10000 for figures to be printed)", found=draws
        )
    if not 0.0 < level < 1.0:
        raise UsageError(
            "the level of an interval is a probability", expected="above 0 and below 1", found=level
        )


def generator(seed: int, *key: str) -> np.random.Generator:
    """A random stream of its own for each (seed, key), the same in every process and on every machine."""
    digest = hashlib.sha256(canonical_json([seed, *key]).encode("utf-8")).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest[:16], "little")))


def chunk_rows(width: int) -> int:
    """Draws to hold at a time where each takes `width` numbers (items or clusters)."""
    return max(1, CHUNK_CELLS // width)


def cluster_weights(rng: np.random.Generator, clusters: int, draws: int, rows: int) -> Iterator[Counts]:
    """Bootstrap weights in chunks of (b <= rows, clusters); each row sums to `clusters`, the b's sum to
    `draws`.

    Rows are drawn one after the other from the stream, so the size of a chunk does not change any of them. A
    chunk is good until the next one is asked for: its memory is used again.
    """
    weights = np.empty((min(draws, rows), clusters), dtype=np.int64)
    for start in range(0, draws, len(weights)):
        chunk = weights[: draws - start]
        for row in chunk:
            # 32-bit draws take half the random bits of 64-bit ones; the generator keeps a spare half between
            # calls.
            row[:] = np.bincount(rng.integers(0, clusters, size=clusters, dtype=np.int32), minlength=clusters)
        yield chunk


def sum_draws(rng: np.random.Generator, sums: Floats, draws: int) -> Floats:
    """Bootstrap totals of per-cluster sums: (G, S) to (draws, S).

    Clusters with equal rows are interchangeable: how often any of them is taken is multinomial over the
    distinct rows. A yes/no task has a handful of those, whatever its size, and then a draw costs no more than
    a handful of binomials. Both ways draw from the same distribution.
    """
    clusters = len(sums)
    distinct, counts = np.unique(sums, axis=0, return_counts=True)
    if len(distinct) * COLLAPSE_FACTOR <= clusters:
        return np.asarray(
            rng.multinomial(clusters, counts / clusters, size=draws) @ distinct, dtype=np.float64
        )
    chunks = cluster_weights(rng, clusters, draws, chunk_rows(clusters))
    return np.concatenate([weights.astype(np.float64) @ sums for weights in chunks])
