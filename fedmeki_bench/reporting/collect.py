"""From result records to entries and cells: one entry a run, constants from its references."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from fedmeki_bench.files import content_hash
from fedmeki_bench.metrics.reference import CONSTANT_ROWS
from fedmeki_bench.reporting._names import BACKBONES, clean_name, method_label
from fedmeki_bench.reporting._types import Cell, Entry, Kind, Measure
from fedmeki_bench.specs._result import validate_result

__all__ = ["Collected", "collect_results", "data_identity", "left_out_reason"]


@dataclass
class Collected:
    """Entries and cells of one protocol, in the order given, with what has to be said about them."""

    entries: list[Entry] = field(default_factory=list)
    cells: dict[tuple[str, Measure], Cell] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def tasks(self) -> set[str]:
        """Tasks with at least one number."""
        return {measure.task for _, measure in self.cells}


def left_out_reason(result: Mapping[str, Any]) -> str | None:
    """Why a result may not stand in a table, None if it may: random weights have learnt no language."""
    model = result["foundation_model"]
    if model is None or not model["random_weights"]:
        return None
    return f"the foundation model {clean_name(model['name'])} has random weights"


def data_identity(result: Mapping[str, Any], evaluation: Mapping[str, Any]) -> str:
    """A name for the test items of an evaluation: equal names mean the same items of the same task.

    A run on a sample of the test part (`--limit`) is comparable only with runs of the same seed.
    """
    task = result["tasks"][evaluation["task"]]
    sampled = evaluation["n"] != task["counts"].get("test")
    identity = [evaluation["task"], task["spec_hash"], task["split_hash"], task["simulated"], evaluation["n"]]
    return content_hash([*identity, result["seed"] if sampled else None])[:16]


def percent(fraction: float | None) -> float | None:
    """A fraction as percent, freed of the noise of binary fractions."""
    return None if fraction is None else round(100 * fraction, 6)


def _attributes(result: Mapping[str, Any]) -> dict[str, str]:
    model = result["foundation_model"]
    return {
        "profile": result["profile"],
        "model": clean_name(model["name"]) if model else "no model",
        "seed": f"seed {result['seed']}",
    }


def variants(results: Sequence[Mapping[str, Any]]) -> list[str]:
    """What tells runs of one method and aggregation apart: profile, model, seed, or else the run's id."""
    shown = []
    for result in results:
        alike = [other for other in results if _family(other) == _family(result)]
        mine, others = _attributes(result), [_attributes(other) for other in alike]
        telling = [name for name in mine if any(other[name] != mine[name] for other in others)]
        variant = ", ".join(mine[name] for name in telling)
        same = [other for other in others if all(other[name] == mine[name] for name in telling)]
        if len(same) > 1:
            variant = ", ".join(filter(None, [variant, f"run {result['run_id'][:8]}"]))
        shown.append(variant)
    return shown


def _family(result: Mapping[str, Any]) -> tuple[str, str]:
    return result["method"]["name"], result["backbone"]


def _origin(result: Mapping[str, Any]) -> str:
    parts = [f"run {result['run_id']}", f"profile {result['profile']}", f"seed {result['seed']}"]
    model = result["foundation_model"]
    if model is not None:
        parts.append(clean_name(" ".join(filter(None, [model["name"], model["revision"]]))))
    return ", ".join(parts)


def evaluation_cells(
    result: Mapping[str, Any], evaluation: Mapping[str, Any]
) -> Iterator[tuple[Measure, Cell]]:
    """The cells of one evaluation: every score, and the number of items."""
    task = evaluation["task"]
    data, simulated = data_identity(result, evaluation), result["tasks"][task]["simulated"]
    for metric, score in evaluation["scores"].items():
        value, low, high = percent(score["value"]), percent(score["low"]), percent(score["high"])
        yield Measure(task, metric), Cell(value, low, high, score["signature"], data, simulated)
    yield Measure(task, "n"), Cell(float(evaluation["n"]), data=data, simulated=simulated)


def _reference_cells(
    result: Mapping[str, Any], evaluation: Mapping[str, Any], row: str
) -> dict[Measure, Cell]:
    task = evaluation["task"]
    scores = result["references"].get(task, {}).get(row, {})
    data, simulated = data_identity(result, evaluation), result["tasks"][task]["simulated"]
    cells = {
        Measure(task, metric): Cell(percent(score["value"]), None, None, score["signature"], data, simulated)
        for metric, score in scores.items()
    }
    if cells:
        cells[Measure(task, "n")] = Cell(float(evaluation["n"]), data=data, simulated=simulated)
    return cells


class _Constants:
    """Gathers constant rows: runs on the same items share one, other items get one of their own."""

    def __init__(self) -> None:
        self.rows: dict[str, list[tuple[str, dict[Measure, Cell]]]] = {}

    def add(self, name: str, run_id: str, cells: Mapping[Measure, Cell]) -> None:
        if not cells:
            return
        rows = self.rows.setdefault(name, [])
        for _, known in rows:
            if all(known.get(measure, cell) == cell for measure, cell in cells.items()):
                known.update(cells)
                return
        rows.append((run_id, dict(cells)))

    def entries(self) -> Iterator[tuple[Entry, dict[Measure, Cell]]]:
        for name, rows in self.rows.items():
            for index, (run_id, cells) in enumerate(rows):
                key = f"constant.{name}" + (f".{index + 1}" if index else "")
                variant = f"items of run {run_id[:8]}" if len(rows) > 1 else ""
                yield Entry(key, "constant", clean_name(name), variant=variant), cells


def _evaluations(result: Mapping[str, Any], protocol: str) -> list[Mapping[str, Any]]:
    return [evaluation for evaluation in result["evaluations"] if evaluation["protocol"] == protocol]


def _remarks(
    result: Mapping[str, Any], entry: Entry, protocol: str, shorts: Mapping[str, str]
) -> Iterator[str]:
    name = f"{entry.label}, {BACKBONES.get(entry.backbone or '', entry.backbone)}"
    unread = [
        f"{shorts[evaluation['task']]} {100 * evaluation['parse_rate']:.1f}%"
        for evaluation in _evaluations(result, protocol)
        if evaluation["task"] in shorts
        and evaluation["parse_rate"] is not None
        and evaluation["parse_rate"] < 1
    ]
    if unread:
        yield f"Answers that could be read, {name}: {', '.join(unread)}; the rest count as wrong."
    for task, reason in result["missing_tasks"].items():
        if task in shorts:
            yield f"{shorts[task]} was not run: {clean_name(reason)}."


def collect_results(
    results: Sequence[Mapping[str, Any]], protocol: str, shorts: Mapping[str, str], *, kind: Kind = "own"
) -> Collected:
    """Entries and cells of one protocol from result records.

    Args:
        results: as in `result.json`; each is validated.
        protocol: `multi_task`, `single_task` or `zero_shot`.
        shorts: abbreviation by task id; tasks not named here are left to other tables.
        kind: what kind of rows the records make.

    Raises:
        FaultsError: a record is not valid.
    """
    for result in results:
        validate_result(result, f"result of run {result.get('run_id', '?')}")
    collected, constants = Collected(), _Constants()
    for result, variant in zip(results, variants(results), strict=True):
        evaluations = [row for row in _evaluations(result, protocol) if row["task"] in shorts]
        if not evaluations:
            continue
        for evaluation in evaluations:
            for row in CONSTANT_ROWS:
                constants.add(row, result["run_id"], _reference_cells(result, evaluation, row))
        reason = left_out_reason(result)
        if reason is not None:
            name = method_label(result["method"]["name"])
            collected.notes.append(f"{name} (run {result['run_id']}) is left out: {reason}.")
            continue
        name, backbone = _family(result)
        key = f"{kind}.{clean_name(name)}.{backbone}.{result['run_id']}"
        entry = Entry(key, kind, method_label(name), backbone, variant, _origin(result))
        collected.entries.append(entry)
        for evaluation in evaluations:
            for measure, cell in evaluation_cells(result, evaluation):
                collected.cells[key, measure] = cell
        collected.notes += _remarks(result, entry, protocol, shorts)
    for entry, cells in constants.entries():
        collected.entries.append(entry)
        collected.cells |= {(entry.key, measure): cell for measure, cell in cells.items()}
    collected.notes = list(dict.fromkeys(collected.notes))
    _drop_own_constants(collected)
    return collected


def _drop_own_constants(collected: Collected) -> None:
    """A run of a constant method (`majority`) repeats the constant row: show the row once, as a constant."""
    constants = {entry.method for entry in collected.entries if entry.kind == "constant"}
    repeated = [entry for entry in collected.entries if entry.kind == "own" and entry.method in constants]
    for entry in repeated:
        collected.entries.remove(entry)
        for measure in [measure for key, measure in collected.cells if key == entry.key]:
            del collected.cells[entry.key, measure]


def merge(parts: Iterable[Collected]) -> Collected:
    """Several collections as one, in the order given; entries with the same key are one entry."""
    merged = Collected()
    for part in parts:
        known = {entry.key for entry in merged.entries}
        merged.entries += [entry for entry in part.entries if entry.key not in known]
        merged.cells |= part.cells
        merged.notes += [note for note in part.notes if note not in merged.notes]
    return merged


def relabel(entry: Entry, **changes: Any) -> Entry:
    """An entry with some fields changed."""
    return replace(entry, **changes)
