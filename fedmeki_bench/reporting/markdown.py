"""Tables in GitHub's Markdown."""

from __future__ import annotations

import re

from fedmeki_bench.reporting._types import Layout, Table
from fedmeki_bench.reporting.grid import Grid, GridCell, lay_out

__all__ = ["escape_markdown", "render_markdown"]

_SPECIAL = re.compile(r"([\\`*_\[\]|~$@#]|(?<=www)\.|:(?=//))")
"""What could become markup, a link, a mention or a table border; the rest stays: the source is read too."""


def escape_markdown(text: str) -> str:
    """One line of text that Markdown shows as it is: no markup, link, mention, border or HTML."""
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return " ".join(_SPECIAL.sub(r"\\\1", escaped).split())


def _after(arrow: str) -> str:
    return f" {arrow}" if arrow else ""


def _number(cell: GridCell) -> str:
    text = {"best": f"**{cell.text}**", "tied": f"*{cell.text}*"}.get(cell.rank, cell.text)
    interval = f" \\[{cell.interval}\\]" if cell.interval else ""
    return f"{text}{cell.marks}{interval}"


def _lines(grid: Grid) -> list[str]:
    headings = [
        "<br>".join(
            filter(
                None,
                [
                    escape_markdown(column.group),
                    escape_markdown(column.label) + _after(column.arrow),
                ],
            )
        )
        for column in grid.columns
    ]
    lines = [
        "| " + " | ".join([*grid.stub, *headings]) + " |",
        "|" + "|".join([":--"] * len(grid.stub) + ["--:"] * len(headings)) + "|",
    ]
    previous: tuple[str, ...] = ()
    for row in grid.rows:
        stub = list(row.stub)
        if not stub[0] and previous:
            stub[0] = previous[0]
        previous = tuple(stub)
        names = [escape_markdown(text) for text in stub]
        names[-1] += _after(row.arrow)
        lines.append("| " + " | ".join([*names, *(_number(cell) for cell in row.cells)]) + " |")
    return lines


def render_markdown(table: Table, *, layout: Layout | None = None, intervals: bool = False, level: int = 3) -> str:
    """The table in GitHub's Markdown: heading, caption, table, notes.

    Args:
        table: what to print.
        layout: another layout than the table's own.
        intervals: print each number's interval beside it.
        level: the heading's level.
    """
    grid = lay_out(table, layout=layout, intervals=intervals)
    body = _lines(grid) if grid.rows else ["No numbers."]
    notes = [f"- {escape_markdown(note)}" for note in grid.notes]
    return "\n".join(
        [
            f"{'#' * level} {escape_markdown(table.title)}",
            "",
            escape_markdown(table.caption),
            "",
            *body,
            "",
            *notes,
            "",
        ]
    )
