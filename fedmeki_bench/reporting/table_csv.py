"""Every number of a set of tables in one long CSV: one line a number, for pandas and spreadsheets."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from fedmeki_bench.reporting._types import Table
from fedmeki_bench.reporting.grid import format_value

__all__ = ["COLUMNS", "render_csv"]

COLUMNS = (
    *("table", "protocol", "task", "metric", "kind", "method", "variant", "aggregation"),
    *("value", "low", "high", "rank", "simulated", "signature", "data", "entry"),
)


def _safe(text: str) -> str:
    """Text that a spreadsheet shows rather than runs: a leading `=`, `+`, `-` or `@` gets an apostrophe."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@") else text


def render_csv(tables: Sequence[Table]) -> str:
    """All numbers of the tables; values in percent with two decimals as in every other format.

    `low` and `high` are the ends of the interval, empty without one. The order is the tables' own.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for table in tables:
        for task in table.tasks:
            for entry in table.entries:
                for metric in table.metrics:
                    cell = table.cell(entry, task, metric)
                    if cell is None:
                        continue
                    interval = ["" if end is None else format_value(end, metric) for end in (cell.low, cell.high)]
                    texts = [
                        table.name,
                        table.protocol,
                        task,
                        metric,
                        entry.kind,
                        entry.method,
                        entry.variant,
                    ]
                    tail = [
                        cell.rank,
                        str(cell.simulated).lower(),
                        cell.signature or "",
                        cell.data or "",
                        entry.key,
                    ]
                    value = format_value(cell.value, metric)
                    writer.writerow([*map(_safe, [*texts, entry.backbone or ""]), value, *interval, *map(_safe, tail)])
    return out.getvalue()
