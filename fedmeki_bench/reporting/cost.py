"""Cost against quality: what a method trains, sends and takes, beside what it reaches; the Pareto front."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from fedmeki_bench.files import content_hash
from fedmeki_bench.reporting._names import COST_METRICS
from fedmeki_bench.reporting._types import Cell, Entry, Measure, Table

__all__ = ["CostPoint", "cost_points", "cost_table", "pareto_front"]


@dataclass(frozen=True)
class CostPoint:
    """One entry's cost, the mean over its seeds, and its quality.

    Attributes:
        entry: the entry.
        costs: by metric of `COST_METRICS`; a metric nobody measured is absent.
        quality: mean balanced accuracy in percent over the multi-task yes/no tasks; None without any.
        tasks: abbreviations of these tasks.
        data: identifies the test items behind `quality`; None without any.
        simulated: some of these items are simulated.
    """

    entry: Entry
    costs: Mapping[str, float]
    quality: float | None
    tasks: tuple[str, ...]
    data: str | None
    simulated: bool


def _costs(seeds: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    costs = [seed["cost"] for seed in seeds if seed["cost"]["stages"] or seed["cost"]["trainable_parameters"]]
    if not costs:
        return {}
    found = {
        "trained_millions": fmean(sum(cost["trainable_parameters"].values()) for cost in costs) / 1e6,
        "traffic_megabytes": fmean(cost["bytes_up"] + cost["bytes_down"] for cost in costs) / 1e6,
    }
    if all(cost["stages"] for cost in costs):
        found["minutes"] = fmean(sum(stage["wall_s"] for stage in cost["stages"]) for cost in costs) / 60
    peaks = [
        [stage["peak_memory_bytes"] for stage in cost["stages"] if stage["peak_memory_bytes"] is not None]
        for cost in costs
    ]
    if all(peaks):
        found["memory_gigabytes"] = fmean(max(of_seed) for of_seed in peaks) / 1e9
    return {name: round(value, 6) for name, value in found.items()}


def cost_points(record: Mapping[str, Any]) -> list[CostPoint]:
    """One point for each entry of the record with details that trained or measured anything."""
    view = next(view for view in record["views"] if view["name"] == "multi_task")
    entries = {entry["key"]: Entry(**entry) for one in record["views"] for entry in one["entries"]}
    points = []
    for key, detail in record["details"].items():
        costs = _costs(detail["seeds"])
        if not costs or key not in entries:
            continue
        rows = [
            row
            for row in view["scores"]
            if row["entry"] == key and row["metric"] == "balanced_accuracy" and row["value"] is not None
        ]
        points.append(
            CostPoint(
                entries[key],
                costs,
                round(fmean(row["value"] for row in rows), 6) if rows else None,
                tuple(view["tasks"][row["task"]] for row in rows),
                content_hash(sorted(row["data"] for row in rows))[:16] if rows else None,
                any(row["simulated"] for row in rows),
            )
        )
    return points


def pareto_front(points: Sequence[CostPoint], cost: str) -> list[CostPoint]:
    """The points that no other point on the same items beats in quality at no more cost, cheapest first."""
    known = [point for point in points if point.quality is not None and cost in point.costs]

    def beaten(point: CostPoint) -> bool:
        assert point.quality is not None
        return any(
            other.data == point.data
            and other.quality is not None
            and (other.quality, -other.costs[cost]) != (point.quality, -point.costs[cost])
            and other.quality >= point.quality
            and other.costs[cost] <= point.costs[cost]
            for other in known
        )

    return sorted((point for point in known if not beaten(point)), key=lambda point: point.costs[cost])


def cost_table(record: Mapping[str, Any]) -> Table | None:
    """Cost against quality as a table, None if nothing was measured."""
    points = cost_points(record)
    if not points:
        return None
    cells: dict[tuple[str, Measure], Cell] = {}
    for point in points:
        for name, value in point.costs.items():
            cells[point.entry.key, Measure("cost", name)] = Cell(value)
        if point.quality is not None:
            cells[point.entry.key, Measure("quality", "mean_balanced_accuracy")] = Cell(
                point.quality, data=point.data, simulated=point.simulated
            )
    notes = []
    for point in points:
        if point.tasks:
            notes.append(f"Mean over {', '.join(point.tasks)}: {point.entry.label}.")
    front = [point.entry.label for point in pareto_front(points, "minutes")]
    if len(front) < len(points) and front:
        notes.append(f"Not beaten in both quality and time by another on the same items: {', '.join(front)}.")
    return Table(
        name="cost",
        title="Cost against quality",
        caption=(
            "Cost of a whole run (all rounds, all clients together) beside its mean balanced accuracy, "
            "multi-task. Times and memory are of the machine that ran it, see its details."
        ),
        layout="rows",
        protocol="cost",
        tasks={"quality": "Quality", "cost": "Cost"},
        metrics=["mean_balanced_accuracy", *COST_METRICS],
        entries=[point.entry for point in points],
        cells=cells,
        notes=tuple(dict.fromkeys(notes)),
    )
