"""Small builders of valid records for tests; every field can be overridden."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["make_evaluation", "make_result", "make_score"]

CLASSIFICATION = {
    "accuracy": 0.9,
    "precision": 0.8,
    "recall": 0.75,
    "f1": 0.7742,
    "balanced_accuracy": 0.85,
    "mcc": 0.6,
    "auroc": 0.93,
}
GENERATION = {"bleu": 0.2, "rouge": 0.25, "meteor": 0.15}
TEXT_TASKS = {"medvqa_rad", "medvqa_slake", "signal_noise_clarification"}
TRAINING_TASKS = (
    "covid_detection",
    "lung_opacity_detection",
    "ecg_abnormal_detection",
    "mortality_prediction",
)


def make_score(
    metric: str, value: float | None, *, margin: float | None = 0.02, version: int = 1
) -> dict[str, Any]:
    """A score object: value, an interval of +- margin cut to the metric's range, signature."""
    bottom = -1.0 if metric == "mcc" else 0.0
    if value is None or margin is None:
        low = high = None
    else:
        low, high = max(bottom, value - margin), min(1.0, value + margin)
    return {"value": value, "low": low, "high": high, "signature": f"{metric}|v{version}"}


def make_evaluation(
    protocol: str,
    task: str,
    values: Mapping[str, float | None] | None = None,
    *,
    margin: float | None = 0.02,
    **overrides: Any,
) -> dict[str, Any]:
    """One evaluation with plausible scores of the task's kind."""
    values = (GENERATION if task in TEXT_TASKS else CLASSIFICATION) if values is None else values
    return {
        "protocol": protocol,
        "training": f"single_task-{task}" if protocol == "single_task" else "multi_task",
        "task": task,
        "selected_round": 2,
        "n": 200,
        "parse_rate": 1.0,
        "predictions": f"predictions/{protocol}/{task}.jsonl",
        "predictions_sha256": "a" * 64,
        "scores": {metric: make_score(metric, value, margin=margin) for metric, value in values.items()},
        **overrides,
    }


def _task(task: str, simulated: bool) -> dict[str, Any]:
    training = task in TRAINING_TASKS
    counts = {"private": 1400, "public": 200, "development": 200, "test": 200} if training else {"test": 200}
    return {
        "source": "yaib_mortality24",
        "simulated": simulated,
        "spec_version": 1,
        "spec_hash": "1" * 64,
        "split_scheme": "grouped",
        "split_hash": "2" * 64,
        "deal_hash": "3" * 64 if training else None,
        "counts": counts,
        "used": counts,
        "corrupt_skipped": 0,
    }


def _references(task: str) -> dict[str, Any]:
    if task in TEXT_TASKS:
        return {}
    rows = {
        "majority": {"accuracy": 0.75, "precision": 0.0, "recall": 0.0, "f1": 0.0, "balanced_accuracy": 0.5},
        "always-yes": {
            "accuracy": 0.25,
            "precision": 0.25,
            "recall": 1.0,
            "f1": 0.4,
            "balanced_accuracy": 0.5,
        },
    }
    return {
        row: {metric: {"value": value, "signature": f"{metric}|v1"} for metric, value in values.items()}
        for row, values in rows.items()
    }


def _training(name: str, tasks: Sequence[str]) -> dict[str, Any]:
    rounds = [
        {
            "round": number,
            "client_loss": 0.7 / number,
            "injection_loss": 2.0 / number,
            "development": {task: 0.6 + 0.05 * number for task in tasks},
        }
        for number in (1, 2, 3)
    ]
    return {
        "name": name,
        "tasks": list(tasks),
        "selection": "mean balanced accuracy on development data",
        "selected_round": 2,
        "rounds": rounds,
    }


def make_result(
    method: str = "fedkim",
    *,
    evaluations: Sequence[Mapping[str, Any]] | None = None,
    simulated: bool = False,
    random_weights: bool = False,
    **overrides: Any,
) -> dict[str, Any]:
    """A valid `result.json`; by default one multi-task and one zero-shot evaluation.

    Args:
        method: the method's name.
        evaluations: as from `make_evaluation`.
        simulated: whether the tasks' data are simulated.
        random_weights: whether the foundation model has random weights.
        overrides: top-level fields that replace the built ones.
    """
    if evaluations is None:
        evaluations = [
            make_evaluation("multi_task", "covid_detection"),
            make_evaluation(
                "zero_shot",
                "enlarged_cardiomediastinum_detection",
                {"accuracy": 0.6, "precision": 0.5, "recall": 0.7, "f1": 0.58},
            ),
        ]
    tasks = list(dict.fromkeys(evaluation["task"] for evaluation in evaluations))
    trained = [task for task in tasks if task in TRAINING_TASKS] or list(TRAINING_TASKS)
    names = list(dict.fromkeys(evaluation["training"] for evaluation in evaluations))
    trainings = [
        _training(name, trained if name == "multi_task" else [name.removeprefix("single_task-")])
        for name in names
    ]
    return {
        "schema_version": 1,
        "run_id": f"{'0123456789abcdef'}",
        "seed": 0,
        "profile": "mini",
        "backbone": "fedavg",
        "protocols": list(dict.fromkeys(evaluation["protocol"] for evaluation in evaluations))
        or ["multi_task"],
        "method": {"name": method, "config": {}},
        "foundation_model": {
            "name": "smollm2-135m",
            "revision": "0.1.2",
            "random_weights": random_weights,
            "parameters": 134_515_008,
            "width": 576,
        },
        "encoders": {"image": {"name": "deit_tiny", "weights": "random"}},
        "tasks": {task: _task(task, simulated) for task in tasks}
        or {"covid_detection": _task("covid_detection", simulated)},
        "missing_tasks": {},
        "evaluations": [dict(evaluation) for evaluation in evaluations],
        "references": {task: _references(task) for task in tasks},
        "trainings": trainings,
        "cost": {
            "trainable_parameters": {"adapter": 1_000_000, "projections": 250_000},
            "bytes_up": 50_000_000,
            "bytes_down": 50_000_000,
            "stages": [
                {"stage": "train", "wall_s": 600.0, "peak_memory_bytes": 2_000_000_000},
                {"stage": "predict", "wall_s": 60.0, "peak_memory_bytes": 1_500_000_000},
            ],
        },
        "provenance": {
            "version": "0.1.0",
            "git_commit": "6825012",
            "git_dirty": False,
            "python": "3.11.9",
            "packages": {"torch": "2.13.0"},
            "platform": "Linux",
            "device": "cpu",
            "dtype": "float32",
            "started": "2026-01-01T00:00:00+00:00",
            "finished": "2026-01-01T00:11:00+00:00",
        },
        "config": {},
        **overrides,
    }
