"""From result records to tables people can read, paste and check; no training, no torch."""

from fedmeki_bench.reporting._types import Cell, Entry, Kind, Layout, Measure, Table, select
from fedmeki_bench.reporting.latex import escape_latex, render_latex
from fedmeki_bench.reporting.markdown import escape_markdown, render_markdown
from fedmeki_bench.reporting.table_csv import render_csv
from fedmeki_bench.reporting.tables import run_tables, write_run_tables
from fedmeki_bench.reporting.terminal import render_terminal

__all__ = [
    "Cell",
    "Entry",
    "Kind",
    "Layout",
    "Measure",
    "Table",
    "escape_latex",
    "escape_markdown",
    "render_csv",
    "render_latex",
    "render_markdown",
    "render_terminal",
    "run_tables",
    "select",
    "write_run_tables",
]
