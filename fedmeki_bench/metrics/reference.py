"""Reference rows: what answers that look at nothing but the labels' frequencies would score.

Every score should be read as its distance to the best of these. They are computed from the very labels that
are scored, so they are the best a constant could do there, not a prediction of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from fedmeki_bench.metrics._types import LabelLike, Prediction, Score, Scoring
from fedmeki_bench.metrics.classification import LOWER_IS_BETTER, undefined_for_labels
from fedmeki_bench.metrics.generation import normalise_answer
from fedmeki_bench.metrics.scoring import score_task
from fedmeki_bench.metrics.signatures import metric_signature
from fedmeki_bench.specs import TaskSpec

__all__ = ["CONSTANT_ROWS", "RANDOM_ROW", "best_constant", "reference_rows"]

CONSTANT_ROWS = ("majority", "always-yes", "answer-prior")
"""The rows that are one fixed answer (for each question type): what a score's distance is measured to."""

RANDOM_ROW = "random at prevalence"
"""The row of answers drawn with the labels' frequencies."""


def _most_frequent(targets: Sequence[str]) -> str:
    """The most frequent answer, whatever its case and punctuation, as it is written most often."""
    # Ties go to the first in the alphabet, so that the row does not depend on the order of the items.
    answers = Counter(normalise_answer(target) for target in targets)
    answer = min(answers, key=lambda name: (-answers[name], name))
    spellings = Counter(target for target in targets if normalise_answer(target) == answer)
    return min(spellings, key=lambda spelling: (-spellings[spelling], spelling))


def _constant_row(
    spec: TaskSpec,
    labels: Sequence[LabelLike],
    answers: Mapping[str, str],
    scoring: Scoring,
    metrics: Sequence[str] | None,
) -> Mapping[str, Score]:
    # A fixed answer is given with certainty: that makes its AUROC 0.5 and its AUPRC the prevalence.
    certainty = {spec.answer.positive or "Yes": 1.0, spec.answer.negative or "No": 0.0}
    predictions = [
        Prediction(label.id, answers[label.id], certainty.get(answers[label.id])) for label in labels
    ]
    return score_task(spec, labels, predictions, scoring=scoring, bootstrap=0, metrics=metrics).scores


def _random_yes_no(labels: Sequence[LabelLike]) -> dict[str, float]:
    """Expected scores of answers drawn independently as "yes" with the prevalence, which is also their score.

    Given k positive answers, the true positives are hypergeometric with mean k P / n, and each metric is
    linear in them; k is binomial. Precision without a positive answer counts 0, as everywhere; MCC's
    numerator has mean 0.
    """
    from scipy.stats import binom

    y_true = np.array([label.target == "yes" for label in labels], dtype=np.bool_)
    n, positives = len(labels), int(y_true.sum())
    prevalence = positives / n
    k = np.arange(n + 1)
    probability = binom.pmf(k, n, prevalence)
    values = {
        "accuracy": prevalence**2 + (1.0 - prevalence) ** 2,
        "precision": prevalence * (1.0 - (1.0 - prevalence) ** n),
        "recall": prevalence,
        "f1": float(np.sum(probability[1:] * 2.0 * k[1:] * prevalence / (positives + k[1:]))),
        "balanced_accuracy": 0.5,
        "mcc": 0.0,
        "auroc": 0.5,
        "auprc": prevalence,
        "brier": prevalence * (1.0 - prevalence),
        "ece": 0.0,
    }
    undefined = undefined_for_labels(y_true)
    return {name: value for name, value in values.items() if name not in undefined}


def reference_rows(
    spec: TaskSpec,
    labels: Sequence[LabelLike],
    *,
    scoring: Scoring = "strict",
    metrics: Sequence[str] | None = None,
) -> dict[str, Mapping[str, Score]]:
    """Scores of the reference answers, by row and metric, from the labels alone.

    Rows: `majority` (the most frequent answer), `always-yes`, `random at prevalence` (expected values in
    closed form: answers drawn independently with the labels' frequencies), and for text tasks `answer-prior`
    (the most frequent answer of each question type). For text tasks the random row has `exact_match` only.

    Args:
        spec: the task.
        labels: the labels scored.
        scoring: how the constant answers are scored.
        metrics: text tasks: compute only these.
    """
    if not labels:
        return {}
    majority = _most_frequent([label.target for label in labels])
    yes = spec.answer.positive or "Yes"
    constant = (
        {"yes": yes, "no": spec.answer.negative or "No"}[majority] if spec.kind == "yes_no" else majority
    )
    answers = {
        "majority": {label.id: constant for label in labels},
        "always-yes": {label.id: yes for label in labels},
    }
    if spec.kind == "yes_no":
        expected = _random_yes_no(labels)
    else:
        counts = Counter(normalise_answer(label.target) for label in labels)
        shares = np.array(list(counts.values())) / len(labels)
        expected = {"exact_match": float(np.sum(shares**2))} if scoring == "strict" else {}
        by_type: dict[str | None, list[str]] = {}
        for label in labels:
            by_type.setdefault(label.question_type, []).append(label.target)
        prior = {question_type: _most_frequent(targets) for question_type, targets in by_type.items()}
        answers["answer-prior"] = {label.id: prior[label.question_type] for label in labels}
    rows = {name: _constant_row(spec, labels, row, scoring, metrics) for name, row in answers.items()}
    rows[RANDOM_ROW] = {
        name: Score(value, None, None, metric_signature(name, spec.kind, scoring))
        for name, value in expected.items()
        if metrics is None or spec.kind == "yes_no" or name in metrics
    }
    return rows


def best_constant(rows: Mapping[str, Mapping[str, Score]], metric: str) -> tuple[str, float] | None:
    """The constant row with the best value of a metric, and that value; None if none of them has it.

    For the Brier score and the calibration error, of which lower is better, that is the prevalence given as
    every item's probability (the row `random at prevalence`).

    Args:
        rows: as from `reference_rows`.
        metric: name of a metric.
    """
    candidates = (RANDOM_ROW,) if metric in LOWER_IS_BETTER else CONSTANT_ROWS
    values = [(rows[name][metric].value, name) for name in candidates if metric in rows.get(name, {})]
    if not values:
        return None
    value, name = max(values, key=lambda entry: entry[0])
    return name, value
