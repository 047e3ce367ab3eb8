"""What a table is before it has a format: measures, entries, and a cell where an entry has a number."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from fedmeki_bench.reporting._names import sort_metrics

__all__ = ["Cell", "Entry", "Kind", "Layout", "Measure", "Table", "select"]

Kind = Literal["own", "submission", "released", "constant", "published"]
"""Where an entry's numbers come from; shown with every entry, in this order."""

Layout = Literal["columns", "blocks", "rows"]
"""`columns`: one column an entry, one row a task and metric (FedKIM Tables 3 and 7); `blocks`: one row an
entry under its task, one column a metric (Tables 4 and 5); `rows`: one row an entry, one column a task and
metric."""


@dataclass(frozen=True, order=True)
class Measure:
    """What is measured: a metric on a task. The metric `n` is the number of test items."""

    task: str
    metric: str


@dataclass(frozen=True)
class Cell:
    """One number of a table.

    Attributes:
        value: percent (items for the metric `n`); None where the metric is undefined for these items.
        low: lower end of the interval in percent, None without one.
        high: upper end, likewise.
        signature: identifies the metric's exact definition; None if unknown, as for published numbers.
        data: identifies the test items: two cells are compared only where it agrees and is not None.
        simulated: the test items are simulated.
        rank: `best` if separable from the next by the paired test, `tied` if among those that are not
            separable from the best, empty otherwise (also where nothing was tested).
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    signature: str | None = None
    data: str | None = None
    simulated: bool = False
    rank: Literal["", "best", "tied"] = ""


@dataclass(frozen=True)
class Entry:
    """One method as it was run, submitted, released or published: a row or a column of a table.

    Attributes:
        key: unique within a table and stable between builds: deep links use it.
        kind: where the numbers come from.
        method: display name, not escaped for any format.
        backbone: aggregation of the clients, `fedavg` or `fedprox`; None for constants.
        variant: what tells it from entries of the same name (seed, profile, model); may be empty.
        note: one sentence on origin, printed under the table.
    """

    key: str
    kind: Kind
    method: str
    backbone: str | None = None
    variant: str = ""
    note: str = ""

    @property
    def label(self) -> str:
        """Method and, in brackets, the variant."""
        return f"{self.method} ({self.variant})" if self.variant else self.method


@dataclass(frozen=True)
class Table:
    """Numbers with their meaning and without a format; every renderer prints exactly these.

    Attributes:
        name: file name without its ending, and the LaTeX label.
        title: short heading.
        caption: what is shown, in which unit.
        layout: how it is laid out unless a renderer is asked for another.
        protocol: the protocol of all its numbers.
        tasks: task id to abbreviation, in the order shown.
        metrics: those shown, in order; the cells may hold more.
        entries: in the order shown.
        cells: (entry key, measure) to cell; absent where there is no number.
        notes: sentences under the table, after those of the entries.
    """

    name: str
    title: str
    caption: str
    layout: Layout
    protocol: str
    tasks: Mapping[str, str]
    metrics: Sequence[str]
    entries: Sequence[Entry]
    cells: Mapping[tuple[str, Measure], Cell]
    notes: Sequence[str] = field(default_factory=tuple)

    def cell(self, entry: Entry, task: str, metric: str) -> Cell | None:
        """The cell of an entry for a task's metric, None where there is no number."""
        return self.cells.get((entry.key, Measure(task, metric)))

    def measured(self, task: str) -> list[str]:
        """The metrics that at least one entry has for the task."""
        found = {measure.metric for _, measure in self.cells if measure.task == task}
        return [metric for metric in self.metrics if metric in found]


def select(
    table: Table,
    *,
    tasks: Sequence[str] | None = None,
    metrics: Sequence[str] | None = None,
    keep: Callable[[Entry], bool] | None = None,
) -> Table:
    """The part of a table with the named tasks (ids), metrics and entries; without naming, what it shows.

    Metrics that the table holds but does not show by itself can be named too. Entries left without any number
    are dropped.
    """
    chosen_tasks = {task: short for task, short in table.tasks.items() if tasks is None or task in tasks}
    held = sort_metrics(measure.metric for _, measure in table.cells)
    chosen_metrics = list(table.metrics) if metrics is None else [name for name in held if name in metrics]
    wanted = {entry.key for entry in table.entries if keep is None or keep(entry)}
    cells = {
        (key, measure): cell
        for (key, measure), cell in table.cells.items()
        if key in wanted and measure.task in chosen_tasks and measure.metric in chosen_metrics
    }
    filled = {key for key, measure in cells if measure.metric != "n"}
    entries = [entry for entry in table.entries if entry.key in filled]
    return replace(table, tasks=chosen_tasks, metrics=chosen_metrics, entries=entries, cells=cells)
