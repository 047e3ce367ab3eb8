"""Prediction and label files in, rows out: all faults together, with line numbers, and no row made up."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fedmeki_bench.errors import BenchError, FaultsError, UsageError, did_you_mean
from fedmeki_bench.metrics._types import LabelLike, LabelRow, Prediction
from fedmeki_bench.metrics.jsonl import FaultList, read_objects
from fedmeki_bench.specs import TaskSpec, load_tasks

__all__ = ["labels_beside", "read_labels", "read_predictions", "read_store_labels"]

_PREDICTION_FIELDS = ("id", "answer", "score")
_LABEL_FIELDS = ("id", "target", "group", "question_type")


def _text(row: dict[str, Any], field: str, line: int, faults: FaultList) -> str | None:
    if field not in row:
        faults.add("missing field", line, field, "a text", "nothing")
    elif not isinstance(row[field], str):
        faults.add("wrong type", line, field, "a text", f"{row[field]!r:.60} ({type(row[field]).__name__})")
    else:
        return str(row[field])
    return None


def _score(row: dict[str, Any], line: int, faults: FaultList) -> float | None:
    value = row.get("score")
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        faults.add("wrong type", line, "score", "a number from 0 to 1", f"{value!r:.60} ({type(value).__name__})")
    elif not 0.0 <= value <= 1.0:
        faults.add("score", line, "score", "a number from 0 to 1", repr(value))
    else:
        return float(value)
    return None


def _unknown_fields(row: dict[str, Any], known: Sequence[str], line: int, faults: FaultList) -> None:
    for name in sorted(row.keys() - set(known)):
        faults.add("unknown field", line, name, "no such field", "an unknown field", did_you_mean(name, known))


def _repeated(name: str, line: int, seen: dict[str, int], faults: FaultList) -> bool:
    if name in seen:
        faults.add("duplicate id", line, "id", "each id once", f"{name!r} again, first on line {seen[name]}")
        return True
    seen[name] = line
    return False


def _raise_if_any(faults: FaultList, kind: str) -> None:
    if len(faults):
        count = f"{len(faults)} fault{'s' if len(faults) > 1 else ''}"
        raise FaultsError(f"{count} in the {kind} {faults.path.name}", faults.all(), exit_code=3)


def read_predictions(
    path: Path, *, labels: Sequence[LabelLike], task: str | None = None, partial: bool = False
) -> list[Prediction]:
    """The predictions of one JSON-lines file, checked against the labels they answer.

    Args:
        path: one object a line: `id` and `answer` (texts), and perhaps `score` (probability of the positive
            answer, 0 to 1).
        labels: the items that were to be answered.
        task: id of the task; a file that is named after another task is then a fault.
        partial: allow items without a prediction.

    Returns:
        The predictions in the order of the labels.

    Raises:
        FaultsError: exit code 3, with every fault: ids missing, repeated or unknown; scores that are no
            probability; wrong types and unknown fields; a truncated last line; lines that are not UTF-8 or
            not JSON; another task's file.
        BenchError: the file cannot be read.
    """
    faults = FaultList(path)
    known = {label.id for label in labels}
    seen: dict[str, int] = {}
    unknown: dict[str, int] = {}
    found: dict[str, Prediction] = {}
    for line, row in read_objects(path, faults):
        _unknown_fields(row, _PREDICTION_FIELDS, line, faults)
        name, answer = _text(row, "id", line, faults), _text(row, "answer", line, faults)
        score = _score(row, line, faults)
        if name is None or _repeated(name, line, seen, faults):
            continue
        if name not in known:
            unknown[name] = line
        elif answer is not None:
            found[name] = Prediction(name, answer, score)
    _task_faults(path, task, seen, unknown, labels, faults)
    missing = [label.id for label in labels if label.id not in seen]
    if not seen:
        faults.add("empty", None, "", f"predictions of {len(known)} items", "none")
    elif missing and not partial and len(unknown) < len(seen):
        for name in missing:
            fix = "answer it, or score with --partial"
            faults.add("missing id", None, "id", f"an answer for {name!r}", "none", fix)
    _raise_if_any(faults, "prediction file")
    return [found[label.id] for label in labels if label.id in found]


def _task_faults(
    path: Path,
    task: str | None,
    seen: dict[str, int],
    unknown: dict[str, int],
    labels: Sequence[LabelLike],
    faults: FaultList,
) -> None:
    if task is not None and path.stem != task and path.stem in load_tasks():
        faults.add("task", None, "", f"predictions of {task}", f"a file named after {path.stem}")
    if seen and len(unknown) == len(seen):
        example = f"the file has {next(iter(unknown))!r}, the labels have {labels[0].id if labels else None!r}"
        found = f"none among {len(seen)}: {example}"
        faults.add("task", None, "id", "ids of this task", found, "another task's file?")
    else:
        for name, line in unknown.items():
            faults.add("unknown id", line, "id", "an id of this task", repr(name))


def read_labels(path: Path, spec: TaskSpec) -> list[LabelRow]:
    """The labels of one JSON-lines file: `id`, `target`, `group` and perhaps `question_type`.

    Raises:
        FaultsError: exit code 3, with every fault, among them targets that are not `yes` or `no` in a yes/no
        task. BenchError: the file cannot be read.
    """
    faults = FaultList(path)
    seen: dict[str, int] = {}
    labels: list[LabelRow] = []
    for line, row in read_objects(path, faults):
        _unknown_fields(row, _LABEL_FIELDS, line, faults)
        name, target = _text(row, "id", line, faults), _text(row, "target", line, faults)
        group = _text(row, "group", line, faults)
        question_type = row.get("question_type")
        if question_type not in (None, "closed", "open"):
            faults.add("question type", line, "question_type", "closed, open or null", f"{question_type!r:.60}")
        if spec.kind == "yes_no" and target not in (None, "yes", "no"):
            faults.add("target", line, "target", "yes or no", f"{target!r:.60}", f"is this a file of {spec.id}?")
        if name is None or target is None or group is None or _repeated(name, line, seen, faults):
            continue
        labels.append(LabelRow(name, target, group, question_type))
    if not len(faults) and not labels:
        faults.add("empty", None, "", "labels", "none")
    _raise_if_any(faults, "label file")
    return labels


def read_store_labels(store: Path, task: str, part: str = "test") -> list[LabelRow]:
    """The labels of one part of a task in a prepared store, from its index alone.

    Raises:
        UsageError: the store does not hold the task, or the task has no item in that part.
        BenchError: the index cannot be read.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    index = store / "tasks" / task / "index.parquet"
    if not index.is_file():
        have = sorted(folder.parent.name for folder in store.glob("tasks/*/index.parquet"))
        fix = did_you_mean(task, have) if have else "name the folder that data prepare wrote"
        raise UsageError(f"no prepared data of {task}", where=index, fix=fix)
    try:
        rows = pq.read_table(index, columns=[*_LABEL_FIELDS, "part"]).to_pylist()
    except (OSError, pa.ArrowException) as error:
        raise BenchError(
            "the task's index is damaged", where=index, found=error, fix="run data prepare again"
        ) from error
    labels = [LabelRow(*(row[name] for name in _LABEL_FIELDS)) for row in rows if row["part"] == part]
    if not labels:
        parts = ", ".join(sorted({row["part"] for row in rows})) or "no items"
        raise UsageError(f"{task} has no {part} items in this store", where=index, found=parts)
    return labels


def labels_beside(predictions: Path, task: str) -> Path | None:
    """The label file of the run's folder that a prediction file lies in, or None if it lies in no run's
    folder."""
    path = predictions.resolve()
    if path.parent.parent.name != "predictions":
        return None
    labels = path.parent.parent.parent / "labels" / f"{task}.jsonl"
    return labels if labels.is_file() else None
