"""The papers' tables with this project's rows beside the published ones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedmeki_bench.files import write_text
from fedmeki_bench.reporting._names import KIND_LABELS, PROTOCOLS, SHOWN_METRICS, sort_metrics
from fedmeki_bench.reporting._types import Layout, Table
from fedmeki_bench.reporting.collect import Candidate, Collected, collect, merge
from fedmeki_bench.reporting.latex import render_latex
from fedmeki_bench.reporting.markdown import render_markdown
from fedmeki_bench.reporting.published import published_table
from fedmeki_bench.specs import TaskSpec, load_tasks

__all__ = ["VIEWS", "View", "run_tables", "view_table", "write_run_tables"]


@dataclass(frozen=True)
class View:
    """A table to be filled: which paper's table it follows and which tasks and protocol it shows.

    Attributes:
        name: file name and LaTeX label.
        title: heading; says which of the papers' tables its layout is from.
        protocol: of all its numbers.
        layout: as in the paper.
        kind: only tasks of this kind (their metrics share columns); None for all.
        role: only tasks of this role.
        published: the papers' tables whose numbers stand beside the new ones.
        methods: only these methods (names as typed), for an ablation; None for all.
        released: whether the released logs stand in it too.
    """

    name: str
    title: str
    protocol: str
    layout: Layout
    role: str
    kind: str | None = None
    published: Sequence[str] = ()
    methods: Sequence[str] | None = None
    released: bool = False


VIEWS: Sequence[View] = (
    View(
        "table3_multi_task",
        "Fine-tuning, multi-task (as FedKIM Table 3)",
        "multi_task",
        "columns",
        "training",
        "yes_no",
        ["Table 3"],
    ),
    View(
        "table7_single_task",
        "Fine-tuning, single-task (as FedKIM Table 7)",
        "single_task",
        "columns",
        "training",
        "yes_no",
        ["Table 7"],
    ),
    View(
        "table5_zero_shot",
        "Zero-shot, yes/no tasks (as FedKIM Table 5)",
        "zero_shot",
        "blocks",
        "zero_shot",
        "yes_no",
        ["Table 5", "FedMeKI zero-shot table"],
    ),
    View(
        "zero_shot_text",
        "Zero-shot, text tasks (as FedKIM Table 5)",
        "zero_shot",
        "blocks",
        "zero_shot",
        "text",
        ["FedMeKI zero-shot table"],
    ),
)
"""The tables every run writes, for the protocols it was run under."""


def view_shorts(view: View, specs: Mapping[str, TaskSpec]) -> dict[str, str]:
    """The abbreviations of the tasks a view is about, by id, in the papers' order."""
    wanted = [spec for spec in specs.values() if spec.role == view.role and view.kind in (None, spec.kind)]
    return {spec.id: spec.short for spec in wanted}


def published_part(view: View, tasks: Iterable[str]) -> Collected:
    """The published entries of a view that have a number for one of the tasks."""
    wanted, part = set(tasks), Collected()
    for name in view.published:
        table = published_table(name)
        cells = {place: cell for place, cell in table.cells.items() if place[1].task in wanted}
        shown = {key for key, _ in cells}
        part.entries += [entry for entry in table.entries if entry.key in shown]
        part.cells |= cells
    return part


def view_table(view: View, collected: Collected, tasks: Mapping[str, str]) -> Table:
    """A view filled with what was collected, entries in the order of their kinds."""
    order = list(KIND_LABELS)
    real = {key for (key, _), cell in collected.cells.items() if not cell.simulated}
    entries = sorted(collected.entries, key=lambda entry: (order.index(entry.kind), entry.key not in real))
    cells = {place: cell for place, cell in collected.cells.items() if place[1].task in tasks}
    held = sort_metrics(measure.metric for _, measure in cells)
    metrics = [metric for metric in held if metric in SHOWN_METRICS]
    unit = "percent (MCC times 100)" if "mcc" in metrics else "percent"
    caption = (
        f"{PROTOCOLS[view.protocol].capitalize()} results on test data, in {unit}; arrows point to better. "
        "Every entry is marked with its kind; numbers on different test items are not comparable."
    )
    return Table(
        view.name,
        view.title,
        caption,
        view.layout,
        view.protocol,
        tasks,
        metrics,
        entries,
        cells,
        tuple(collected.notes),
    )


def run_tables(results: Sequence[Mapping[str, Any]]) -> list[Table]:
    """Tables of one or several runs in the layouts of FedKIM's Tables 3, 7 and 5, beside the published rows.

    A table is made for each protocol that was evaluated. Constant rows come from the results' references. A
    result whose foundation model has random weights is left out, and a note says so. Zero-shot tables show
    the tasks that were run; the fine-tuning tables show the papers' four whatever was run.

    Args:
        results: as in `result.json`.

    Raises:
        FaultsError: a result is not valid.
    """
    candidates = [Candidate("own", result["method"]["name"], [result]) for result in results]
    specs, tables = load_tasks(), []
    for view in VIEWS:
        shorts = view_shorts(view, specs)
        collected = collect(candidates, view.protocol, shorts)
        if not collected.entries and not collected.notes:
            continue
        ran = collected.tasks()
        tasks = {task: short for task, short in shorts.items() if view.role == "training" or task in ran}
        if tasks:
            tables.append(view_table(view, merge([collected, published_part(view, tasks)]), tasks))
    return tables


def write_run_tables(result: Mapping[str, Any], folder: Path) -> list[Path]:
    """Write one run's tables as Markdown (`tables.md`, all of them) and LaTeX (one file a table).

    Args:
        result: as in `result.json`.
        folder: usually `tables/` in the run's folder; made if it is not there.

    Returns:
        The files written, the Markdown file first.
    """
    tables = run_tables([result])
    pages = [folder / "tables.md"]
    write_text(pages[0], "\n".join(render_markdown(table, level=2) for table in tables) or "No evaluation was run.\n")
    for table in tables:
        path = folder / f"{table.name}.tex"
        write_text(path, render_latex(table))
        pages.append(path)
    return pages
