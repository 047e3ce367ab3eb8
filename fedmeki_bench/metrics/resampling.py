"""Clusters and their bootstrap weights: the one place that says what is resampled, how, and with which
numbers.

The cluster (patient, image, ECG, stay) is the independent unit, so a draw takes whole clusters and every
item of a cluster comes along (Davison & Hinkley 1997, section 3.8). A draw is stored as how often each
cluster was taken, never as a list of items, because every metric can be computed from such weights.

Each cluster is taken a Poisson(1) number of times, independently of the others (Hanley & MacGibbon 2006,
Computer Methods and Programs in Biomedicine 83:57). Taking exactly G out of G clusters is the same with the
total held fixed, which changes nothing for metrics that are ratios, as all of these are; and independent
weights cost a third of the time.
"""

from __future__ import annotations

import hashlib
import math
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
    "count_draws",
    "generator",
    "sum_draws",
    "why_no_interval",
]

Positions = NDArray[np.int64]
Counts = NDArray[np.int32]
Floats = NDArray[np.float64]

CHUNK_CELLS = 1 << 17
"""Weights held at a time (half a MiB): small enough for a core's cache, which matters more here than long
loops."""

MIN_CLUSTERS = 5
"""With fewer, a bootstrap has too few different draws to speak of, and one in twenty takes nothing at all."""

COLLAPSE_FACTOR = 12
"""A Poisson draw for many clusters costs about this many single ones: collapsing equal clusters pays
beyond it."""


def _poisson_table() -> Counts:
    """(65536,) counts, each as often as its Poisson(1) probability, to the nearest 2^-16, says."""
    shares = [math.exp(-1.0) / math.factorial(count) for count in range(9)]
    occurrences = [round(65536 * share) for share in shares]
    assert sum(occurrences) == 65536
    return np.repeat(np.arange(9, dtype=np.int32), occurrences)


POISSON = _poisson_table()
"""Maps 16 random bits to a cluster's weight."""


@dataclass(frozen=True)
class Clusters:
    """Which cluster each item belongs to, in an order that depends on content alone.

    Attributes:
        order: (n,) positions of the items sorted by id; per-item arrays are indexed with it first.
        codes: (n,) cluster of each item in that order, 0 .. count-1 by first appearance in it.
        count: number of clusters G.
    """

    order: Positions
    codes: Positions
    count: int

    def sums(self, values: Floats) -> Floats:
        """Sums of per-item values by cluster: (n, S) in the statistics' own item order to (count, S)."""
        result = np.empty((self.count, values.shape[1]))
        for column in range(values.shape[1]):
            result[:, column] = np.bincount(self.codes, weights=values[self.order, column], minlength=self.count)
        return result


def clusters_of(stats: ItemStatistics) -> Clusters:
    """The clusters of a prediction file; items are put in order of their ids, so no file's order matters."""
    order = np.argsort(np.asarray(stats.ids, dtype=np.str_), kind="stable")
    _, first, codes = np.unique(stats.groups[order], return_index=True, return_inverse=True)
    rank = np.empty(len(first), dtype=np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    return Clusters(order=order, codes=rank[codes.reshape(-1)], count=len(first))


def why_no_interval(clusters: int) -> str | None:
    """Why so few clusters allow no interval and no bootstrap test, or None if they do; decided here for
    all.
    """
    if clusters >= MIN_CLUSTERS:
        return None
    units = "cluster" if clusters == 1 else "clusters"
    return f"{clusters} {units} (patients, images or records) say nothing of the spread between them"


def check_request(draws: int, level: float) -> None:
    """Refuse a bootstrap that cannot be done.

    Raises:
        UsageError: fewer than one draw, or a level outside (0, 1).
    """
    if draws < 1:
        raise UsageError("a bootstrap needs draws", expected="1 or more (10000 for figures to be printed)", found=draws)
    if not 0.0 < level < 1.0:
        raise UsageError("the level of an interval is a probability", expected="above 0 and below 1", found=level)


def generator(seed: int, *key: str) -> np.random.Generator:
    """A random stream of its own for each (seed, key), the same in every process and on every machine."""
    digest = hashlib.sha256(canonical_json([seed, *key]).encode("utf-8")).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest[:16], "little")))


def chunk_rows(width: int) -> int:
    """Draws to hold at a time where each takes `width` numbers (items or clusters)."""
    return max(1, CHUNK_CELLS // width)


def cluster_weights(rng: np.random.Generator, clusters: int, draws: int, rows: int) -> Iterator[Counts]:
    """Bootstrap weights in chunks of (b <= rows, clusters); the b's sum to `draws`.

    Every row takes its own words from the stream of random bits, so the size of a chunk changes none of
    them; and numpy keeps that stream as it is from version to version, unlike what its distributions make of
    it. A chunk is good until the next one is asked for: its memory is used again.
    """
    words = -(-clusters // 4)
    weights = np.empty((min(draws, rows), clusters), dtype=np.int32)
    for start in range(0, draws, len(weights)):
        chunk = weights[: draws - start]
        bits = np.asarray(rng.bit_generator.random_raw(len(chunk) * words), dtype="<u8").view("<u2")
        # "clip" spares numpy a copy of the result; 16 bits are always in range.
        POISSON.take(bits.reshape(len(chunk), 4 * words)[:, :clusters], out=chunk, mode="clip")
        yield chunk


def sum_draws(rng: np.random.Generator, sums: Floats, draws: int) -> Floats:
    """Bootstrap totals of per-cluster sums: (G, S) to (draws, S).

    The draws of a column do not depend on which other columns there are.
    """
    chunks = cluster_weights(rng, len(sums), draws, chunk_rows(len(sums)))
    return np.concatenate([weights.astype(np.float64) @ sums for weights in chunks])


def count_draws(rng: np.random.Generator, sums: Floats, draws: int) -> Floats:
    """As `sum_draws`, faster where many clusters have the same row of counts.

    Clusters with equal rows are interchangeable: c of them together are taken a Poisson(c) number of times. A
    yes/no task has a handful of different rows, whatever its size, and a draw then costs no more than a
    handful of random numbers. Both ways draw from the same distribution.
    """
    distinct, counts = np.unique(sums, axis=0, return_counts=True)
    if len(distinct) * COLLAPSE_FACTOR > len(sums):
        return sum_draws(rng, sums, draws)
    return np.asarray(rng.poisson(counts, size=(draws, len(distinct))) @ distinct, dtype=np.float64)
