"""`result.json`: what a run's record must hold, checked field by field and then across fields."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

from fedmeki_bench.errors import Fault, FaultsError
from fedmeki_bench.specs._load import _schema_fault

__all__ = ["RESULT_SCHEMA_VERSION", "result_faults", "validate_result"]

RESULT_SCHEMA_VERSION = 1
"""The newest `schema_version` this code reads and the one it writes."""


@cache
def _validator() -> Draft202012Validator:
    path = Path(__file__).parent / "schemas" / "result.schema.json"
    return Draft202012Validator(json.loads(path.read_text(encoding="utf-8")))


def _version_fault(result: Mapping[str, Any], where: str) -> Fault | None:
    version = result.get("schema_version")
    if version == RESULT_SCHEMA_VERSION and not isinstance(version, bool):
        return None
    newer = isinstance(version, int) and version > RESULT_SCHEMA_VERSION
    fix = "written by a newer fedmeki-bench: update this one" if newer else ""
    return Fault(
        where, "schema_version", f"{RESULT_SCHEMA_VERSION} or older", json.dumps(version, default=str), fix
    )


def _not_finite(value: object, field: str = "") -> Iterator[tuple[str, float]]:
    """Fields that hold NaN or infinity: they slip through a schema's minimum and maximum and are not JSON."""
    if isinstance(value, float) and not math.isfinite(value):
        yield field, value
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _not_finite(inner, f"{field}.{name}".lstrip("."))
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            yield from _not_finite(inner, f"{field}.{index}".lstrip("."))


def _interval_faults(where: str, field: str, scores: Mapping[str, Mapping[str, Any]]) -> Iterator[Fault]:
    for metric, score in scores.items():
        value, low, high = score["value"], score["low"], score["high"]
        if (low is None) != (high is None):
            yield Fault(
                where, f"{field}.{metric}", "both ends of an interval or neither", f"low {low}, high {high}"
            )
        elif low is not None and value is None:
            yield Fault(
                where, f"{field}.{metric}", "no interval around an undefined value", f"{low} to {high}"
            )
        elif low is not None and low > high:
            # The value itself may lie outside: the bootstrap of a biased estimate (ECE) can miss it.
            yield Fault(where, f"{field}.{metric}", "low <= high", f"{low} to {high}")


def _evaluation_faults(result: Mapping[str, Any], where: str) -> Iterator[Fault]:
    trainings = {training["name"] for training in result["trainings"]}
    for index, evaluation in enumerate(result["evaluations"]):
        field, task, protocol = f"evaluations.{index}", evaluation["task"], evaluation["protocol"]
        if task not in result["tasks"]:
            yield Fault(where, f"{field}.task", "a task listed under tasks", repr(task))
        if protocol not in result["protocols"]:
            yield Fault(
                where,
                f"{field}.protocol",
                f"one of protocols, {', '.join(result['protocols'])}",
                repr(protocol),
            )
        needed = f"single_task-{task}" if protocol == "single_task" else "multi_task"
        if evaluation["training"] != needed:
            yield Fault(where, f"{field}.training", needed, repr(evaluation["training"]))
        elif trainings and needed not in trainings:
            yield Fault(
                where, f"{field}.training", f"one of trainings, {', '.join(sorted(trainings))}", needed
            )
        yield from _interval_faults(where, f"{field}.scores", evaluation["scores"])
    pairs = Counter((evaluation["protocol"], evaluation["task"]) for evaluation in result["evaluations"])
    for (protocol, task), count in pairs.items():
        if count > 1:
            yield Fault(where, "evaluations", f"one evaluation of {task} under {protocol}", str(count))


def _cross_faults(result: Mapping[str, Any], where: str) -> Iterator[Fault]:
    yield from _evaluation_faults(result, where)
    for task in sorted(set(result["references"]) - set(result["tasks"])):
        yield Fault(where, f"references.{task}", "a task listed under tasks", repr(task))
    for task in sorted(
        set(result["missing_tasks"]) & {evaluation["task"] for evaluation in result["evaluations"]}
    ):
        yield Fault(where, f"missing_tasks.{task}", "no evaluation of a missing task", "one")
    names = Counter(training["name"] for training in result["trainings"])
    for name in sorted(name for name, count in names.items() if count > 1):
        yield Fault(where, "trainings", f"one training named {name}", str(names[name]))
    for index, training in enumerate(result["trainings"]):
        rounds = {row["round"] for row in training["rounds"]}
        selected = training["selected_round"]
        if selected is not None and rounds and selected not in rounds:
            yield Fault(where, f"trainings.{index}.selected_round", "a round that was trained", str(selected))


def result_faults(result: object, where: str) -> list[Fault]:
    """Every fault of one result record; cross-field rules are looked at once every field is right by itself.

    Args:
        result: the parsed `result.json`.
        where: the file's name for messages.
    """
    if not isinstance(result, Mapping):
        return [Fault(where, "", "a JSON object", type(result).__name__)]
    version = _version_fault(result, where)
    if version is not None:
        return [version]
    errors: Iterable[Any] = _validator().iter_errors(result)
    faults = [fault for error in errors for fault in _schema_fault(where, error)]
    faults += [Fault(where, field, "a finite number", str(value)) for field, value in _not_finite(result)]
    return faults or list(_cross_faults(result, where))


def validate_result(result: Mapping[str, Any], where: str) -> None:
    """Refuse a result record that is not as `specs/schemas/result.schema.json` lays it down.

    Args:
        result: the parsed `result.json`.
        where: the file's name for messages.

    Raises:
        FaultsError: with every fault: field, expected, found.
    """
    faults = result_faults(result, where)
    if faults:
        raise FaultsError(f"{len(faults)} fault{'s' if len(faults) > 1 else ''} in a result record", faults)
