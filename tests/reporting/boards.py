"""Run folders with answers of a known quality, scored like real ones, for leaderboard tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from fedmeki_bench.files import file_sha256, write_json, write_jsonl
from fedmeki_bench.metrics import LabelRow, Prediction, reference_rows, score_task
from fedmeki_bench.specs import TaskSpec, load_tasks
from tests.builders import make_result

__all__ = ["write_run"]

TASKS = (
    ("multi_task", "covid_detection"),
    ("multi_task", "mortality_prediction"),
    ("zero_shot", "sepsis_prediction"),
    ("zero_shot", "medvqa_rad"),
)
METRICS = ("bleu", "rouge1", "exact_match")
"""Without METEOR, which needs WordNet; yes/no tasks have all of theirs anyway."""

WORDS = ("yes", "no", "left lung", "chest", "pneumonia", "axial")


def _labels(spec: TaskSpec, n: int) -> list[LabelRow]:
    """The same for every run: they depend on the task alone."""
    random = np.random.default_rng(len(spec.id))
    targets = (
        ["yes" if draw < 0.3 else "no" for draw in random.random(n)]
        if spec.kind == "yes_no"
        else random.choice(WORDS, n).tolist()
    )
    return [LabelRow(f"{spec.short}-{i:04d}", target, f"group-{i}") for i, target in enumerate(targets)]


def _answers(spec: TaskSpec, labels: Sequence[LabelRow], quality: float, seed: int) -> list[Prediction]:
    """Right with probability `quality`, else wrong."""
    random = np.random.default_rng([seed, len(spec.id)])
    rows = []
    for label in labels:
        right = bool(random.random() < quality)
        if spec.kind == "text":
            rows.append(Prediction(label.id, label.target if right else "an unlikely answer"))
            continue
        yes = (label.target == "yes") == right
        score = float(np.clip(random.normal(0.75 if yes else 0.25, 0.1), 0.01, 0.99))
        rows.append(Prediction(label.id, "Yes" if yes else "No", score))
    return rows


def _evaluation(run: Path, protocol: str, spec: TaskSpec, n: int, quality: float, seed: int) -> dict[str, Any]:
    labels = _labels(spec, n)
    answers = _answers(spec, labels, quality, seed)
    path = run / "predictions" / protocol / f"{spec.id}.jsonl"
    rows = [{name: value for name, value in asdict(row).items() if value is not None} for row in answers]
    write_jsonl(path, rows)
    write_jsonl(
        run / "labels" / f"{spec.id}.jsonl",
        [{"id": row.id, "target": row.target, "group": row.group} for row in labels],
    )
    scored = score_task(spec, labels, answers, bootstrap=50, metrics=METRICS)
    diagnostics: dict[str, Any] = {"answers": [{"answer": answers[0].answer, "n": 1}], "other": n - 1}
    if spec.kind == "yes_no":
        bins = [(0.2, 60, 0.1), (0.5, 10, 0.4), (0.8, 30, 0.9)]
        diagnostics["reliability"] = [
            {"low": mean - 0.1, "high": mean + 0.1, "n": count, "mean_score": mean, "positive_share": share}
            for mean, count, share in bins
        ]
        diagnostics["router"] = [0.5, 0.25, 0.15, 0.1]
    return {
        "protocol": protocol,
        "training": f"single_task-{spec.id}" if protocol == "single_task" else "multi_task",
        "task": spec.id,
        "selected_round": 2,
        "n": n,
        "parse_rate": scored.parse_rate,
        "predictions": f"predictions/{protocol}/{spec.id}.jsonl",
        "predictions_sha256": file_sha256(path),
        "scores": {name: asdict(score) for name, score in scored.scores.items()},
        "diagnostics": diagnostics,
    }


def write_run(
    folder: Path,
    method: str = "fedkim",
    *,
    run_id: str | None = None,
    seed: int = 0,
    quality: float = 0.9,
    n: int = 100,
    whole: int | None = None,
    tasks: Sequence[tuple[str, str]] = TASKS,
    **overrides: Any,
) -> dict[str, Any]:
    """A finished run's folder: answers, labels and `result.json`; labels depend on the task and `n` alone.

    Args:
        folder: where the run's folder goes; it is named by the run's id.
        method: the method's name.
        run_id: made from name and seed unless given.
        seed: of the answers, and the run's.
        quality: share of right answers, about.
        n: test items a task.
        whole: items of the test part, if the run is limited to the first `n`.
        tasks: protocol and task of each evaluation.
        overrides: as for `make_result`.

    Returns:
        The result record.
    """
    specs: Mapping[str, TaskSpec] = load_tasks()
    name = run_id or f"{'-'.join(''.join(c if c.isalnum() else ' ' for c in method).split())}-{seed}"
    run = folder / name
    evaluations = [_evaluation(run, protocol, specs[task], n, quality, seed) for protocol, task in dict.fromkeys(tasks)]
    result = make_result(method, evaluations=evaluations, run_id=name, seed=seed, **overrides)
    for task, facts in result["tasks"].items():
        spec = specs[task]
        facts |= {
            "source": spec.source,
            "spec_hash": spec.hash,
            "spec_version": spec.version,
            "counts": {"test": whole or n},
            "used": {"test": n},
        }
        rows = reference_rows(spec, _labels(spec, n), metrics=METRICS)
        result["references"][task] = {
            row: {metric: {"value": s.value, "signature": s.signature} for metric, s in scores.items()}
            for row, scores in rows.items()
        }
    write_json(run / "result.json", result)
    return result
