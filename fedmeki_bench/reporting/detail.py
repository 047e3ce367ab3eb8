"""What an entry's own page shows: provenance, cost, and by task answers, calibration, routing, constants."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fedmeki_bench.reporting._names import LOWER_IS_BETTER, PROTOCOLS, clean_name, metric_label
from fedmeki_bench.reporting._types import Entry, Table
from fedmeki_bench.reporting.grid import format_value, kind_label
from fedmeki_bench.reporting.record import record_tables

__all__ = ["Against", "Bin", "EntryDetail", "TaskDetail", "entry_details"]

AGAINST = ("accuracy", "f1", "balanced_accuracy", "mcc", "bleu", "rouge1", "meteor", "exact_match")
"""Metrics whose distance to the best constant is shown."""

PLOT = 120
"""Side of the reliability plot in its own units."""


@dataclass(frozen=True)
class Against:
    """A score beside the best constant on the same items; texts as in every other format."""

    metric: str
    value: str
    interval: str
    constant: str
    constant_name: str
    difference: str
    better: bool


@dataclass(frozen=True)
class Bin:
    """One bin of the reliability curve: place and radius in the plot's units, and the numbers."""

    x: float
    y: float
    radius: float
    n: int
    mean_score: str
    positive_share: str


@dataclass(frozen=True)
class TaskDetail:
    """One evaluation of an entry, of its first seed."""

    task: str
    name: str
    protocol: str
    n: int
    selected_round: int | None
    parse_rate: str
    simulated: bool
    answers: Sequence[tuple[str, int, float]]
    other: int
    reliability: Sequence[Bin]
    against: Sequence[Against]


@dataclass(frozen=True)
class EntryDetail:
    """All that is known of one entry beyond the tables.

    Attributes:
        entry: the entry.
        kind: its kind in words.
        facts: label and text, in the order shown.
        evaluations: by protocol and task.
        router: protocol, task abbreviation and expert weights, where the method routes.
    """

    entry: Entry
    kind: str
    facts: Sequence[tuple[str, str]]
    evaluations: Sequence[TaskDetail]
    router: Sequence[tuple[str, Sequence[float]]]


def _facts(detail: Mapping[str, Any]) -> list[tuple[str, str]]:
    about, model, seeds = detail["about"], detail["foundation_model"], detail["seeds"]
    provenance = seeds[0]["provenance"]
    facts: list[tuple[str, Any]] = [
        ("Authors", ", ".join(about.get("authors", ()))),
        ("Paper", about.get("paper")),
        ("Code", about.get("code")),
        ("Predictions only", "made by code that was not seen" if about.get("predictions_only") else ""),
        ("Profile", detail["profile"]),
        ("Foundation model", f"{model['name']} {model['revision'] or ''}" if model else "none"),
        ("Encoders", _encoders(detail["encoders"])),
        ("Seeds", ", ".join(str(seed["seed"]) for seed in seeds)),
        ("Runs", ", ".join(seed["run_id"] for seed in seeds)),
        ("Options", ", ".join(f"{name}={value}" for name, value in about.get("config", {}).items())),
        (
            "Version",
            f"{provenance['version']}, commit {provenance['git_commit'] or 'unknown'}"
            + (" with changes" if provenance["git_dirty"] else ""),
        ),
        ("Machine", _machine(provenance)),
        ("Trained parameters", _parameters(seeds[0]["cost"])),
        ("Stages", _stages(seeds[0]["cost"])),
        ("Not run", "; ".join(f"{task}: {why}" for task, why in detail["missing_tasks"].items())),
    ]
    return [(name, clean_name(str(value))) for name, value in facts if value]


def _encoders(encoders: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}: {one['name']} ({one['weights'][:15]})" for name, one in encoders.items())


def _machine(provenance: Mapping[str, Any]) -> str:
    machine = f"{provenance['platform']}, {provenance['device']}, {provenance['dtype']}"
    return f"{machine}, products by oneDNN" if provenance.get("float32_products") == "onednn" else machine


def _parameters(cost: Mapping[str, Any]) -> str:
    return ", ".join(f"{part} {count:,}" for part, count in cost["trainable_parameters"].items())


def _stages(cost: Mapping[str, Any]) -> str:
    return ", ".join(f"{stage['stage']} {stage['wall_s']:.1f} s" for stage in cost["stages"])


def _against(tables: Iterable[Table], key: str, protocol: str, task: str) -> list[Against]:
    found = []
    for table in tables:
        if table.protocol != protocol or task not in table.tasks:
            continue
        entry = next((one for one in table.entries if one.key == key), None)
        if entry is None:
            continue
        constants = [one for one in table.entries if one.kind == "constant"]
        for metric in AGAINST:
            one = _one_against(table, entry, constants, task, metric)
            if one is not None:
                found.append(one)
        return found
    return found


def _one_against(table: Table, entry: Entry, constants: Sequence[Entry], task: str, metric: str) -> Against | None:
    cell = table.cell(entry, task, metric)
    if cell is None or cell.value is None:
        return None
    known = [(table.cell(one, task, metric), one.label) for one in constants]
    same = [(c.value, name) for c, name in known if c is not None and c.value is not None and c.data == cell.data]
    sign = -1 if metric in LOWER_IS_BETTER else 1
    best = max(same, key=lambda pair: sign * pair[0], default=None)
    interval = "" if cell.low is None or cell.high is None else f"{cell.low:.1f}, {cell.high:.1f}"
    value = format_value(cell.value, metric)
    if best is None:
        return Against(metric_label(metric), value, interval, "–", "", "–", True)
    difference = cell.value - best[0]
    return Against(
        metric_label(metric),
        value,
        interval,
        format_value(best[0], metric),
        best[1],
        f"{difference:+.2f}",
        sign * difference > 0,
    )


def _bins(rows: Sequence[Mapping[str, Any]]) -> list[Bin]:
    most = max((row["n"] for row in rows), default=1)
    return [
        Bin(
            x=round(PLOT * row["mean_score"], 2),
            y=round(PLOT * (1 - row["positive_share"]), 2),
            radius=round(1.8 + 4.2 * (row["n"] / most) ** 0.5, 2),
            n=row["n"],
            mean_score=f"{row['mean_score']:.2f}",
            positive_share=f"{row['positive_share']:.2f}",
        )
        for row in rows
    ]


def _task_detail(
    record: Mapping[str, Any], tables: Sequence[Table], key: str, evaluation: Mapping[str, Any]
) -> TaskDetail:
    task, protocol, n = evaluation["task"], evaluation["protocol"], evaluation["n"]
    facts = record["tasks"].get(task, {"short": task, "name": task})
    diagnostics = evaluation.get("diagnostics", {})
    rate = evaluation["parse_rate"]
    return TaskDetail(
        task=facts["short"],
        name=facts["name"],
        protocol=PROTOCOLS[protocol],
        n=n,
        selected_round=evaluation["selected_round"],
        parse_rate="unknown" if rate is None else f"{100 * rate:.1f}%",
        simulated=record["details"][key]["tasks"][task]["simulated"],
        answers=[
            (
                clean_name(row["answer"]) if row["answer"] else "(empty)",
                row["n"],
                round(100 * row["n"] / n, 1),
            )
            for row in diagnostics.get("answers", ())
        ],
        other=diagnostics.get("other", 0),
        reliability=_bins(diagnostics.get("reliability", ())),
        against=_against(tables, key, protocol, task),
    )


def _short(record: Mapping[str, Any], task: str) -> str:
    return str(record["tasks"].get(task, {"short": task})["short"])


def entry_details(record: Mapping[str, Any]) -> list[EntryDetail]:
    """The details of every entry that has any, in the record's order."""
    tables = record_tables(record)
    entries = {entry.key: entry for table in tables for entry in table.entries}
    found = []
    for key, detail in record["details"].items():
        if key not in entries:
            continue
        simulated = all(facts["simulated"] for facts in detail["tasks"].values())
        evaluations = detail["seeds"][0]["evaluations"]
        router = [
            (f"{_short(record, one['task'])}, {PROTOCOLS[one['protocol']]}", one["diagnostics"]["router"])
            for one in evaluations
            if one.get("diagnostics", {}).get("router")
        ]
        found.append(
            EntryDetail(
                entry=entries[key],
                kind=kind_label(entries[key], simulated),
                facts=_facts(detail),
                evaluations=[_task_detail(record, tables, key, one) for one in evaluations],
                router=router,
            )
        )
    return found
