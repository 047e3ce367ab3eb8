"""From predictions on disk to the run's record: scores, references, diagnostics; one validated JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from fedmeki_bench.files import file_sha256
from fedmeki_bench.metrics import LabelRow, Prediction, Score, reference_rows, score_task
from fedmeki_bench.metrics.reading import read_labels, read_predictions
from fedmeki_bench.runner.config import Protocol
from fedmeki_bench.runner.evaluation import labels_path, predictions_path
from fedmeki_bench.specs import TaskSpec

__all__ = ["evaluation_record", "reference_record"]

SHOWN_ANSWERS = 12
BINS = 10
BOOTSTRAP_DRAWS = 2000


def evaluation_record(
    run: Path,
    protocol: Protocol,
    training: str,
    spec: TaskSpec,
    *,
    selected_round: int | None,
    router: Sequence[float] | None,
) -> dict[str, Any]:
    """One evaluation of the result, scored from the files of the run's folder alone."""
    path = predictions_path(run, protocol, spec.id)
    labels = read_labels(labels_path(run, spec.id), spec)
    predictions = read_predictions(path, labels=labels, task=spec.id)
    scored = score_task(spec, labels, predictions, bootstrap=BOOTSTRAP_DRAWS)
    diagnostics = _answers(predictions)
    if spec.kind == "yes_no":
        diagnostics |= _reliability(labels, predictions)
    if router is not None:
        diagnostics["router"] = list(router)
    return {
        "protocol": protocol,
        "training": training,
        "task": spec.id,
        "selected_round": selected_round,
        "n": scored.n,
        "parse_rate": scored.parse_rate,
        "predictions": path.relative_to(run).as_posix(),
        "predictions_sha256": file_sha256(path),
        "scores": {name: asdict(score) for name, score in scored.scores.items()},
        "diagnostics": diagnostics,
    }


def reference_record(run: Path, spec: TaskSpec) -> dict[str, dict[str, dict[str, Any]]]:
    """The constant rows of a task, from its labels: row to metric to value and signature."""
    rows = reference_rows(spec, read_labels(labels_path(run, spec.id), spec))
    return {row: {name: _plain(score) for name, score in scores.items()} for row, scores in rows.items()}


def _plain(score: Score) -> dict[str, Any]:
    return {"value": score.value, "signature": score.signature}


def _answers(predictions: Sequence[Prediction]) -> dict[str, Any]:
    counts = Counter(prediction.answer for prediction in predictions)
    ranked = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    shown = [{"answer": answer, "n": count} for answer, count in ranked[:SHOWN_ANSWERS]]
    return {"answers": shown, "other": sum(count for _, count in ranked[SHOWN_ANSWERS:])}


def _reliability(labels: Sequence[LabelRow], predictions: Sequence[Prediction]) -> dict[str, Any]:
    """Ten equal bins of the probability of yes; none if any answer lacks one."""
    truth: Mapping[str, str] = {label.id: label.target for label in labels}
    scores = [
        (prediction.score, truth[prediction.id] == "yes")
        for prediction in predictions
        if prediction.score is not None
    ]
    if len(scores) != len(predictions):
        return {}
    bins = []
    for number in range(BINS):
        inside = [(score, yes) for score, yes in scores if min(int(score * BINS), BINS - 1) == number]
        if inside:
            mean = sum(score for score, _ in inside) / len(inside)
            share = sum(yes for _, yes in inside) / len(inside)
            bins.append(
                {
                    "low": number / BINS,
                    "high": (number + 1) / BINS,
                    "n": len(inside),
                    "mean_score": mean,
                    "positive_share": share,
                }
            )
    return {"reliability": bins}
