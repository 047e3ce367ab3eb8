"""A table laid out: stub, headers, formatted numbers. Every format renders this: the numbers are the same."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from fedmeki_bench.reporting._names import BACKBONES, KIND_LABELS, arrow, metric_label
from fedmeki_bench.reporting._types import Cell, Entry, Layout, Measure, Table

__all__ = ["ABSENT", "UNDEFINED", "Column", "Grid", "GridCell", "GridRow", "kind_label", "lay_out"]

ABSENT = "–"
"""Shown where an entry has no number for a measure."""

UNDEFINED = "n/a"
"""Shown where a metric has no value for these items (AUROC with one class)."""

SIMULATED_MARK, SIGNATURE_MARK = "†", "‡"


@dataclass(frozen=True)
class GridCell:
    """One formatted number.

    Attributes:
        text: the number with two decimals (items without), or `ABSENT` or `UNDEFINED`.
        interval: `low, high` with one decimal, empty unless asked for and known.
        marks: footnote marks after the number.
        rank: `best` (set bold), `tied` (set in italics) or empty.
        value: the number itself, for sorting.
    """

    text: str
    interval: str = ""
    marks: str = ""
    rank: str = ""
    value: float | None = None


@dataclass(frozen=True)
class Column:
    """A column of numbers: the heading shared with its neighbours (or none), its own, which way is better."""

    group: str
    label: str
    arrow: str = ""


@dataclass(frozen=True)
class GridRow:
    """A row: its stub (same length as `Grid.stub`), its numbers, and whether a rule stands above it."""

    stub: tuple[str, ...]
    cells: tuple[GridCell, ...]
    rule: bool = False
    arrow: str = ""


@dataclass(frozen=True)
class Grid:
    """A table laid out; `notes` are plain sentences, marks first."""

    stub: tuple[str, ...]
    columns: tuple[Column, ...]
    rows: tuple[GridRow, ...]
    notes: tuple[str, ...] = field(default_factory=tuple)


def kind_label(entry: Entry, simulated: bool) -> str:
    """The words for an entry's kind, with `simulated` where all its numbers are."""
    label = KIND_LABELS[entry.kind]
    return f"{label}, simulated data" if simulated else label


def _all_simulated(table: Table, entry: Entry) -> bool:
    cells = [cell for (key, _), cell in table.cells.items() if key == entry.key]
    return bool(cells) and all(cell.simulated for cell in cells)


def odd_signatures(table: Table) -> dict[tuple[str, Measure], str]:
    """Numbers whose metric is defined otherwise than in most entries, with what differs in their signature.

    Published numbers are not among them: their definition is unknown, and their kind says so.
    """
    by_measure: dict[Measure, Counter[str]] = {}
    for (_, measure), cell in table.cells.items():
        if cell.signature is not None:
            by_measure.setdefault(measure, Counter())[cell.signature] += 1
    usual = {measure: counts.most_common(1)[0][0] for measure, counts in by_measure.items()}
    return {
        place: _difference(cell.signature, usual[place[1]])
        for place, cell in table.cells.items()
        if cell.signature is not None and cell.signature != usual[place[1]]
    }


def _difference(signature: str, usual: str) -> str:
    """The parts of a signature that the usual one lacks; the whole if it only lacks parts itself."""
    known = set(usual.split("|"))
    return " ".join(part for part in signature.split("|") if part not in known) or signature


def format_value(value: float | None, metric: str) -> str:
    """A number as printed: two decimals, items without any, `n/a` where undefined."""
    if value is None:
        return UNDEFINED
    return f"{value:.0f}" if metric == "n" else f"{value:.2f}"


class _Formatter:
    """Formats a table's cells and remembers which notes their marks need."""

    def __init__(self, table: Table, intervals: bool) -> None:
        self.table, self.intervals = table, intervals
        self.odd = odd_signatures(table)
        self.simulated = {entry.key: _all_simulated(table, entry) for entry in table.entries}

    def cell(self, entry: Entry, task: str, metric: str) -> GridCell:
        cell = self.table.cell(entry, task, metric)
        if cell is None:
            return GridCell(ABSENT)
        return GridCell(
            format_value(cell.value, metric),
            self._interval(cell),
            self._marks(entry, Measure(task, metric), cell),
            cell.rank,
            cell.value,
        )

    def _interval(self, cell: Cell) -> str:
        if not self.intervals or cell.low is None or cell.high is None:
            return ""
        return f"{cell.low:.1f}, {cell.high:.1f}"

    def _marks(self, entry: Entry, measure: Measure, cell: Cell) -> str:
        simulated = cell.simulated and not self.simulated[entry.key] and measure.metric != "n"
        odd = (entry.key, measure) in self.odd
        return (SIMULATED_MARK if simulated else "") + (SIGNATURE_MARK if odd else "")

    def notes(self) -> list[str]:
        notes = []
        cells = {place: cell for place, cell in self.table.cells.items() if place[1].metric != "n"}
        if any(cell.simulated and not self.simulated[key] for (key, _), cell in cells.items()):
            notes.append(f"{SIMULATED_MARK} on simulated data.")
        if any(cell.simulated for cell in cells.values()):
            notes.append("Simulated data are made up: numbers on them say nothing about medicine.")
        if self.odd:
            found = ", ".join(sorted(set(self.odd.values())))
            notes.append(f"{SIGNATURE_MARK} defined otherwise than for most entries: {found}.")
        ranks = {cell.rank for cell in cells.values()}
        if "best" in ranks:
            notes.append("Bold: highest, and separable from the next by a paired test on the same items.")
        if "tied" in ranks:
            notes.append("Italic: not separable from the highest by a paired test on the same items: a tie.")
        if self.intervals and any(cell.low is not None for cell in cells.values()):
            notes.append("In brackets: 95% interval.")
        return notes


def _entry_notes(table: Table) -> list[str]:
    notes = []
    for kind, label in KIND_LABELS.items():
        origins: dict[str, list[str]] = {}
        for entry in table.entries:
            if entry.kind == kind and entry.note:
                origins.setdefault(entry.note, []).append(entry.label)
        for note, labels in origins.items():
            if kind == "published":
                notes.append(f"Published: {note}, as printed; how the metrics were computed is not known.")
            else:
                notes.append(f"{label.capitalize()}: {', '.join(dict.fromkeys(labels))}: {note}.")
    if any(entry.kind == "constant" for entry in table.entries):
        notes.append("Constant: the same answer to every item, computed from the labels of the same test items.")
    return notes


def _backbone(entry: Entry) -> str:
    return BACKBONES.get(entry.backbone, entry.backbone) if entry.backbone else ""


def _by_columns(table: Table, formatter: _Formatter) -> Grid:
    """FedKIM Tables 3 and 7: a row for each task and metric, a column for each entry."""
    columns = []
    for entry in table.entries:
        kind = kind_label(entry, formatter.simulated[entry.key])
        group = ", ".join(filter(None, [kind[0].upper() + kind[1:], _backbone(entry)]))
        columns.append(Column(group, entry.label))
    rows: list[GridRow] = []
    for task, short in table.tasks.items():
        for index, metric in enumerate(table.measured(task)):
            cells = tuple(formatter.cell(entry, task, metric) for entry in table.entries)
            stub = (short if index == 0 else "", metric_label(metric))
            rows.append(GridRow(stub, cells, rule=index == 0 and bool(rows), arrow=arrow(metric)))
    return Grid(("Task", "Metric"), tuple(columns), tuple(rows))


def _by_blocks(table: Table, formatter: _Formatter) -> Grid:
    """FedKIM Tables 4 and 5: a row for each entry under its task, a column for each metric."""
    measured = {metric for task in table.tasks for metric in table.measured(task)}
    metrics = [metric for metric in table.metrics if metric in measured]
    rows: list[GridRow] = []
    for task, short in table.tasks.items():
        shown = [entry for entry in table.entries if any(table.cell(entry, task, metric) for metric in metrics)]
        for index, entry in enumerate(shown):
            kind = kind_label(entry, formatter.simulated[entry.key])
            stub = (short if index == 0 else "", entry.label, _backbone(entry), kind)
            cells = tuple(formatter.cell(entry, task, metric) for metric in metrics)
            rows.append(GridRow(stub, cells, rule=index == 0 and bool(rows)))
    columns = tuple(Column("", metric_label(metric), arrow(metric)) for metric in metrics)
    return Grid(("Task", "Method", "Aggregation", "Kind"), columns, tuple(rows))


def _by_rows(table: Table, formatter: _Formatter) -> Grid:
    """One row for each entry, a column for each task and metric."""
    places = [(task, metric) for task in table.tasks for metric in table.measured(task)]
    rows: list[GridRow] = []
    previous = None
    for entry in table.entries:
        stub = (entry.label, _backbone(entry), kind_label(entry, formatter.simulated[entry.key]))
        cells = tuple(formatter.cell(entry, task, metric) for task, metric in places)
        rows.append(GridRow(stub, cells, rule=previous not in (None, entry.kind)))
        previous = entry.kind
    columns = tuple(Column(table.tasks[task], metric_label(metric), arrow(metric)) for task, metric in places)
    return Grid(("Method", "Aggregation", "Kind"), columns, tuple(rows))


def lay_out(table: Table, *, layout: Layout | None = None, intervals: bool = False) -> Grid:
    """A table as rows and columns of text, in its own layout or the one asked for.

    Args:
        table: what to lay out.
        layout: `columns`, `blocks` or `rows`; None for the table's own.
        intervals: put each number's interval beside it where it is known.
    """
    formatter = _Formatter(table, intervals)
    by = {"columns": _by_columns, "blocks": _by_blocks, "rows": _by_rows}[layout or table.layout]
    grid = by(table, formatter)
    notes: Sequence[str] = [*formatter.notes(), *_entry_notes(table), *table.notes]
    return Grid(grid.stub, grid.columns, grid.rows, tuple(dict.fromkeys(notes)))
