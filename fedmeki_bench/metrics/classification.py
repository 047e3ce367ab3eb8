"""Metrics of yes/no tasks as plain functions over boolean arrays, through scikit-learn.

Every function returns the values and, apart, the metrics that have no value for these items with the reason.
A metric that a convention defines (precision without a positive prediction is 0) has its value, and its
signature says so; a metric that no convention of the field defines is left out, never set to 0 or NaN.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "ECE_BINS",
    "HARD_METRICS",
    "LOWER_IS_BETTER",
    "SOFT_METRICS",
    "calibration_error",
    "classification_scores",
    "probability_scores",
    "undefined_for_labels",
]

HARD_METRICS = ("accuracy", "precision", "recall", "f1", "balanced_accuracy", "mcc")
"""Metrics of the answers themselves."""

SOFT_METRICS = ("auroc", "auprc", "brier", "ece")
"""Metrics of the probability of the positive answer."""

LOWER_IS_BETTER = frozenset({"brier", "ece"})
"""Metrics whose smaller value is the better one."""

ECE_BINS = 10
"""Bins of equal width of the expected calibration error."""

_NEEDS_POSITIVE = ("recall", "f1", "balanced_accuracy", "mcc", "auroc", "auprc")
_NEEDS_NEGATIVE = ("balanced_accuracy", "mcc", "auroc")


def undefined_for_labels(y_true: NDArray[np.bool_]) -> dict[str, str]:
    """The metrics that labels of one class leave without a value, with the reason.

    Args:
        y_true: (n,) bool, True for the positive label.
    """
    undefined: dict[str, str] = {}
    if y_true.size == 0:
        return dict.fromkeys((*HARD_METRICS, *SOFT_METRICS), "no items")
    if y_true.all():
        undefined |= dict.fromkeys(_NEEDS_NEGATIVE, "no negative item among the labels")
    if not y_true.any():
        undefined |= dict.fromkeys(_NEEDS_POSITIVE, "no positive item among the labels")
    return undefined


def classification_scores(y_true: NDArray[np.bool_], y_pred: NDArray[np.bool_]) -> dict[str, float]:
    """Accuracy, precision, recall, F1 (of the positive class), balanced accuracy and MCC, as far as defined.

    As in scikit-learn, precision without a positive prediction and MCC of constant predictions are 0.

    Args:
        y_true: (n,) bool truth.
        y_pred: (n,) bool predictions.
    """
    from sklearn import metrics

    functions = {
        "accuracy": metrics.accuracy_score,
        "precision": lambda t, p: metrics.precision_score(t, p, zero_division=0),
        "recall": lambda t, p: metrics.recall_score(t, p, zero_division=0),
        "f1": lambda t, p: metrics.f1_score(t, p, zero_division=0),
        "balanced_accuracy": metrics.balanced_accuracy_score,
        "mcc": metrics.matthews_corrcoef,
    }
    undefined = undefined_for_labels(y_true)
    return {
        name: float(function(y_true, y_pred)) for name, function in functions.items() if name not in undefined
    }


def probability_scores(y_true: NDArray[np.bool_], score: NDArray[np.float64]) -> dict[str, float]:
    """AUROC, AUPRC (average precision), Brier score and expected calibration error, as far as defined.

    Args:
        y_true: (n,) bool truth.
        score: (n,) float64 probability of the positive answer, in 0 to 1.
    """
    from sklearn import metrics

    functions = {
        "auroc": metrics.roc_auc_score,
        "auprc": metrics.average_precision_score,
        "brier": lambda t, s: metrics.brier_score_loss(t, s, pos_label=True),
        "ece": calibration_error,
    }
    undefined = undefined_for_labels(y_true)
    return {
        name: float(function(y_true, score)) for name, function in functions.items() if name not in undefined
    }


def calibration_error(y_true: NDArray[np.bool_], score: NDArray[np.float64]) -> float:
    """Expected calibration error of the positive answer's probability.

    Sum over bins of n_b/n |mean truth - mean score|, with `ECE_BINS` bins of equal width, closed on the left,
    the last one on both sides (Naeini et al., AAAI 2015, for the positive class).
    """
    bins = np.minimum((score * ECE_BINS).astype(np.int64), ECE_BINS - 1)
    gap = np.bincount(bins, weights=y_true.astype(np.float64) - score, minlength=ECE_BINS)
    return float(np.abs(gap).sum() / y_true.size)
