"""From result records to entries and cells: one entry a method, constants from its references."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

from fedmeki_bench.files import content_hash
from fedmeki_bench.metrics.reference import CONSTANT_ROWS
from fedmeki_bench.reporting._names import BACKBONES, clean_name, method_label
from fedmeki_bench.reporting._types import Cell, Entry, Kind, Measure
from fedmeki_bench.specs._result import validate_result

__all__ = ["Candidate", "Collected", "collect", "data_identity", "entries_of", "left_out_reason", "merge"]


@dataclass(frozen=True)
class Candidate:
    """One method with one configuration, in as many seeds as there are.

    Attributes:
        kind: where it comes from.
        name: the method's name as typed or as submitted.
        results: one validated `result.json` a seed, at least one; they agree on all but the seed.
        remark: what has to be said about its origin beyond the runs, for example its authors.
    """

    kind: Kind
    name: str
    results: Sequence[Mapping[str, Any]]
    remark: str = ""

    @property
    def first(self) -> Mapping[str, Any]:
        """The record of the first seed."""
        return self.results[0]

    @property
    def key(self) -> str:
        """Stable between builds and safe in a link."""
        parts = [self.kind, self.name, self.first["backbone"], self.first["run_id"]]
        return re.sub(r"[^A-Za-z0-9._-]+", "-", ".".join(parts))

    @property
    def family(self) -> tuple[str, str, str]:
        """What two candidates share if a table could not tell them apart without a variant."""
        return self.kind, self.name, self.first["backbone"]


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

    A run on a sample (`--limit`) answers the first items of the test part, whose order is the split's, whatever the
    run's seed: split and number of items name the sample.
    """
    task = result["tasks"][evaluation["task"]]
    identity = [evaluation["task"], task["spec_hash"], task["split_hash"], task["simulated"], evaluation["n"]]
    return content_hash(identity)[:16]


def percent(fraction: float | None) -> float | None:
    """A fraction as percent, freed of the noise of binary fractions."""
    return None if fraction is None else round(100 * fraction, 6)


def _attributes(candidate: Candidate) -> dict[str, str]:
    model, seeds = candidate.first["foundation_model"], [result["seed"] for result in candidate.results]
    return {
        "profile": candidate.first["profile"],
        "model": clean_name(model["name"]) if model else "no model",
        "seeds": f"seed {seeds[0]}" if len(seeds) == 1 else f"{len(seeds)} seeds",
    }


def _variant(candidate: Candidate, alike: Sequence[Candidate]) -> str:
    """What tells a candidate from those of the same name: profile, model, seeds, or else its run's id."""
    mine, others = _attributes(candidate), [_attributes(other) for other in alike]
    telling = [name for name in mine if any(other[name] != mine[name] for other in others)]
    same = [other for other in others if all(other[name] == mine[name] for name in telling)]
    run = f"run {candidate.first['run_id'][:8]}" if len(same) > 1 else ""
    return ", ".join(filter(None, [*(mine[name] for name in telling), run]))


def _origin(candidate: Candidate) -> str:
    first, many = candidate.first, len(candidate.results) > 1
    seeds = ", ".join(str(result["seed"]) for result in candidate.results)
    parts = [candidate.remark, f"run {first['run_id']}", f"profile {first['profile']}"]
    parts.append(f"mean of seeds {seeds}, intervals from the lowest to the highest seed" if many else f"seed {seeds}")
    model = first["foundation_model"]
    if model is not None:
        parts.append(clean_name(" ".join(filter(None, [model["name"], model["revision"]]))))
    return ", ".join(filter(None, parts))


def entries_of(candidates: Sequence[Candidate]) -> list[Entry]:
    """One entry a candidate, in their order; names that repeat get a variant."""
    entries = []
    for candidate in candidates:
        alike = [other for other in candidates if other.family == candidate.family]
        name, backbone = method_label(candidate.name), candidate.first["backbone"]
        variant = _variant(candidate, alike)
        entries.append(Entry(candidate.key, candidate.kind, name, backbone, variant, _origin(candidate)))
    return entries


def _evaluations(result: Mapping[str, Any], protocol: str, tasks: Iterable[str]) -> list[Mapping[str, Any]]:
    wanted = set(tasks)
    return [row for row in result["evaluations"] if row["protocol"] == protocol and row["task"] in wanted]


def _evaluation_cells(result: Mapping[str, Any], evaluation: Mapping[str, Any]) -> Iterator[tuple[Measure, Cell]]:
    task = evaluation["task"]
    data, simulated = data_identity(result, evaluation), result["tasks"][task]["simulated"]
    for metric, score in evaluation["scores"].items():
        value, low, high = percent(score["value"]), percent(score["low"]), percent(score["high"])
        yield Measure(task, metric), Cell(value, low, high, score["signature"], data, simulated)
    yield Measure(task, "n"), Cell(float(evaluation["n"]), data=data, simulated=simulated)


def _mean_cell(cells: Sequence[Cell]) -> Cell:
    """The mean over seeds, from the lowest to the highest; undefined if it is for any seed."""
    first = cells[0]
    if len(cells) == 1:
        return first
    values = [cell.value for cell in cells if cell.value is not None]
    complete = len(values) == len(cells)
    same_data = len({cell.data for cell in cells}) == 1
    signatures = sorted({cell.signature for cell in cells if cell.signature is not None})
    return Cell(
        value=round(fmean(values), 6) if complete else None,
        low=min(values) if complete else None,
        high=max(values) if complete else None,
        signature=" or ".join(signatures) or None,
        data=first.data if same_data else content_hash([cell.data for cell in cells])[:16],
        simulated=any(cell.simulated for cell in cells),
    )


def _candidate_cells(candidate: Candidate, protocol: str, tasks: Iterable[str]) -> dict[Measure, Cell]:
    """Mean cells of what every seed has."""
    by_seed = [
        {
            measure: cell
            for evaluation in _evaluations(result, protocol, tasks)
            for measure, cell in _evaluation_cells(result, evaluation)
        }
        for result in candidate.results
    ]
    shared = [measure for measure in by_seed[0] if all(measure in cells for cells in by_seed)]
    return {measure: _mean_cell([cells[measure] for cells in by_seed]) for measure in shared}


def _reference_cells(result: Mapping[str, Any], evaluation: Mapping[str, Any], row: str) -> dict[Measure, Cell]:
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
        """Take the cells into the first row they do not contradict, else into a new one."""
        if not cells:
            return
        rows = self.rows.setdefault(name, [])
        for _, known in rows:
            if all(known.get(measure, cell) == cell for measure, cell in cells.items()):
                known.update(cells)
                return
        rows.append((run_id, dict(cells)))

    def entries(self) -> Iterator[tuple[Entry, dict[Measure, Cell]]]:
        """One entry a row; where there are several of a name, each says whose items it answers."""
        for name, rows in self.rows.items():
            for run_id, cells in rows:
                several = len(rows) > 1
                key = f"constant.{name}" + (f".{run_id}" if several else "")
                variant = f"items of run {run_id[:8]}" if several else ""
                yield Entry(key, "constant", clean_name(name), variant=variant), cells


def _remarks(candidate: Candidate, entry: Entry, protocol: str, shorts: Mapping[str, str]) -> Iterator[str]:
    name = f"{entry.label}, {BACKBONES.get(entry.backbone or '', entry.backbone)}"
    rates: dict[str, list[float]] = {}
    for result in candidate.results:
        for evaluation in _evaluations(result, protocol, shorts):
            if evaluation["parse_rate"] is not None:
                rates.setdefault(evaluation["task"], []).append(evaluation["parse_rate"])
    unread = [f"{shorts[task]} {100 * fmean(found):.1f}%" for task, found in rates.items() if fmean(found) < 1]
    if unread:
        yield f"Answers that could be read, {name}: {', '.join(unread)}; the rest count as wrong."
    for task, reason in candidate.first["missing_tasks"].items():
        if task in shorts:
            yield f"{shorts[task]} was not run: {clean_name(reason)}."


def collect(candidates: Sequence[Candidate], protocol: str, shorts: Mapping[str, str]) -> Collected:
    """Entries and cells of one protocol.

    Args:
        candidates: every result record in them is validated.
        protocol: `multi_task`, `single_task` or `zero_shot`.
        shorts: abbreviation by task id; tasks not named here are left to other tables.

    Raises:
        FaultsError: a record is not valid.
    """
    for candidate in candidates:
        for result in candidate.results:
            validate_result(result, f"result of run {result.get('run_id', '?')}")
    collected, constants = Collected(), _Constants()
    shown = [candidate for candidate in candidates if left_out_reason(candidate.first) is None]
    entries = dict(zip((candidate.key for candidate in shown), entries_of(shown), strict=True))
    for candidate in candidates:
        for result in candidate.results:
            for evaluation in _evaluations(result, protocol, shorts):
                for row in CONSTANT_ROWS:
                    constants.add(row, result["run_id"], _reference_cells(result, evaluation, row))
        cells = _candidate_cells(candidate, protocol, shorts)
        reason = left_out_reason(candidate.first)
        if reason is not None and cells:
            name = method_label(candidate.name)
            collected.notes.append(f"{name} (run {candidate.first['run_id']}) is left out: {reason}.")
        elif cells and not _is_constant(candidate):
            entry = entries[candidate.key]
            collected.entries.append(entry)
            collected.cells |= {(entry.key, measure): cell for measure, cell in cells.items()}
            collected.notes += _remarks(candidate, entry, protocol, shorts)
    for entry, cells in constants.entries():
        collected.entries.append(entry)
        collected.cells |= {(entry.key, measure): cell for measure, cell in cells.items()}
    collected.notes = list(dict.fromkeys(collected.notes))
    return collected


def _is_constant(candidate: Candidate) -> bool:
    """Whether it is a run of a constant method: it repeats a constant row, which is shown once."""
    return candidate.kind == "own" and candidate.name in CONSTANT_ROWS


def merge(parts: Iterable[Collected]) -> Collected:
    """Several collections as one, in the order given; entries with the same key are one entry."""
    merged = Collected()
    for part in parts:
        known = {entry.key for entry in merged.entries}
        merged.entries += [entry for entry in part.entries if entry.key not in known]
        merged.cells |= part.cells
        merged.notes += [note for note in part.notes if note not in merged.notes]
    return merged
