"""Figures of a leaderboard through matplotlib: PNG and PDF for papers, SVG inside the HTML page.

Files carry no date, so equal records give equal figures.
"""

from __future__ import annotations

import html
import io
import math
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedmeki_bench.files import write_bytes
from fedmeki_bench.reporting._figure_style import COLOURS, INK, LINES, MARKERS, figure_style, new_figure
from fedmeki_bench.reporting._names import BACKBONES, METRICS, metric_label
from fedmeki_bench.reporting._types import Entry, Table
from fedmeki_bench.reporting.cost import cost_points, pareto_front
from fedmeki_bench.reporting.published import figure2_axes
from fedmeki_bench.reporting.record import record_tables
from fedmeki_bench.reporting.router_figure import draw_router

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["FIGURES", "draw_figures", "figure_svg", "write_figures"]

MOST_LINES = 8
"""Entries drawn in one radar or curve figure; more could not be told apart."""


def _short(text: str, limit: int = 34) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _name(entry: Entry, simulated: Collection[str] = ()) -> str:
    kind = {"published": "published", "constant": "constant", "released": "re-scored"}.get(entry.kind, "")
    made_up = "simulated" if entry.key in simulated else ""
    aggregation = BACKBONES.get(entry.backbone or "", entry.backbone or "")
    return _short(", ".join(filter(None, [entry.label, aggregation, kind, made_up])))


def _simulated(record: Mapping[str, Any]) -> set[str]:
    """Keys of the entries all of whose numbers are on simulated data."""
    rows = [row for view in record["views"] for row in view["scores"]]
    return {row["entry"] for row in rows} - {row["entry"] for row in rows if not row["simulated"]}


def _table(tables: Sequence[Table], name: str) -> Table:
    return next(table for table in tables if table.name == name)


def _radar(record: Mapping[str, Any]) -> Figure | None:
    """FedKIM Figure 2: an axis a zero-shot task, from 0 to its highest value; a panel a backbone."""
    tables, names = record_tables(record), _labels(record)
    zero, text = _table(tables, "zero_shot"), _table(tables, "zero_shot_text")
    shorts = {**zero.tasks, **text.tasks}
    own = [
        entry
        for entry in dict.fromkeys([*zero.entries, *text.entries])
        if entry.kind in ("own", "submission") or entry.key == "constant.majority"
    ]
    # A backbone that was not run has only its published outline, and a panel only if no other was run either.
    ran = [name for name in BACKBONES if any(entry.backbone == name for entry in own)] or list(BACKBONES)
    figure, panels = new_figure(1, len(ran), 5.2 * len(ran), 5.6, subplot_kw={"projection": "polar"})
    for panel, backbone in zip(panels, ran, strict=True):
        axes = [axis for axis in figure2_axes() if axis.backbone == backbone and axis.task in shorts]
        shown = [entry for entry in own if entry.backbone in (backbone, None)][:MOST_LINES]
        values = {entry.key: [_value(zero, text, entry, axis.task, axis.metric) for axis in axes] for entry in shown}
        tops = [
            max([axis.maximum, *(row[index] for row in values.values() if not math.isnan(row[index]))])
            for index, axis in enumerate(axes)
        ]
        angles = [2 * math.pi * index / len(axes) for index in range(len(axes))]
        _spider(
            panel,
            angles,
            [axis.maximum / top for axis, top in zip(axes, tops, strict=True)],
            7,
            "highest in FedKIM Figure 2",
        )
        for index, entry in enumerate(shown):
            _spider(
                panel,
                angles,
                [v / top for v, top in zip(values[entry.key], tops, strict=True)],
                index,
                names[entry.key],
            )
        labels = [
            f"{shorts[axis.task]}\n{METRICS[axis.metric]}\n0 to {top:.1f}" for axis, top in zip(axes, tops, strict=True)
        ]
        panel.set_xticks(angles, labels, fontsize=7.5)
        panel.tick_params(axis="x", pad=9)
        panel.set_yticks([0.25, 0.5, 0.75, 1.0], [])
        panel.set_ylim(0, 1.02)
        panel.set_title(BACKBONES[backbone], y=1.14)
        panel.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), fontsize=7.5)
    return figure


def _value(zero: Table, text: Table, entry: Entry, task: str, metric: str) -> float:
    cell = zero.cell(entry, task, metric) or text.cell(entry, task, metric)
    return math.nan if cell is None or cell.value is None else cell.value


def _spider(panel: Axes, angles: Sequence[float], values: Sequence[float], index: int, label: str) -> None:
    """A closed line over the axes; an axis without a value leaves a gap."""
    published = label.startswith("highest in")
    style: dict[str, Any] = {"linestyle": ":" if published else LINES[index % len(LINES)], "linewidth": 1.6}
    colour = INK if published else COLOURS[index % len(COLOURS)]
    ends = ([*angles, angles[0]], [*values, values[0]])
    panel.plot(*ends, color=colour, label=label, marker=MARKERS[index % len(MARKERS)], markersize=4, **style)
    if not published and not any(math.isnan(value) for value in values):
        panel.fill(*ends, color=colour, alpha=0.08)


def _bars(view: str, metric: str) -> Callable[[Mapping[str, Any]], Figure | None]:
    """Bars with intervals of one metric: a panel a task, a bar an entry, the best constant as a line."""

    def draw(record: Mapping[str, Any]) -> Figure | None:
        table, simulated = _table(record_tables(record), view), _simulated(record)
        kinds = ("own", "submission", "published", "constant")
        entries = [entry for entry in table.entries if entry.kind in kinds and _drawn(entry, view)]
        tasks = [task for task in table.tasks if any(table.cell(entry, task, metric) for entry in entries)]
        if not tasks:
            return None
        entries = [entry for entry in entries if any(table.cell(entry, task, metric) for task in tasks)]
        columns = min(5, len(tasks))
        rows = math.ceil(len(tasks) / columns)
        height = rows * (0.24 * len(entries) + 0.9)
        figure, panels = new_figure(rows, columns, 2.1 + 1.8 * columns, height, sharey=True)
        for panel in panels[len(tasks) :]:
            panel.set_visible(False)
        for panel, task in zip(panels, tasks, strict=False):
            _bar_panel(panel, table, entries, task, metric)
        panels[0].set_yticks(range(len(entries)), [_name(entry, simulated) for entry in entries], fontsize=7.5)
        panels[0].invert_yaxis()
        return figure

    return draw


def _drawn(entry: Entry, view: str) -> bool:
    """Not the published numbers that FedKIM's own tables repeat, nor constants of the released logs."""
    repeated = entry.variant == "FedMeKI" and view != "zero_shot"
    return not repeated and not entry.key.endswith(".released")


_KIND_COLOUR = {"own": COLOURS[0], "submission": COLOURS[1], "published": "#B8B8B8", "constant": "#7F7F7F"}


def _bar_panel(panel: Axes, table: Table, entries: Sequence[Entry], task: str, metric: str) -> None:
    for place, entry in enumerate(entries):
        cell = table.cell(entry, task, metric)
        if cell is None or cell.value is None:
            continue
        hatch = "////" if entry.kind == "published" else None
        panel.barh(place, cell.value, height=0.66, color=_KIND_COLOUR[entry.kind], hatch=hatch, edgecolor="white")
        if cell.low is not None and cell.high is not None:
            ends = [[cell.value - cell.low], [cell.high - cell.value]]
            panel.errorbar(cell.value, place, xerr=ends, color=INK, capsize=2.5, linewidth=1)
    constants = [table.cell(entry, task, metric) for entry in entries if entry.kind == "constant"]
    known = [cell.value for cell in constants if cell is not None and cell.value is not None]
    if known:
        panel.axvline(max(known), color=INK, linestyle="--", linewidth=1)
    panel.set_title(table.tasks[task])
    panel.set_xlabel(f"{metric_label(metric)} (%)")
    panel.set_xlim(0, 100)
    panel.grid(axis="x")
    panel.set_axisbelow(True)


def _labels(record: Mapping[str, Any]) -> dict[str, str]:
    simulated = _simulated(record)
    entries = [Entry(**entry) for view in record["views"] for entry in view["entries"]]
    return {entry.key: _name(entry, simulated) for entry in entries}


def _curves(record: Mapping[str, Any]) -> Figure | None:
    """Training curves by round of the multi-task training: losses, and the mean development score."""
    from matplotlib.ticker import MaxNLocator

    names, lines = _labels(record), []
    for key, detail in record["details"].items():
        training = next((one for one in detail["seeds"][0]["trainings"] if one["name"] == "multi_task"), None)
        if training is not None and training["rounds"]:
            lines.append((names.get(key, key), training))
    if not lines:
        return None
    figure, panels = new_figure(1, 3, 9.5, 3.0)
    for index, (name, training) in enumerate(lines[:MOST_LINES]):
        rounds = training["rounds"]
        development = [[v for v in row["development"].values() if v is not None] for row in rounds]
        series = [
            [_number(row["client_loss"]) for row in rounds],
            [_number(row["injection_loss"]) for row in rounds],
            [100 * sum(values) / len(values) if values else math.nan for values in development],
        ]
        for panel, values in zip(panels, series, strict=True):
            numbers = [row["round"] for row in rounds]
            colour = COLOURS[index % len(COLOURS)]
            style: dict[str, Any] = {
                "marker": MARKERS[index % len(MARKERS)],
                "markersize": 4,
                "linestyle": LINES[index % len(LINES)],
            }
            panel.plot(numbers, values, color=colour, label=name, **style)
            if training["selected_round"] in numbers:
                at = numbers.index(training["selected_round"])
                panel.plot(numbers[at], values[at], marker="o", markersize=10, color=colour, fillstyle="none")
    titles = ("Client loss", "Injection loss", "Development score, mean of tasks (%)")
    for panel, title in zip(panels, titles, strict=True):
        panel.set_title(title)
        panel.set_xlabel("round (ring: selected)")
        panel.xaxis.set_major_locator(MaxNLocator(integer=True))
        panel.grid()
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, fontsize=7.5)
    return figure


def _number(value: float | None) -> float:
    return math.nan if value is None else value


def _traffic(record: Mapping[str, Any]) -> Figure | None:
    """Bytes sent to and from the server in a whole run, both directions."""
    names = _labels(record)
    rows = [
        (names.get(key, key), detail["seeds"][0]["cost"])
        for key, detail in record["details"].items()
        if detail["seeds"][0]["cost"]["stages"]
    ]
    if not rows:
        return None
    figure, panels = new_figure(1, 1, 6.5, 0.9 + 0.34 * len(rows))
    panel = panels[0]
    up = [cost["bytes_up"] / 1e6 for _, cost in rows]
    down = [cost["bytes_down"] / 1e6 for _, cost in rows]
    places = range(len(rows))
    panel.barh(places, up, height=0.6, color=COLOURS[0], label="clients to server")
    panel.barh(
        places,
        down,
        height=0.6,
        left=up,
        color=COLOURS[4],
        hatch="////",
        edgecolor="white",
        label="server to clients",
    )
    panel.set_yticks(places, [name for name, _ in rows])
    panel.invert_yaxis()
    panel.set_xlabel("traffic of a whole run, all clients (MB)")
    panel.grid(axis="x")
    panel.set_axisbelow(True)
    figure.legend(loc="outside upper right", ncols=2, fontsize=7.5)
    return figure


def _pareto(record: Mapping[str, Any]) -> Figure | None:
    """Quality against time and against traffic; the line joins what nothing on the same items beats."""
    points = [point for point in cost_points(record) if point.quality is not None]
    if not points:
        return None
    names = _labels(record)
    figure, panels = new_figure(1, 2, 9.5, 3.6, sharey=True)
    axes = (("minutes", "time of the run (min)"), ("traffic_megabytes", "traffic of the run (MB)"))
    for panel, (cost, label) in zip(panels, axes, strict=True):
        for index, point in enumerate(points):
            if cost in point.costs:
                style: dict[str, Any] = {
                    "color": COLOURS[index % len(COLOURS)],
                    "marker": MARKERS[index % len(MARKERS)],
                }
                panel.scatter(point.costs[cost], _number(point.quality), s=42, label=names[point.entry.key], **style)
        front = pareto_front(points, cost)
        for data in {point.data for point in front}:
            line = [point for point in front if point.data == data]
            panel.step(
                [point.costs[cost] for point in line], [_number(point.quality) for point in line],
                where="post", color=INK, linewidth=0.8, linestyle="--",
            )  # fmt: skip
        panel.set_xlabel(label)
        panel.grid()
        panel.set_axisbelow(True)
    panels[0].set_ylabel("mean balanced accuracy, multi-task (%)")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, fontsize=7.5)
    return figure


FIGURES: Mapping[str, tuple[str, Callable[[Mapping[str, Any]], Figure | None]]] = {
    "radar": ("Zero-shot, as FedKIM Figure 2: each axis runs from 0 to the highest value on it", _radar),
    "bars_multi_task": (
        "Fine-tuning, multi-task: accuracy with 95% intervals; dashed: best constant",
        _bars("multi_task", "accuracy"),
    ),
    "bars_single_task": (
        "Fine-tuning, single-task: accuracy with 95% intervals; dashed: best constant",
        _bars("single_task", "accuracy"),
    ),
    "bars_zero_shot": (
        "Zero-shot: accuracy with 95% intervals; dashed: best constant",
        _bars("zero_shot", "accuracy"),
    ),
    "curves": ("Training by round, multi-task", _curves),
    "traffic": ("Traffic", _traffic),
    "pareto": ("Cost against quality", _pareto),
    "router": ("Router: each expert's weight against an even mixture, first routed entry", draw_router),
}
"""File name to caption and drawing function; a function returns None where the record has nothing to draw."""


def draw_figures(record: Mapping[str, Any]) -> dict[str, tuple[str, Figure]]:
    """The figures that the record has numbers for: name to caption and figure."""
    drawn = {}
    with figure_style():
        for name, (caption, draw) in FIGURES.items():
            figure = draw(record)
            if figure is not None:
                drawn[name] = (caption, figure)
    return drawn


def write_figures(drawn: Mapping[str, tuple[str, Figure]], folder: Path) -> list[Path]:
    """Write every figure as PNG and PDF; a file of one that has nothing to show any more is removed.

    Args:
        drawn: as from `draw_figures`.
        folder: made if it is not there.

    Returns:
        The files written.
    """
    files = []
    for name in FIGURES:
        for ending, metadata in (("png", {"Software": None}), ("pdf", {"CreationDate": None})):
            path = folder / f"{name}.{ending}"
            if name not in drawn:
                path.unlink(missing_ok=True)
                continue
            buffer = io.BytesIO()
            with figure_style():
                drawn[name][1].savefig(buffer, format=ending, dpi=160, bbox_inches="tight", metadata=metadata)
            write_bytes(path, buffer.getvalue())
            files.append(path)
    return files


def figure_svg(figure: Figure, title: str, name: str) -> str:
    """A figure as SVG to be put into HTML: transparent, text as text, in the page's own text colour.

    Args:
        figure: as from `draw_figures`.
        title: what a screen reader says.
        name: put before every id, so that several figures fit one page.
    """
    buffer = io.StringIO()
    with figure_style():
        figure.savefig(
            buffer, format="svg", transparent=True, bbox_inches="tight", metadata={"Date": None, "Creator": None}
        )
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :].replace(INK, "currentColor")
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    # Inside tags only: an entry's name may hold the same characters as text.
    svg = re.sub(r'(<[^<>]*?\sid=")', rf"\g<1>{name}-", svg)
    svg = re.sub(r'(href="#|url\(#)', rf"\g<1>{name}-", svg)
    return svg.replace("<svg ", f'<svg role="img" aria-label="{html.escape(title)}" ', 1)
