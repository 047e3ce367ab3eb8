"""Tables in LaTeX, ready for `\\input`: booktabs, caption and label, units, arrows, notes."""

from __future__ import annotations

import re
import textwrap
from dataclasses import replace
from itertools import groupby

from fedmeki_bench.reporting._types import Layout, Table
from fedmeki_bench.reporting.grid import ABSENT, UNDEFINED, Column, Grid, GridCell, GridRow, lay_out

__all__ = ["escape_latex", "render_latex"]

_ESCAPES = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "_": r"\_",
    "%": r"\%",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "–": "--",
    "—": "---",
    "’": "'",
    "‘": "`",
    "“": "``",
    "”": "''",
    "…": r"\ldots{}",
    "†": r"\textdagger{}",
    "‡": r"\textdaggerdbl{}",
    "±": r"\textpm{}",
    "µ": r"\textmu{}",
    "×": r"\texttimes{}",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
}
# In the T1-less default encoding these need a package; a plain apostrophe and quote do not.
_ESCAPES['"'] = "''"

_NICE = {
    "FedPlug_L": r"FedPlug$_{\mathrm{L}}$",
    "FedKIM_pub": r"FedKIM$_{\mathrm{pub}}$",
    "FedKIM_T": r"FedKIM$_{\mathrm{T}}$",
    "FedKIM_M": r"FedKIM$_{\mathrm{M}}$",
    "Federated+": r"Federated$^{+}$",
    "Federated*": r"Federated$^{*}$",
}
"""The papers' own way of writing their methods."""

_NARROW = {"Accuracy": "Acc.", "Precision": "Prec.", "Bal. acc.": "BAcc", "METEOR": "METR."}
"""Where every task has a column for each metric there is no room for more."""

_SHORT_KINDS = {
    "released log re-scored": "re-scored",
    "submission": "subm.",
    "published": "publ.",
    "simulated data": "sim.",
}

LONGEST_NAME = 26
"""Characters of a name in one line."""

ONE_COLUMN, CROWDED = 50, 88
"""Characters, as `_characters` counts them, that fit one column of a two-column paper, and both in the larger type."""


def escape_latex(text: str) -> str:
    r"""Text that LaTeX prints as it is: `\ { } $ & # _ % ~ ^` survive, line breaks become spaces.

    Letters with accents of European languages are kept (LaTeX reads UTF-8); any other character that a plain
    `pdflatex` has no glyph for is printed as its code, `[U+4E2D]`, rather than stopping the user's build.
    """
    return "".join(_ESCAPES.get(char) or _glyph(char) for char in " ".join(text.split()))


def _glyph(char: str) -> str:
    if char.isascii() and char.isprintable():
        return char
    if char.isalpha() and "\u00c0" <= char <= "\u017e":
        return char
    return f"[U+{ord(char):04X}]"


def _name(label: str) -> str:
    """A name in the papers' spelling; a long one in two lines, so that the numbers keep their place."""
    method, bracket, variant = label.partition(" (")
    nice = _NICE.get(method, escape_latex(method))
    if len(label) <= LONGEST_NAME:
        return nice + escape_latex(bracket + variant)
    if bracket and len(method) <= LONGEST_NAME:
        lines = [nice, escape_latex("(" + variant)]
    else:
        lines = [escape_latex(line) for line in textwrap.wrap(label, LONGEST_NAME)]
    return r"\begin{tabular}[t]{@{}l@{}}" + r"\\".join(lines) + r"\end{tabular}"


def _number(cell: GridCell) -> str:
    if cell.text in (ABSENT, UNDEFINED):
        return escape_latex(cell.text)
    text = {"best": rf"\textbf{{{cell.text}}}", "tied": rf"\textit{{{cell.text}}}"}.get(cell.rank, cell.text)
    marks = rf"\rlap{{\textsuperscript{{{escape_latex(cell.marks)}}}}}" if cell.marks else ""
    interval = rf"\,{{\tiny[{cell.interval}]}}" if cell.interval else ""
    return text + marks + interval


def _with_arrow(label: str, arrow: str) -> str:
    return escape_latex(f"{label} {arrow}" if arrow else label)


def _group_lines(grid: Grid) -> list[str]:
    """The upper heading: groups of neighbouring columns with a rule under each."""
    if not any(column.group for column in grid.columns):
        return []
    cells, rules, at = [" & ".join([""] * len(grid.stub))], [], len(grid.stub) + 1
    for group, members in groupby(grid.columns, key=lambda column: column.group):
        width = len(list(members))
        cells.append(rf"\multicolumn{{{width}}}{{c}}{{{_group_name(group, width)}}}")
        rules.append(rf"\cmidrule(lr){{{at}-{at + width - 1}}}")
        at += width
    return [" & ".join(cells) + r" \\", "".join(rules)]


def _group_name(group: str, width: int) -> str:
    """A heading over one narrow column is set in two lines, so that it does not widen the column."""
    if width > 1:
        return escape_latex(group)
    lines = r"\\".join(escape_latex(line) for line in group.split(", "))
    return rf"\begin{{tabular}}[b]{{@{{}}c@{{}}}}{lines}\end{{tabular}}"


def _heading(column: Column) -> str:
    if column.arrow and column.group:
        return _with_arrow(_NARROW.get(column.label, column.label), column.arrow)
    return _with_arrow(column.label, column.arrow) if column.arrow else _name(column.label)


def _by_kind(grid: Grid) -> bool:
    """Whether kinds become headings over their rows: only where they do not start anew under each task."""
    tasks = {row.stub[0] for row in grid.rows if row.stub[0]} if grid.stub[0] == "Task" else {""}
    return "Kind" in grid.stub and len(tasks) == 1


def _without(grid: Grid, names: tuple[str, ...]) -> Grid:
    """The grid without some columns of its stub."""
    kept = [index for index, name in enumerate(grid.stub) if name not in names]
    rows = tuple(replace(row, stub=tuple(row.stub[index] for index in kept)) for row in grid.rows)
    return replace(grid, stub=tuple(grid.stub[index] for index in kept), rows=rows)


def _short_kind(kind: str) -> str:
    for long, short in _SHORT_KINDS.items():
        kind = kind.replace(long, short)
    return kind


def _row(row: GridRow) -> str:
    stub = [_name(text) for text in row.stub]
    if row.arrow:
        stub[-1] = _with_arrow(row.stub[-1], row.arrow)
    return " & ".join([*stub, *map(_number, row.cells)]) + r" \\"


def _body(grid: Grid) -> tuple[Grid, list[str]]:
    """The grid as it is printed and its rows: kinds as headings over their rows where that is possible."""
    if not _by_kind(grid):
        at = grid.stub.index("Kind") if "Kind" in grid.stub else None
        lines = []
        for row in grid.rows:
            stub = tuple(_short_kind(text) if index == at else text for index, text in enumerate(row.stub))
            lines += [r"\midrule"] * row.rule + [_row(replace(row, stub=stub))]
        return grid, lines
    kinds = [row.stub[grid.stub.index("Kind")] for row in grid.rows]
    narrow = _without(grid, ("Task", "Kind"))
    width, lines = len(narrow.stub) + len(narrow.columns), []
    for index, (kind, row) in enumerate(zip(kinds, narrow.rows, strict=True)):
        if index == 0 or kind != kinds[index - 1]:
            heading = escape_latex(kind[0].upper() + kind[1:])
            lines += [r"\addlinespace"] * (index > 0)
            lines.append(rf"\multicolumn{{{width}}}{{@{{}}l}}{{\textit{{{heading}}}}} \\")
        lines.append(_row(row))
    return narrow, lines


def _tabular(grid: Grid) -> list[str]:
    grid, body = _body(grid)
    columns = "l" * len(grid.stub) + "r" * len(grid.columns)
    heads = [
        *map(escape_latex, grid.stub),
        *(rf"\multicolumn{{1}}{{c}}{{{_heading(column)}}}" for column in grid.columns),
    ]
    head = [rf"\begin{{tabular}}{{@{{}}{columns}@{{}}}}", r"\toprule", *_group_lines(grid)]
    return [*head, " & ".join(heads) + r" \\", r"\midrule", *body, r"\bottomrule", r"\end{tabular}"]


def _notes(grid: Grid) -> list[str]:
    if not grid.notes:
        return []
    lines = [r"\par\smallskip", r"\begin{minipage}{\linewidth}", r"\raggedright\scriptsize"]
    lines += [escape_latex(note) + r"\par" for note in grid.notes]
    return [*lines, r"\end{minipage}"]


def _characters(grid: Grid) -> int:
    """About how wide the tabular is: the longest text of each column, in characters with the gaps between."""
    printed = _body(grid)[0]
    stubs = [[printed.stub[at], *(row.stub[at] for row in printed.rows)] for at in range(len(printed.stub))]
    names = [min(LONGEST_NAME, max(map(len, texts))) for texts in stubs]
    numbers = [
        max(len(column.label) + 2, *(len(row.cells[at].text) + len(row.cells[at].interval) for row in printed.rows))
        for at, column in enumerate(printed.columns)
    ]
    return sum(names) + sum(numbers) + len(names) + len(numbers)


def _label(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def render_latex(
    table: Table,
    *,
    layout: Layout | None = None,
    transposed: bool = False,
    wide: bool | None = None,
    intervals: bool = False,
    caption: str | None = None,
    label: str | None = None,
) -> str:
    r"""The table as a LaTeX float to be read with `\input`; needs `\usepackage{booktabs}` and nothing else.

    Choose tasks, methods and metrics beforehand with `select`.

    Args:
        table: what to print.
        layout: another layout than the table's own.
        transposed: methods become rows where they are columns, and columns where they are rows.
        wide: `table*` over both columns of a page; None decides by the width of the table.
        intervals: print each number's interval beside it.
        caption: the caption as plain text, if not the table's own; it is escaped.
        label: the label after `tab:`, if not the table's name.
    """
    if transposed:
        layout = "rows" if (layout or table.layout) == "columns" else "columns"
    grid = lay_out(table, layout=layout, intervals=intervals)
    characters = _characters(grid) if grid.rows else 0
    if wide is None:
        wide = characters > ONE_COLUMN
    environment = "table*" if wide else "table"
    crowded = characters > (CROWDED if wide else ONE_COLUMN)
    size, gap = (r"\scriptsize", "2.5pt") if crowded else (r"\footnotesize", "4pt")
    body = _tabular(grid) if grid.rows else ["No numbers."]
    lines = [
        r"% Needs \usepackage{booktabs} in the preamble.",
        rf"\begin{{{environment}}}[t]",
        r"\centering",
        rf"\caption{{{escape_latex(caption or table.caption)}}}",
        rf"\label{{tab:{_label(label or table.name)}}}",
        r"\vspace{4pt}",
        rf"{size}\setlength{{\tabcolsep}}{{{gap}}}%",
        *body,
        *_notes(grid),
        rf"\end{{{environment}}}",
    ]
    return "\n".join(lines) + "\n"
