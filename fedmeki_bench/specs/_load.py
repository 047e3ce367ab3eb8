"""From YAML to `TaskSpec`: every fault of every file is reported at once, none is guessed away."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator

from fedmeki_bench.errors import Fault, FaultsError, UsageError, did_you_mean
from fedmeki_bench.files import package_folder
from fedmeki_bench.specs._types import AnswerForm, PaperCounts, Selection, SplitSpec, TaskSpec

__all__ = ["find_task", "load_task_file", "load_tasks", "select_tasks", "spec_faults"]


@cache
def _validator() -> Draft202012Validator:
    path = Path(__file__).parent / "schemas" / "task.schema.json"
    return Draft202012Validator(json.loads(path.read_text(encoding="utf-8")))


def _shorten(value: object, limit: int = 80) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _schema_fault(where: str, error: Any) -> Iterable[Fault]:
    """`error` is a ValidationError, whose members jsonschema types too loosely to be used."""
    keyword = error.validator
    field = ".".join(str(part) for part in error.absolute_path)
    schema, wanted = error.schema, error.validator_value
    if keyword == "additionalProperties":
        known = list(schema.get("properties", {}))
        for name in sorted(set(error.instance) - set(known)):
            place = f"{field}.{name}".lstrip(".")
            yield Fault(where, place, "no such field", "an unknown field", did_you_mean(name, known))
    elif keyword == "required":
        for name in wanted:
            if name not in error.instance:
                yield Fault(where, f"{field}.{name}".lstrip("."), "a value", "nothing")
    elif keyword == "enum":
        values = [str(value) for value in wanted]
        found = _shorten(error.instance)
        yield Fault(
            where, field, f"one of {', '.join(values)}", found, did_you_mean(str(error.instance), values)
        )
    else:
        yield Fault(where, field, f"{keyword} {_shorten(wanted)}", _shorten(error.instance))


def _spec_from(raw: Mapping[str, Any]) -> TaskSpec:
    split = dict(raw["split"])
    return TaskSpec(
        **{
            **raw,
            "modalities": tuple(raw["modalities"]),
            "metrics": tuple(raw["metrics"]),
            "answer": AnswerForm(**raw["answer"]),
            "selection": Selection(**raw.get("selection", {})),
            "paper": PaperCounts(**raw["paper"]),
            "split": SplitSpec(
                **{
                    **split,
                    "disjoint_from": tuple(split.get("disjoint_from", ())),
                    "allowed_leaks": tuple(split.get("allowed_leaks", ())),
                }
            ),
        }
    )


def _read_spec(path: Path) -> tuple[TaskSpec | None, list[Fault]]:
    where = str(path)
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        return None, [Fault(f"{where}:{line}", "", "valid YAML", str(error.problem))]
    except (OSError, UnicodeDecodeError) as error:
        return None, [Fault(where, "", "a readable UTF-8 file", str(error))]
    if not isinstance(raw, dict):
        return None, [Fault(where, "", "a mapping of fields", type(raw).__name__)]
    faults = [fault for error in _validator().iter_errors(raw) for fault in _schema_fault(where, error)]
    if faults:
        return None, faults
    spec = _spec_from(raw)
    if spec.id != path.stem:
        faults.append(Fault(where, "id", f"the file's name, {path.stem!r}", repr(spec.id)))
    if set(spec.modality_descriptions) != set(spec.modalities):
        found = ", ".join(spec.modality_descriptions)
        faults.append(
            Fault(where, "modality_descriptions", f"one for each of {', '.join(spec.modalities)}", found)
        )
    return spec, faults


def _gather(path: Path) -> tuple[list[TaskSpec], list[Fault]]:
    files = sorted(path.glob("*.yaml")) if path.is_dir() else [path]
    if not files:
        return [], [Fault(str(path), "", "at least one *.yaml file", "none")]
    specs: list[TaskSpec] = []
    faults: list[Fault] = []
    for file in files:
        spec, found = _read_spec(file)
        faults.extend(found)
        if spec is not None:
            specs.append(spec)
    if path.is_dir():
        known = {spec.id for spec in specs} | {file.stem for file in files}
        for spec in specs:
            for other in spec.split.disjoint_from:
                if other not in known:
                    where = str(path / f"{spec.id}.yaml")
                    faults.append(
                        Fault(
                            where,
                            "split.disjoint_from",
                            "an existing task",
                            other,
                            did_you_mean(other, known),
                        )
                    )
    return specs, faults


def spec_faults(path: Path | None = None) -> list[Fault]:
    """Every fault of a spec file, or of all specs in a folder (default: the twelve that ship with the package)."""
    return _gather(path or package_folder("tasks"))[1]


def load_task_file(path: Path) -> TaskSpec:
    """One spec from its file.

    Raises:
        FaultsError: with every fault of the file: field, expected, found.
    """
    specs, faults = _gather(path)
    if faults:
        raise FaultsError(f"the task spec {path.name} is not valid", faults)
    return specs[0]


def load_tasks(folder: Path | None = None) -> dict[str, TaskSpec]:
    """All specs of a folder by id (default: the twelve tasks), training tasks first, then in the papers' order.

    Raises:
        FaultsError: with every fault of every file.
    """
    specs, faults = _gather(folder or package_folder("tasks"))
    if faults:
        raise FaultsError("task specs are not valid", faults)
    ordered = sorted(
        specs,
        key=lambda spec: (
            spec.role != "training",
            spec.kind != "yes_no",
            PAPER_ORDER.get(spec.short, 99),
            spec.id,
        ),
    )
    return {spec.id: spec for spec in ordered}


PAPER_ORDER = {short: rank for rank, short in enumerate("CD LOD EAD MP ECD PED AD EBD SP MR MS SNC".split())}  # noqa: SIM905
"""Order of the tasks in the papers' tables."""


def find_task(name: str, tasks: Mapping[str, TaskSpec]) -> TaskSpec:
    """A task by id or by abbreviation (`covid_detection` or `CD`).

    Raises:
        UsageError: no such task; names the close matches.
    """
    for spec in tasks.values():
        if name in (spec.id, spec.short):
            return spec
    raise UsageError(
        f"unknown task {name!r}", fix=did_you_mean(name, [*tasks, *(spec.short for spec in tasks.values())])
    )


def select_tasks(names: Sequence[str], tasks: Mapping[str, TaskSpec]) -> dict[str, TaskSpec]:
    """The named tasks (ids or abbreviations), all of them for an empty list, in the papers' order."""
    wanted = {find_task(name, tasks).id for name in names} or set(tasks)
    return {task: spec for task, spec in tasks.items() if task in wanted}
