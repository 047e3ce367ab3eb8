"""The leaderboard's one JSON of record, and the tables that come from it and from nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from fedmeki_bench.errors import BenchError
from fedmeki_bench.files import read_json
from fedmeki_bench.reporting._names import PROTOCOLS
from fedmeki_bench.reporting._types import Cell, Entry, Measure, Table
from fedmeki_bench.reporting.collect import Collected, collect, left_out_reason, merge
from fedmeki_bench.reporting.gather import Source, released_rows
from fedmeki_bench.reporting.ranking import Ranking
from fedmeki_bench.reporting.tables import View, published_part, view_shorts, view_table
from fedmeki_bench.specs import TaskSpec

__all__ = ["BOARD_VIEWS", "RECORD_VERSION", "build_record", "read_record", "record_tables"]

RECORD_VERSION = 1

ABLATION = ("fedkim_pub", "fedkim_t", "fedkim_m", "fedkim")

BOARD_VIEWS: Sequence[View] = (
    View(
        "multi_task",
        "Fine-tuning, multi-task",
        "multi_task",
        "blocks",
        "training",
        published=("Table 3", "FedMeKI Table 3"),
    ),
    View(
        "single_task",
        "Fine-tuning, single-task",
        "single_task",
        "blocks",
        "training",
        published=("Table 7", "FedMeKI Table 2"),
    ),
    View(
        "zero_shot",
        "Zero-shot, yes/no tasks",
        "zero_shot",
        "blocks",
        "zero_shot",
        kind="yes_no",
        published=("Table 5", "FedMeKI zero-shot table"),
        released=True,
    ),
    View(
        "zero_shot_text",
        "Zero-shot, text tasks",
        "zero_shot",
        "blocks",
        "zero_shot",
        kind="text",
        published=("FedMeKI zero-shot table",),
        released=True,
    ),
    View(
        "ablation_multi_task",
        "Ablation, multi-task",
        "multi_task",
        "blocks",
        "training",
        published=("Table 4",),
        methods=ABLATION,
    ),
    View(
        "ablation_zero_shot",
        "Ablation, zero-shot",
        "zero_shot",
        "blocks",
        "zero_shot",
        kind="yes_no",
        published=("Table 5",),
        methods=ABLATION,
    ),
    View(
        "released_training",
        "Released logs",
        "released",
        "blocks",
        "training",
        released=True,
        methods=(),
    ),
)
"""The leaderboard's views; FedKIM Tables 3, 7, 5 and 4 and FedMeKI Tables 2 and 3 are among their rows."""


def _view_part(view: View, sources: Sequence[Source], shorts: Mapping[str, str], released: Path | None) -> Collected:
    wanted = [source.candidate for source in sources if view.methods is None or source.candidate.name in view.methods]
    parts = [collect(wanted, view.protocol, shorts)]
    if view.released and released is not None:
        parts.append(released_rows(released, view.name, shorts))
    parts.append(published_part(view, shorts))
    return merge(parts)


def _ranked(part: Collected, protocol: str, ranking: Ranking) -> Collected:
    cells = {
        (key, measure): replace(cell, rank=ranking.ranks.get((key, protocol, measure), ""))
        for (key, measure), cell in part.cells.items()
    }
    notes = [*part.notes, *ranking.notes] if cells else part.notes
    return Collected(part.entries, cells, notes)


def _table_record(table: Table) -> dict[str, Any]:
    scores = [
        {"entry": key, "task": measure.task, "metric": measure.metric, **asdict(cell)}
        for (key, measure), cell in table.cells.items()
    ]
    rank_of = {entry.key: rank for rank, entry in enumerate(table.entries)}
    tasks = list(table.tasks)
    scores.sort(key=lambda row: (tasks.index(row["task"]), rank_of[row["entry"]], row["metric"]))
    return {
        "name": table.name,
        "title": table.title,
        "caption": table.caption,
        "layout": table.layout,
        "protocol": table.protocol,
        "tasks": dict(table.tasks),
        "metrics": list(table.metrics),
        "entries": [asdict(entry) for entry in table.entries],
        "notes": list(table.notes),
        "scores": scores,
    }


def _seed_record(result: Mapping[str, Any]) -> dict[str, Any]:
    names = ("protocol", "task", "selected_round", "n", "parse_rate", "predictions_sha256", "diagnostics")
    return {
        "seed": result["seed"],
        "run_id": result["run_id"],
        "evaluations": [
            {name: evaluation[name] for name in names if name in evaluation} for evaluation in result["evaluations"]
        ],
        "trainings": result["trainings"],
        "cost": result["cost"],
        "provenance": result["provenance"],
    }


def _detail(source: Source) -> dict[str, Any]:
    """What an entry's own page shows beyond the tables."""
    first = source.candidate.first
    return {
        "method": source.candidate.name,
        "kind": source.candidate.kind,
        "about": dict(source.about),
        "profile": first["profile"],
        "backbone": first["backbone"],
        "foundation_model": first["foundation_model"],
        "encoders": first["encoders"],
        "tasks": first["tasks"],
        "missing_tasks": first["missing_tasks"],
        "seeds": [_seed_record(result) for result in source.candidate.results],
    }


def build_record(
    sources: Sequence[Source],
    ranking: Ranking,
    specs: Mapping[str, TaskSpec],
    *,
    released: Path | None = None,
    left_out: Iterable[str] = (),
) -> dict[str, Any]:
    """Everything the leaderboard shows, as plain values; equal inputs give equal records (no date, no host).

    Args:
        sources: as gathered, in any order.
        ranking: of these sources.
        specs: tasks by id.
        released: the released logs' scores; need not exist.
        left_out: sentences on what was given but cannot be shown.
    """
    kinds = {"own": 0, "submission": 1}
    ordered = sorted(sources, key=lambda source: (kinds[source.candidate.kind], source.candidate.key))
    shown = [source for source in ordered if left_out_reason(source.candidate.first) is None]
    random = [
        f"{source.candidate.key}: {left_out_reason(source.candidate.first)}"
        for source in ordered
        if source not in shown
    ]
    views = []
    for view in BOARD_VIEWS:
        shorts = view_shorts(view, specs)
        part = _ranked(_view_part(view, shown, shorts, released), view.protocol, ranking)
        tasks = {task: short for task, short in shorts.items() if task in part.tasks()}
        views.append(_table_record(view_table(view, part, tasks)))
    return {
        "schema_version": RECORD_VERSION,
        "tasks": {
            spec.id: {"short": spec.short, "name": spec.name, "role": spec.role, "kind": spec.kind}
            for spec in specs.values()
        },
        "protocols": PROTOCOLS,
        "views": views,
        "comparisons": [
            {**asdict(one), "measure": asdict(one.measure), "seeds": list(one.seeds)} for one in ranking.comparisons
        ],
        "details": {source.candidate.key: _detail(source) for source in shown},
        "left_out": [*left_out, *random],
    }


def record_tables(record: Mapping[str, Any]) -> list[Table]:
    """The tables of a record, in order; all formats are rendered from these."""
    tables = []
    for view in record["views"]:
        cells = {
            (row["entry"], Measure(row["task"], row["metric"])): Cell(
                **{name: row[name] for name in Cell.__dataclass_fields__}
            )
            for row in view["scores"]
        }
        entries = [Entry(**entry) for entry in view["entries"]]
        fields = {name: view[name] for name in ("name", "title", "caption", "layout", "protocol", "tasks")}
        tables.append(Table(**fields, metrics=view["metrics"], entries=entries, cells=cells, notes=view["notes"]))
    return tables


def read_record(path: Path) -> dict[str, Any]:
    """A `leaderboard.json` written before.

    Raises:
        BenchError: not there, not JSON, or of a newer version.
    """
    record = read_json(path)
    version = record.get("schema_version") if isinstance(record, dict) else None
    if version != RECORD_VERSION:
        fix = "build it again with this version: fedmeki-bench leaderboard build"
        raise BenchError(
            "not a leaderboard record of this version",
            where=path,
            expected=RECORD_VERSION,
            found=version,
            fix=fix,
        )
    return dict(record)
