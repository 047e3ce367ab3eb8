"""Logs of the public release: one JSON list of items that carry their truth beside the answer."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from fedmeki_bench.errors import BenchError, Fault, FaultsError
from fedmeki_bench.metrics._types import LabelRow, Prediction
from fedmeki_bench.metrics.jsonl import FaultList
from fedmeki_bench.specs import TaskSpec

__all__ = ["read_released"]

_PATIENT = re.compile(r"patient\w+", re.IGNORECASE)
_LABEL = re.compile(r"^\s*answer\s*:\s*", re.IGNORECASE)


def _items(path: Path) -> list[Any]:
    try:
        rows = json.loads(path.read_bytes().decode("utf-8-sig"))
    except OSError as error:
        raise BenchError(f"cannot read the log: {error.strerror}", where=path) from error
    except (ValueError, RecursionError) as error:
        where = f"{path}:{error.lineno}" if isinstance(error, json.JSONDecodeError) else str(path)
        fault = Fault(where, "", "a JSON list in UTF-8", str(error), "a prediction file needs --format jsonl")
        raise FaultsError(f"1 fault in the log {path.name}", [fault], exit_code=3) from error
    if not isinstance(rows, list) or not rows:
        found = "an empty list" if isinstance(rows, list) else f"a {type(rows).__name__}"
        fault = Fault(str(path), "", "a JSON list of items", found)
        raise FaultsError(f"1 fault in the log {path.name}", [fault], exit_code=3)
    return rows


def _group(row: dict[str, Any], name: str) -> str:
    """What an item shares with others: the patient its path names (CheXpert), else its image or record, else
    itself."""
    paths = row.get("modality_paths")
    place = " ".join(map(str, paths)) if isinstance(paths, list) else str(paths or "")
    patient = _PATIENT.search(place)
    return patient.group() if patient else place or name


def _truth(row: dict[str, Any], spec: TaskSpec, number: int, faults: FaultList) -> str | None:
    value = row.get("label", row.get("answers"))
    if not isinstance(value, str):
        found = "nothing" if value is None else f"{value!r:.60} ({type(value).__name__})"
        faults.add("truth", number, "label", "a text (or `answers`)", found)
        return None
    text = _LABEL.sub("", value).strip()
    if spec.kind == "text":
        return text
    words = {
        (spec.answer.positive or "yes").casefold(): "yes",
        (spec.answer.negative or "no").casefold(): "no",
    }
    if text.casefold() not in words:
        faults.add("truth", number, "label", "yes or no", f"{value!r:.60}", f"is this a log of {spec.id}?")
        return None
    return words[text.casefold()]


def read_released(path: Path, spec: TaskSpec) -> tuple[list[LabelRow], list[Prediction]]:
    """Labels and predictions of a log of the public release, or of any list of objects with the same fields.

    Each object has `label` or `answers` (the truth, perhaps after "Answer:"), `answer` (the method's text),
    and perhaps `id` and `modality_paths`, which gives the group: the patient where the path names one, else
    the file.

    Raises:
        FaultsError: exit code 3, with every fault and the number of its item, counted from 1.
        BenchError: the file cannot be read.
    """
    faults = FaultList(path, "item")
    labels: list[LabelRow] = []
    predictions: list[Prediction] = []
    seen: dict[str, int] = {}
    for number, row in enumerate(_items(path), start=1):
        if not isinstance(row, dict):
            faults.add("layout", number, "", "an object", f"a {type(row).__name__}")
            continue
        name, answer = str(row.get("id", number - 1)), row.get("answer")
        truth = _truth(row, spec, number, faults)
        if not isinstance(answer, str):
            found = "nothing" if answer is None else f"{answer!r:.60} ({type(answer).__name__})"
            faults.add("answer", number, "answer", "a text", found)
        elif name in seen:
            faults.add(
                "duplicate id", number, "id", "each id once", f"{name!r} again, first in item {seen[name]}"
            )
        elif truth is not None:
            labels.append(LabelRow(name, truth, _group(row, name)))
            predictions.append(Prediction(name, answer))
        seen.setdefault(name, number)
    if len(faults):
        count = f"{len(faults)} fault{'s' if len(faults) > 1 else ''}"
        raise FaultsError(f"{count} in the log {path.name}", faults.all(), exit_code=3)
    return labels, predictions
