"""Tables for a terminal: plain text of at most 110 columns, wide ones in several parts."""

from __future__ import annotations

import textwrap
from dataclasses import replace

from tabulate import SEPARATING_LINE, tabulate

from fedmeki_bench.reporting._types import Layout, Table
from fedmeki_bench.reporting.grid import ABSENT, Column, Grid, GridCell, GridRow, lay_out

__all__ = ["WIDTH", "render_terminal"]

WIDTH = 110
"""Columns a table may take; wider ones are printed in parts with the stub repeated."""

LONGEST_NAME = 24
"""Names longer than this are wrapped: a submitted name cannot push the numbers off the screen."""

_SHORT = {
    "Published": "publ.",
    "Constant": "constant",
    "Own run": "own run",
    "Released log re-scored": "re-scored",
    " data": "",
}


def _heading(column: Column) -> str:
    """Method above, then kind, `simulated` and aggregation, one a line: narrow, so that more columns fit."""
    group = column.group
    for long, short in _SHORT.items():
        group = group.replace(long, short)
    return "\n".join(filter(None, [*textwrap.wrap(column.label, LONGEST_NAME // 2), column.arrow, *group.split(", ")]))


def _number(cell: GridCell) -> str:
    text = f"{cell.text} [{cell.interval}]" if cell.interval else cell.text
    text = {"best": f"*{text}*", "tied": f"~{text}~"}.get(cell.rank, text)
    return text + cell.marks


def _narrow(grid: Grid) -> Grid:
    """The aggregation joined to the method's name, as in `FedKIM, FedAvg`: one column less."""
    if "Aggregation" not in grid.stub:
        return grid
    at = grid.stub.index("Aggregation")

    def joined(stub: tuple[str, ...]) -> tuple[str, ...]:
        return (*stub[: at - 1], ", ".join(filter(None, stub[at - 1 : at + 1])), *stub[at + 1 :])

    rows = tuple(replace(row, stub=joined(row.stub)) for row in grid.rows)
    return replace(grid, stub=(*grid.stub[:at], *grid.stub[at + 1 :]), rows=rows)


def _stub(row: GridRow) -> list[str]:
    stub = ["\n".join(textwrap.wrap(text.replace("simulated data", "sim."), LONGEST_NAME)) for text in row.stub]
    return [*stub[:-1], f"{stub[-1]} {row.arrow}".rstrip()]


def _part(grid: Grid, first: int, last: int) -> str:
    """Columns `first` to `last`, without the rows that hold nothing there."""
    # The heading is given as a first row: as `headers` tabulate would pad every column by two more.
    body: list[list[str] | str] = [
        [*grid.stub, *(_heading(column) for column in grid.columns[first:last])],
        SEPARATING_LINE,
    ]
    for row in grid.rows:
        cells = row.cells[first:last]
        if all(cell.text == ABSENT for cell in cells):
            continue
        if row.rule:
            body.append(SEPARATING_LINE)
        body.append([*_stub(row), *map(_number, cells)])
    align = ["left"] * len(grid.stub) + ["right"] * (last - first)
    return tabulate(body, tablefmt="simple", colalign=align, disable_numparse=True)


def _width(text: str) -> int:
    return max(map(len, text.splitlines()))


def _parts(grid: Grid, width: int) -> list[str]:
    """As few parts as fit, each with as many columns as fit; a part has at least one column."""
    parts, first = [], 0
    while first < len(grid.columns):
        last = first + 1
        text = _part(grid, first, last)
        while last < len(grid.columns):
            wider = _part(grid, first, last + 1)
            if _width(wider) > width:
                break
            text, last = wider, last + 1
        parts.append(text)
        first = last
    return parts


def render_terminal(table: Table, *, layout: Layout | None = None, intervals: bool = False, width: int = WIDTH) -> str:
    """The table as plain text: title, caption, numbers (in parts where it is too wide), notes.

    `*12.34*` is set bold and `~12.34~` in italics in the other formats; the notes say what that means.
    """
    grid = _narrow(lay_out(table, layout=layout, intervals=intervals))
    heading = [table.title, *textwrap.wrap(table.caption, width), ""]
    if not grid.rows:
        return "\n".join([*heading, "No numbers.", *_wrapped(grid.notes, width)])
    numbers = "\n\n".join(_parts(grid, width))
    return "\n".join([*heading, numbers, "", *_wrapped(grid.notes, width)])


def _wrapped(notes: tuple[str, ...], width: int) -> list[str]:
    return [line for note in notes for line in textwrap.wrap(note, width, subsequent_indent="  ")]
