"""The papers' printed numbers as values: rows of the tables, what each printed digit can stand for,
test-set labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

from fedmeki_bench.errors import BenchError, Fault, FaultsError
from fedmeki_bench.files import package_folder, read_json

__all__ = [
    "AxisMaximum",
    "LabelCounts",
    "Partition",
    "PrintedRow",
    "Published",
    "best_printed_accuracy",
    "load_published",
    "printed_range",
    "released_labels",
]

_ROW_FIELDS = ("table", "protocol", "task", "backbone", "method", "metric", "value")


@dataclass(frozen=True, order=True)
class PrintedRow:
    """One line of one printed table: all metrics of a method on a task.

    Attributes:
        table: the table's name, as in `results.json`.
        protocol: `single_task`, `multi_task` or `zero_shot`.
        task: task id.
        backbone: `fedavg` or `fedprox`.
        method: the method's name.
        values: metric to the printed number in percent.
    """

    table: str
    protocol: str
    task: str
    backbone: str
    method: str
    values: Mapping[str, float]

    @property
    def setting(self) -> tuple[str, str, str, str]:
        """What was trained and tested, apart from where it is printed."""
        return self.protocol, self.task, self.backbone, self.method

    @property
    def where(self) -> str:
        """The row in words."""
        return f"{self.table}, {self.task}, {self.method} on {self.backbone} ({self.protocol})"


@dataclass(frozen=True)
class Partition:
    """A line of the papers' table of counts: the total and the parts that are given."""

    task: str
    total: int
    parts: Mapping[str, int]


@dataclass(frozen=True)
class AxisMaximum:
    """The largest value on one axis of a radar figure, in percent: the best row of that axis."""

    figure: str
    task: str
    backbone: str
    metric: str
    value: float


@dataclass(frozen=True)
class Published:
    """Everything that was read from a folder of printed numbers; a file that is not there gives no
    entries.
    """

    rows: tuple[PrintedRow, ...]
    partitions: tuple[Partition, ...]
    axes: tuple[AxisMaximum, ...]
    missing: tuple[str, ...]


@dataclass(frozen=True)
class LabelCounts:
    """Items and positives of the test set a row was computed on."""

    n: int
    positives: int

    @property
    def prevalence(self) -> float:
        """Share of positives."""
        return self.positives / self.n


def printed_range(value: float) -> tuple[float, float]:
    """The numbers a printed percentage can stand for, whether it was rounded or cut off: [v - u/2, v + u).

    `u` is the unit of the last decimal carried. A number carried as 68.1 may have been printed 68.1 or
    68.10; it is given the benefit of the doubt and read with one decimal.
    """
    exponent = Decimal(repr(value)).as_tuple().exponent
    assert isinstance(exponent, int)
    unit = 10.0 ** max(min(exponent, 0), -2)
    return value - unit / 2, value + unit


def load_published(folder: Path | None = None) -> Published:
    """Read `results.json` and, where they are there, `partitions.json` and `figure2_axis_maxima.json`.

    Args:
        folder: default, the papers' numbers that ship with the package.

    Raises:
        BenchError: no `results.json`, or a file that is not JSON.
        FaultsError: rows without a field, with a number that is none, or printed twice with different values.
    """
    folder = folder or package_folder("published")
    path = folder / "results.json"
    if not path.is_file():
        raise BenchError(
            "no printed results here",
            where=folder,
            expected="a file results.json",
            fix="see docs/statistics.md",
        )
    faults: list[Fault] = []
    rows = _rows(path, faults)
    partitions = _partitions(folder / "partitions.json", faults)
    axes = _axes(folder / "figure2_axis_maxima.json", faults)
    if faults:
        raise FaultsError(
            f"{len(faults)} fault{'s' if len(faults) > 1 else ''} in the printed numbers", faults
        )
    names = ("partitions.json", "figure2_axis_maxima.json")
    return Published(rows, partitions, axes, tuple(name for name in names if not (folder / name).is_file()))


def _entries(path: Path, key: str, faults: list[Fault]) -> list[tuple[str, dict[str, Any]]]:
    content = read_json(path)
    entries = content.get(key) if isinstance(content, dict) else None
    if not isinstance(entries, list):
        faults.append(Fault(str(path), key, "a list of objects", type(entries).__name__))
        return []
    for number, entry in enumerate(entries):
        if not isinstance(entry, dict):
            faults.append(Fault(str(path), f"{key}[{number}]", "an object", type(entry).__name__))
    return [(f"{key}[{number}]", entry) for number, entry in enumerate(entries) if isinstance(entry, dict)]


def _number(path: Path, place: str, value: object, faults: list[Fault]) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        faults.append(Fault(str(path), place, "a number in percent", repr(value)))
        return False
    return True


def _rows(path: Path, faults: list[Fault]) -> tuple[PrintedRow, ...]:
    values: dict[tuple[str, str, str, str, str], dict[str, float]] = {}
    for place, entry in _entries(path, "rows", faults):
        lacking = [name for name in _ROW_FIELDS if name not in entry]
        faults.extend(Fault(str(path), f"{place}.{name}", "a value", "nothing") for name in lacking)
        if lacking or not _number(path, f"{place}.value", entry["value"], faults):
            continue
        table, protocol, task, backbone, method = (str(entry[name]) for name in _ROW_FIELDS[:5])
        key = (table, protocol, task, backbone, method)
        row, metric, value = values.setdefault(key, {}), str(entry["metric"]), float(entry["value"])
        if row.setdefault(metric, value) != value:
            found = f"{row[metric]} and {value}"
            faults.append(Fault(str(path), place, f"one value of {metric} in {', '.join(key)}", found))
    return tuple(PrintedRow(*key, row) for key, row in values.items())


def _partitions(path: Path, faults: list[Fault]) -> tuple[Partition, ...]:
    if not path.is_file():
        return ()
    partitions = []
    for place, entry in _entries(path, "rows", faults):
        counts = {name: entry.get(name) for name in ("total", "private", "public", "development", "test")}
        given = {name: count for name, count in counts.items() if count is not None}
        wrong = [
            name for name, count in given.items() if isinstance(count, bool) or not isinstance(count, int)
        ]
        faults.extend(
            Fault(str(path), f"{place}.{name}", "a whole number", repr(given[name])) for name in wrong
        )
        faults.extend(
            Fault(str(path), f"{place}.{name}", "a value", "nothing")
            for name in ("task", "total")
            if name not in entry
        )
        if not wrong and "task" in entry and "total" in given:
            parts = {name: int(count) for name, count in given.items() if name != "total"}
            partitions.append(Partition(str(entry["task"]), int(given["total"]), parts))
    return tuple(partitions)


def _axes(path: Path, faults: list[Fault]) -> tuple[AxisMaximum, ...]:
    if not path.is_file():
        return ()
    axes = []
    for place, entry in _entries(path, "axes", faults):
        fields = ("figure", "task", "backbone", "metric", "axis_maximum")
        lacking = [name for name in fields if name not in entry]
        faults.extend(Fault(str(path), f"{place}.{name}", "a value", "nothing") for name in lacking)
        if not lacking and _number(path, f"{place}.axis_maximum", entry["axis_maximum"], faults):
            figure, task, backbone, metric = (str(entry[name]) for name in fields[:4])
            axes.append(AxisMaximum(figure, task, backbone, metric, float(entry["axis_maximum"])))
    return tuple(axes)


@cache
def released_labels() -> Mapping[str, LabelCounts]:
    """Items and positives of the released test set of each yes/no task."""
    content = read_json(Path(__file__).parent / "released_labels.json")
    return {task: LabelCounts(counts["n"], counts["positives"]) for task, counts in content["tasks"].items()}


def best_printed_accuracy(task: str) -> tuple[float, str] | None:
    """The best accuracy the papers print for a task, 0 to 1, and where; None if they print none."""
    published = load_published()
    printed = [
        (row.values["accuracy"], f"best printed, {row.table}, {row.method} on {row.backbone}")
        for row in published.rows
        if row.task == task and "accuracy" in row.values
    ]
    printed += [
        (axis.value, f"best printed, {axis.figure}, {axis.backbone}")
        for axis in published.axes
        if axis.task == task and axis.metric == "accuracy"
    ]
    if not printed:
        return None
    value, where = max(printed)
    return value / 100, where
