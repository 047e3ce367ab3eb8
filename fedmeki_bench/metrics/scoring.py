"""From predictions and labels to the scores of a task, with intervals and signatures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from fedmeki_bench.errors import CheckFailed
from fedmeki_bench.metrics._types import ItemStatistics, LabelLike, Prediction, Score, Scoring, TaskScores
from fedmeki_bench.metrics.classification import classification_scores, probability_scores
from fedmeki_bench.metrics.legacy import LegacyQuirks
from fedmeki_bench.metrics.signatures import metric_signature
from fedmeki_bench.metrics.statistics import item_statistics
from fedmeki_bench.specs import TaskSpec

__all__ = ["metric_values", "score_statistics", "score_task"]


def metric_values(stats: ItemStatistics) -> dict[str, float]:
    """Every metric the statistics define, by name; undefined ones are absent."""
    if stats.kind == "yes_no":
        assert stats.y_true is not None and stats.y_pred is not None
        values = classification_scores(stats.y_true, stats.y_pred)
        if stats.score is not None:
            values |= probability_scores(stats.y_true, stats.score)
        return values
    return {name: float(np.nanmean(rows)) for name, rows in stats.text.items() if not np.isnan(rows).all()}


def score_statistics(
    stats: ItemStatistics,
    *,
    scoring: Scoring = "strict",
    quirks: LegacyQuirks | None = None,
    bootstrap: int = 0,
    seed: int = 0,
    expected: int | None = None,
) -> TaskScores:
    """The scores of per-item statistics; see `score_task` for the arguments."""
    intervals: Mapping[str, tuple[float, float]] = {}
    if bootstrap:
        from fedmeki_bench.metrics.intervals import bootstrap_intervals

        intervals = bootstrap_intervals(stats, draws=bootstrap, seed=seed)
    scores: dict[str, Score] = {}
    for name, value in metric_values(stats).items():
        low, high = intervals.get(name, (None, None))
        scores[name] = Score(value, low, high, metric_signature(name, stats.kind, scoring, quirks))
    n = len(stats)
    return TaskScores(
        task=stats.task,
        n=n,
        parse_rate=float(stats.parsed.mean()) if n else 0.0,
        scores=scores,
        partial=expected is not None and expected != n,
        undefined=dict(stats.undefined),
        expected=n if expected is None else expected,
    )


def score_task(
    spec: TaskSpec,
    labels: Sequence[LabelLike],
    predictions: Sequence[Prediction],
    *,
    scoring: Scoring = "strict",
    bootstrap: int = 1000,
    seed: int = 0,
    partial: bool = False,
    quirks: LegacyQuirks | None = None,
    metrics: Sequence[str] | None = None,
) -> TaskScores:
    """Score one task's predictions.

    Args:
        spec: the task.
        labels: the labels of the items that were to be answered.
        predictions: one for each label, in any order.
        scoring: `strict` (this project's rules) or `legacy` (the public release's).
        bootstrap: draws of the cluster bootstrap behind the 95% intervals; 0 for no intervals.
        seed: seed of the bootstrap.
        partial: score the items that were answered if some were not; the result then says `partial`.
        quirks: legacy switches, all on by default.
        metrics: text tasks: only these (all but METEOR, say).

    Raises:
        CheckFailed: items without a prediction and not `partial`, or no prediction at all.
        BenchError: predictions that do not belong to the labels.
    """
    answered = {prediction.id for prediction in predictions}
    missing = [label.id for label in labels if label.id not in answered]
    if missing and (not partial or len(missing) == len(labels)):
        raise CheckFailed(
            f"{len(missing)} of {len(labels)} items of {spec.id} have no prediction",
            expected="a prediction for every label",
            found=f"none for {', '.join(missing[:5])}{' ...' if len(missing) > 5 else ''}",
            fix="answer the missing items, or ask for a partial score, which is marked as such",
        )
    stats = item_statistics(spec, labels, predictions, scoring, quirks=quirks, metrics=metrics)
    return score_statistics(
        stats, scoring=scoring, quirks=quirks, bootstrap=bootstrap, seed=seed, expected=len(labels)
    )
