"""The papers' numbers as entries and cells: as printed, never ranked, their metric definitions unknown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from fedmeki_bench.files import package_folder, read_json
from fedmeki_bench.reporting._names import BACKBONES, method_label
from fedmeki_bench.reporting._types import Cell, Entry, Measure

SAME_METRIC = {"rouge": "rouge1"}
"""What the papers call ROUGE is ROUGE-1 here."""

__all__ = ["FigureAxis", "PublishedTable", "figure2_axes", "published_table", "published_tables"]


@dataclass(frozen=True)
class PublishedTable:
    """One table of a paper.

    Attributes:
        name: as the paper numbers it, for example `Table 3`.
        source: the paper.
        protocol: the protocol of its numbers.
        entries: method and backbone in printed order.
        cells: (entry key, measure) to the printed number in percent; `n` is from the papers' partition.
    """

    name: str
    source: str
    protocol: str
    entries: Sequence[Entry]
    cells: Mapping[tuple[str, Measure], Cell]


@dataclass(frozen=True)
class FigureAxis:
    """One axis of the radar of FedKIM's Figure 2: only its maximum, in percent, is printed."""

    backbone: str
    task: str
    metric: str
    maximum: float


def _slug(text: str) -> str:
    return text.lower().replace(" ", "-")


def _entry(row: Mapping[str, Any]) -> Entry:
    method, backbone, paper = (
        row["method"],
        row["backbone"],
        row["source"].split(",")[0].split(" benchmark")[0],
    )
    return Entry(
        key=f"published.{_slug(row['table'])}.{method}.{backbone}",
        kind="published",
        method=method_label(method),
        backbone=backbone,
        # The earlier paper prints some of the same rows: its name tells them apart.
        variant="FedMeKI" if paper == "FedMeKI" else "",
        note=f"{row['source']}, {row['table'].removeprefix(paper).strip()}",
    )


@cache
def published_tables() -> Mapping[str, PublishedTable]:
    """Every carried table by its number: `Table 3`, `Table 7`, `Table 4`, `FedMeKI Table 2` and so on.

    Raises:
        BenchError: the published numbers are missing from the installation.
    """
    folder = package_folder("published")
    test_items = {row["task"]: row["test"] for row in read_json(folder / "partitions.json")["rows"]}
    by_table: dict[str, list[Mapping[str, Any]]] = {}
    for row in read_json(folder / "results.json")["rows"]:
        by_table.setdefault(row["table"], []).append(row)
    tables = {}
    for name, rows in by_table.items():
        entries: dict[str, Entry] = {}
        cells: dict[tuple[str, Measure], Cell] = {}
        for row in rows:
            entry = _entry(row)
            entries[entry.key] = entry
            cells[entry.key, Measure(row["task"], SAME_METRIC.get(row["metric"], row["metric"]))] = Cell(
                float(row["value"])
            )
            cells[entry.key, Measure(row["task"], "n")] = Cell(float(test_items[row["task"]]))
        # Printed order within a backbone; the tables print all of FedAvg before FedProx.
        ordered = sorted(entries.values(), key=lambda entry: list(BACKBONES).index(entry.backbone or ""))
        tables[name] = PublishedTable(name, rows[0]["source"], rows[0]["protocol"], ordered, cells)
    return tables


def published_table(name: str) -> PublishedTable:
    """One carried table by its number, for example `Table 3`."""
    return published_tables()[name]


@cache
def figure2_axes() -> Sequence[FigureAxis]:
    """The axes of FedKIM's Figure 2, in printed order."""
    axes = read_json(package_folder("published") / "figure2_axis_maxima.json")["axes"]
    return [FigureAxis(axis["backbone"], axis["task"], axis["metric"], axis["axis_maximum"]) for axis in axes]
