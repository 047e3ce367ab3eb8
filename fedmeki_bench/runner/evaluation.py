"""Predictions on test data, written whole before any scoring starts, and the labels to score them against."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from fedmeki_bench.data import PreparedTask
from fedmeki_bench.files import write_jsonl
from fedmeki_bench.methods import Method
from fedmeki_bench.methods.processes import current_processes
from fedmeki_bench.runner.config import Protocol
from fedmeki_bench.runner.training import check_answers
from fedmeki_bench.specs import TaskSpec

__all__ = ["labels_path", "predict_task", "predictions_path", "write_labels"]


def predictions_path(run: Path, protocol: Protocol, task: str) -> Path:
    """Where a run keeps its predictions of a task."""
    return run / "predictions" / protocol / f"{task}.jsonl"


def labels_path(run: Path, task: str) -> Path:
    """Where a run keeps the labels of the test items it answered."""
    return run / "labels" / f"{task}.jsonl"


def write_labels(run: Path, task: str, prepared: PreparedTask, rows: Sequence[int]) -> None:
    """Write the labels of these rows; unknown question types are left out of the line."""
    lines = [
        {name: value for name, value in asdict(label).items() if value is not None}
        for label in prepared.labels(rows)
    ]
    write_jsonl(labels_path(run, task), lines)


def predict_task(
    method: Method, spec: TaskSpec, prepared: PreparedTask, rows: Sequence[int], path: Path
) -> None:
    """Answer these rows and write the answers; nothing is done if the file is already there (files appear whole).

    The method sees inputs only: ids, modalities and questions. Where several processes run together, all answer and the
    main one writes.
    """
    processes = current_processes()
    if processes.agreed(path.exists()):
        return
    inputs = prepared.inputs(rows)
    answers = method.predict(spec, inputs)
    check_answers(method, spec, answers, len(inputs))
    if not processes.main:
        return
    lines: list[dict[str, str | float]] = []
    for one, answer in zip(inputs, answers, strict=True):
        lines.append(
            {"id": one.id, "answer": answer.text} | ({} if answer.score is None else {"score": answer.score})
        )
    write_jsonl(path, lines)
