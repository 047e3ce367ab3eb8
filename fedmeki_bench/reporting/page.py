"""The leaderboard as one self-contained HTML file: works from disk, asks nobody, runs no script but its own.

Every name goes through Jinja's escaping; answers travel as JSON and are shown as text only. A content
security policy with the hash of the page's one script makes the browser refuse anything else.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from fedmeki_bench.reporting._names import BACKBONES, KIND_LABELS, PROTOCOLS, clean_name, metric_label
from fedmeki_bench.reporting._types import Entry, Table
from fedmeki_bench.reporting.cost import cost_table
from fedmeki_bench.reporting.detail import EntryDetail, entry_details
from fedmeki_bench.reporting.figures import figure_svg
from fedmeki_bench.reporting.grid import Grid, lay_out
from fedmeki_bench.reporting.record import record_tables

if TYPE_CHECKING:
    from jinja2 import Environment
    from matplotlib.figure import Figure

    from fedmeki_bench.reporting.gather import Source

__all__ = ["MOST_ANSWERS", "render_page"]

MOST_ANSWERS = 200
"""Answers of one evaluation that the page carries, the first in the order of their ids."""

MAIN_METRICS = (
    *("accuracy", "f1", "balanced_accuracy", "bleu", "rouge1", "meteor"),
    *("mean_balanced_accuracy", "trained_millions", "traffic_megabytes", "minutes", "memory_gigabytes"),
)
"""Shown until the reader asks for all."""


@dataclass(frozen=True)
class PageColumn:
    """A column of numbers with what the script needs to filter and sort it."""

    task: str
    task_name: str
    metric: str
    label: str
    arrow: str
    main: bool


@dataclass(frozen=True)
class PageView:
    """One table of the page: the grid all formats share, with the identities of its rows and columns."""

    table: Table
    grid: Grid
    columns: Sequence[PageColumn]
    entries: Sequence[Entry]


def _views(record: Mapping[str, Any]) -> list[PageView]:
    tables = [table for table in record_tables(record) if table.cells]
    costs = cost_table(record)
    return [_view(table, record) for table in ([*tables, costs] if costs else tables)]


def _view(table: Table, record: Mapping[str, Any]) -> PageView:
    grid = lay_out(table, layout="rows", intervals=True)
    names = {task: facts["name"] for task, facts in record["tasks"].items()}
    places = [(task, metric) for task in table.tasks for metric in table.measured(task)]
    columns = [
        PageColumn(
            task,
            names.get(task, table.tasks[task]),
            metric,
            column.label,
            column.arrow,
            metric in MAIN_METRICS,
        )
        for (task, metric), column in zip(places, grid.columns, strict=True)
    ]
    return PageView(table, grid, columns, list(table.entries))


def _answers(record: Mapping[str, Any], sources: Sequence[Source]) -> dict[str, Any]:
    """Entry to evaluation to rows [id, answer, score], of the first seed; ids and answers, never inputs."""
    found: dict[str, Any] = {}
    for source in sources:
        key, first = source.candidate.key, source.candidate.first
        if key not in record["details"]:
            continue
        for evaluation in first["evaluations"]:
            protocol, task = evaluation["protocol"], evaluation["task"]
            rows = sorted(source.predictions(first["seed"], protocol, task), key=lambda row: row.id)
            shown = [
                [row.id, row.answer, None if row.score is None else round(row.score, 4)] for row in rows[:MOST_ANSWERS]
            ]
            name = f"{record['tasks'].get(task, {}).get('name', task)}, {PROTOCOLS[protocol]}"
            found.setdefault(key, []).append({"name": name, "total": len(rows), "rows": shown})
    return found


def _json_for_html(value: Any) -> str:
    """JSON that cannot end the script element it stands in."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for char in "<>&\u2028\u2029":
        text = text.replace(char, f"\\u{ord(char):04x}")
    return text


@cache
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("fedmeki_bench.reporting", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["clean"] = clean_name
    environment.filters["metric"] = metric_label
    return environment


def _asset(name: str) -> str:
    return files("fedmeki_bench.reporting").joinpath("templates", name).read_text(encoding="utf-8")


def render_page(
    record: Mapping[str, Any], drawn: Mapping[str, tuple[str, Figure]], sources: Sequence[Source] = ()
) -> str:
    """The HTML page of a record.

    Args:
        record: as from `build_record` or `read_record`.
        drawn: the figures, as from `draw_figures`.
        sources: whose answers can be browsed; without them the page has everything else.
    """
    from markupsafe import Markup

    script, style = _asset("page.js"), _asset("page.css")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    details: Sequence[EntryDetail] = entry_details(record)
    figures = [(name, caption, Markup(figure_svg(figure, caption, name))) for name, (caption, figure) in drawn.items()]
    views = _views(record)
    tasks = {task: facts for task, facts in record["tasks"].items() if any(task in v.table.tasks for v in views)}
    return _environment().get_template("page.html").render(
        record=record,
        views=views,
        figures=figures,
        details=details,
        tasks=tasks,
        kinds={kind: label for kind, label in KIND_LABELS.items()},
        backbones=BACKBONES,
        script=Markup(script),
        style=Markup(style),
        script_hash=digest,
        answers=Markup(_json_for_html(_answers(record, sources))),
        most_answers=MOST_ANSWERS,
    )  # fmt: skip
