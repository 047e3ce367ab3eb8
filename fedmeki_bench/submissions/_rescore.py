"""The stated scores against those that follow from the predictions: value, interval, signature."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from fedmeki_bench.metrics import LabelLike, Prediction, Score, TaskScores, parse_signature, score_task
from fedmeki_bench.specs import TaskSpec
from fedmeki_bench.submissions._faults import FaultLog

__all__ = [
    "BOOTSTRAP_DRAWS",
    "BOOTSTRAP_SEED",
    "compare_evaluation",
    "compare_references",
    "rescore",
    "same_number",
    "stated_references",
    "stated_scores",
]

BOOTSTRAP_DRAWS = 1000
"""Draws behind a bundle's intervals; part of the bundle's format, since the checker repeats them."""

BOOTSTRAP_SEED = 0

TOLERANCE = 1e-9
"""Two machines may add floating-point numbers in another order; an edited score differs by far more."""

FIRST_METRICS = frozenset(
    [
        "accuracy",
        "precision",
        "recall",
        "f1",
        "balanced_accuracy",
        "mcc",
        "auroc",
        "auprc",
        "brier",
        "ece",
        "bleu",
        "bleu2",
        "bleu3",
        "bleu4",
        "rouge1",
        "rouge2",
        "rougeL",
        "meteor",
        "exact_match",
        "token_f1",
    ]
)
"""Metrics of the first release, which every bundle states; later ones cannot be asked of old bundles."""


def rescore(spec: TaskSpec, labels: Sequence[LabelLike], predictions: Sequence[Prediction]) -> TaskScores:
    """The scores of a prediction file as a bundle states them: strict scoring, the format's own bootstrap."""
    return score_task(spec, labels, predictions, bootstrap=BOOTSTRAP_DRAWS, seed=BOOTSTRAP_SEED)


def stated_scores(scores: TaskScores) -> dict[str, dict[str, Any]]:
    """Scores in the form of `result.json`."""
    return {
        metric: {"value": score.value, "low": score.low, "high": score.high, "signature": score.signature}
        for metric, score in scores.scores.items()
    }


def stated_references(rows: Mapping[str, Mapping[str, Score]]) -> dict[str, dict[str, dict[str, Any]]]:
    """Constant rows in the form of `result.json`."""
    return {
        row: {metric: {"value": score.value, "signature": score.signature} for metric, score in scores.items()}
        for row, scores in rows.items()
    }


def same_number(stated: float | None, found: float | None) -> bool:
    """Whether two values are one number up to the order of addition; undefined equals only undefined."""
    if stated is None or found is None:
        return stated is found
    return math.isclose(stated, found, rel_tol=0.0, abs_tol=TOLERANCE)


def _meaning(signature: str) -> dict[str, str]:
    """The parts of a signature that say what is computed; the library's release is not one of them."""
    try:
        return {name: value for name, value in parse_signature(signature).items() if name != "lib"}
    except ValueError:
        return {"signature": signature}


def _comparable(stated: str, ours: str, where: str, field: str, log: FaultLog) -> str | None:
    """None if two signatures mean the same number, else why it is not verified; a fault goes to `log`."""
    theirs, mine = _meaning(stated), _meaning(ours)
    if theirs == mine:
        return None
    if "wordnet" in theirs and {**theirs, "wordnet": ""} == {**mine, "wordnet": ""}:
        return f"{field} used WordNet {theirs['wordnet']}, here it is {mine['wordnet']}: NOT verified"
    log.add("FB075", where, ours, stated, field=f"{field}.signature")
    return f"{field} is scored in another way"


def compare_evaluation(
    spec: TaskSpec,
    evaluation: Mapping[str, Any],
    labels: Sequence[LabelLike],
    predictions: Sequence[Prediction],
    where: str,
    field: str,
    log: FaultLog,
) -> list[str]:
    """Compare one stated evaluation with its predictions scored again; differences go to `log`.

    Args:
        spec: the task.
        evaluation: from the scores file.
        labels: all test labels of the task.
        predictions: one for each label.
        where: path of the scores file.
        field: names the evaluation in messages.
        log: takes the faults.

    Returns:
        What could not be verified here, and why.
    """
    ours = rescore(spec, labels, predictions)
    if not same_number(evaluation["parse_rate"], ours.parse_rate):
        log.add("FB077", where, ours.parse_rate, evaluation["parse_rate"], field=f"{field}.parse_rate")
    unverified = []
    for metric, stated in evaluation["scores"].items():
        place = f"{field}.{metric}"
        score = ours.scores.get(metric)
        if score is None:
            if metric not in ours.undefined:
                log.add("FB076", where, "a metric of this task", "one that is not", field=place)
            elif stated["value"] is not None:
                log.add("FB073", where, f"no value: {ours.undefined[metric]}", stated["value"], field=place)
            continue
        reason = _comparable(stated["signature"], score.signature, where, place, log)
        if reason is not None:
            unverified.append(reason)
            continue
        if not same_number(stated["value"], score.value):
            log.add("FB073", where, score.value, stated["value"], field=place)
        if not (same_number(stated["low"], score.low) and same_number(stated["high"], score.high)):
            found = f"{stated['low']} to {stated['high']}"
            log.add("FB074", where, f"{score.low} to {score.high}", found, field=place)
    for metric in sorted(set(ours.scores) & FIRST_METRICS - set(evaluation["scores"])):
        log.add("FB076", where, f"a value for {metric}", "none", field=f"{field}.{metric}")
    return unverified


def compare_references(
    task: str,
    stated: Mapping[str, Mapping[str, Any]],
    ours: Mapping[str, Mapping[str, Score]],
    where: str,
    log: FaultLog,
) -> None:
    """Compare the stated constant rows of one task with those that follow from the labels."""
    for row, scores in stated.items():
        for metric, score in scores.items():
            field = f"references.{task}.{row}.{metric}"
            mine = ours.get(row, {}).get(metric)
            if mine is None:
                if row not in ours or score["value"] is not None:
                    log.add("FB076", where, "a row and metric of this task", "one that is not", field=field)
            elif _meaning(score["signature"]) == _meaning(mine.signature) and not same_number(
                score["value"], mine.value
            ):
                log.add("FB073", where, mine.value, score["value"], field=field)
