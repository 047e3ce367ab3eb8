"""Metrics that are functions of sums over items: accuracy to MCC from four counts, and means of text scores.

Each takes the totals of many bootstrap draws at once. With every cluster taken once they give the plain
metric; the tests hold them to scikit-learn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from fedmeki_bench.metrics._types import ItemStatistics
from fedmeki_bench.metrics.resampling import Clusters

__all__ = ["label_metrics", "label_sums", "ratio", "text_metrics", "text_sums"]

Floats = NDArray[np.float64]


def label_sums(stats: ItemStatistics, clusters: Clusters) -> Floats:
    """(G, 4) true negatives, false positives, false negatives and true positives of each cluster."""
    assert stats.y_true is not None and stats.y_pred is not None
    cell = 2 * stats.y_true.astype(np.int64) + stats.y_pred
    return clusters.sums(np.eye(4)[cell])


def label_metrics(totals: Floats) -> dict[str, Floats]:
    """(draws, 4) totals of `label_sums` to (draws,) values by metric; NaN where the labels leave one
    undefined.

    A class without items makes recall, F1, MCC and balanced accuracy undefined. A positive answer that was
    never given makes precision 0, and a constant answer makes MCC 0, as scikit-learn has it.
    """
    tn, fp, fn, tp = totals.T
    positives, negatives, claimed = tp + fn, tn + fp, tp + fp
    recall = ratio(tp, positives, np.nan)
    spread = np.sqrt(claimed * positives * negatives * (tn + fn))
    both = (positives > 0) & (negatives > 0)
    return {
        "accuracy": ratio(tn + tp, totals.sum(axis=1), np.nan),
        "precision": ratio(tp, claimed, 0.0),
        "recall": recall,
        "f1": np.where(positives > 0, ratio(2 * tp, claimed + positives, np.nan), np.nan),
        "balanced_accuracy": (recall + ratio(tn, negatives, np.nan)) / 2,
        "mcc": np.where(both, ratio(tp * tn - fp * fn, spread, 0.0), np.nan),
    }


def ratio(top: Floats, bottom: Floats, empty: float) -> Floats:
    """`top / bottom`, and `empty` where `bottom` is 0."""
    result: Floats = np.full(top.shape, empty)
    np.divide(top, bottom, out=result, where=bottom > 0)
    return result


def text_sums(text: Mapping[str, Floats], clusters: Clusters) -> Floats:
    """(G, 2M) for M text metrics: sums of the values that count, then how many count."""
    values = np.stack([text[name] for name in text], axis=1)
    counts = ~np.isnan(values)
    return clusters.sums(np.concatenate([np.where(counts, values, 0.0), counts], axis=1))


def text_metrics(names: Sequence[str], totals: Floats) -> dict[str, Floats]:
    """(draws, 2M) totals of `text_sums` to (draws,) means by metric; NaN where no item of a draw counts."""
    size = len(names)
    return {name: ratio(totals[:, k], totals[:, size + k], np.nan) for k, name in enumerate(names)}
