"""Compare finished runs or prediction files: what may be compared, then one row a protocol and task.

Runs are compared only where nothing but the method differs: the same items and labels of the same split,
under the same version of the task. Everything that stands in the way is reported at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fedmeki_bench.errors import BenchError, Fault, FaultsError, UsageError, did_you_mean
from fedmeki_bench.files import read_json
from fedmeki_bench.metrics._types import ItemStatistics, LabelRow, Prediction
from fedmeki_bench.metrics.classification import HARD_METRICS, SOFT_METRICS
from fedmeki_bench.metrics.paired import (
    Difference,
    McNemar,
    Spread,
    aligned,
    holm,
    mcnemar,
    paired_differences,
    seed_spread,
)
from fedmeki_bench.metrics.reading import labels_beside, read_labels, read_predictions, read_store_labels
from fedmeki_bench.metrics.released import read_released
from fedmeki_bench.metrics.resampling import clusters_of
from fedmeki_bench.metrics.statistics import TEXT_METRICS, item_statistics
from fedmeki_bench.specs import TaskSpec, load_tasks

__all__ = [
    "PRIMARY_METRICS",
    "Comparison",
    "Row",
    "Run",
    "Settings",
    "compare_files",
    "compare_runs",
    "read_run",
]

PRIMARY_METRICS: Mapping[str, str] = {"yes_no": "balanced_accuracy", "text": "token_f1"}
"""The metric that is compared by default, by kind of task: one that a constant answer cannot win."""

_SAME = ("simulated", "spec_version", "spec_hash", "split_scheme", "split_hash")
"""Fields of a task in result.json that must agree."""

Cell = tuple[str, str]
"""Protocol and task."""


@dataclass(frozen=True)
class Settings:
    """How to compare.

    Attributes:
        draws: bootstrap draws.
        seed: seed of the bootstrap.
        level: nominal coverage of intervals.
        metrics: what to compare; the primary metric of each task if empty.

    Raises:
        UsageError: a metric that does not exist.
    """

    draws: int = 10_000
    seed: int = 0
    level: float = 0.95
    metrics: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        known = [*HARD_METRICS, *SOFT_METRICS]
        known += [f"{name}{subset}" for name in TEXT_METRICS for subset in ("", "_closed", "_open")]
        for name in self.metrics:
            if name not in known:
                raise UsageError(f"unknown metric {name!r}", fix=did_you_mean(name, known))


@dataclass(frozen=True)
class Run:
    """A run's folder, as far as a comparison needs it.

    Attributes:
        path: the folder.
        method: name from result.json; None if the run has not finished.
        seed: likewise.
        tasks: likewise: split and spec of each task.
        predictions: prediction file of each protocol and task.
    """

    path: Path
    method: str | None
    seed: int | None
    tasks: Mapping[str, Mapping[str, Any]]
    predictions: Mapping[Cell, Path]


@dataclass(frozen=True)
class Row:
    """One protocol and task, compared.

    Attributes:
        protocol: empty for single prediction files.
        task: task id.
        n: items.
        clusters: independent units among them (patients, images, records, stays).
        differences: by metric; the p-values are not corrected.
        holm: by metric, the p-value corrected over all rows of the comparison.
        undefined: metric to the reason why one side has no value.
        mcnemar: None with several seeds, and for text tasks if exact match is not computed.
        mcnemar_holm: its p-value, corrected over all rows.
        spread_first: each metric across the seeds of A; empty for a single seed.
        spread_second: the same of B.
    """

    protocol: str
    task: str
    n: int
    clusters: int
    differences: Mapping[str, Difference]
    undefined: Mapping[str, str]
    mcnemar: McNemar | None
    spread_first: Mapping[str, Spread]
    spread_second: Mapping[str, Spread]
    holm: Mapping[str, float]
    mcnemar_holm: float | None = None


@dataclass(frozen=True)
class Comparison:
    """All rows, and what was left out.

    Attributes:
        first: what A is, in words.
        second: what B is.
        rows: one a protocol and task, in the papers' order.
        left_out: protocols and tasks that only one side has predictions for, in words.
        notes: what the reader must know, such as runs that have no result.json to check.
    """

    first: str
    second: str
    rows: tuple[Row, ...]
    left_out: tuple[str, ...]
    notes: tuple[str, ...]


def read_run(folder: Path) -> Run:
    """A run's folder.

    Raises:
        UsageError: it holds no predictions.
        BenchError: its result.json cannot be read.
    """
    predictions = {
        (path.parent.name, path.stem): path for path in sorted(folder.glob("predictions/*/*.jsonl"))
    }
    if not predictions:
        raise UsageError(
            "not a run's folder",
            where=folder,
            expected="predictions/<protocol>/<task>.jsonl in it",
            fix="name the folder that `fedmeki-bench run` wrote, or two prediction files with --task",
        )
    result = folder / "result.json"
    record = read_json(result) if result.is_file() else None
    if record is None:
        return Run(folder, None, None, {}, predictions)
    try:
        return Run(folder, record["method"]["name"], record["seed"], record["tasks"], predictions)
    except (KeyError, TypeError) as error:
        raise BenchError(
            "not a run's record", where=result, expected="method, seed and tasks", found=error
        ) from error


def compare_runs(
    first: Sequence[Path],
    second: Sequence[Path],
    settings: Settings,
    *,
    protocols: Sequence[str] = (),
) -> Comparison:
    """Compare method A with method B on every protocol and task that all runs answered.

    Args:
        first: runs of A, one a seed.
        second: runs of B.
        settings: how to compare.
        protocols: only these; all if empty.

    Raises:
        FaultsError: exit code 3, everything that makes the runs incomparable.
        UsageError: no protocol and task in common, or runs of several methods on one side.
    """
    runs = [[read_run(path) for path in side] for side in (first, second)]
    for side, name in zip(runs, "AB", strict=True):
        _one_method(side, name)
    every = [run for side in runs for run in side]
    shared = [cell for cell in _cells(every[0], protocols) if all(cell in run.predictions for run in every)]
    if not shared:
        have = " / ".join(", ".join("/".join(cell) for cell in run.predictions) for run in every)
        raise UsageError("the runs have no protocol and task in common", found=have)
    specs = load_tasks()
    _refuse_unlike(every, sorted({task for _, task in shared}), specs)
    left_out = sorted({cell for run in every for cell in _cells(run, protocols)} - set(shared))
    names = [str(run.path) for run in every]
    rows = []
    for protocol, task in sorted(shared, key=lambda cell: (cell[0], list(specs).index(cell[1]))):
        statistics = [_run_statistics(run, (protocol, task), specs[task], settings) for run in every]
        rows.append(_row(protocol, statistics, names, len(first), settings))
    unfinished = [str(run.path) for run in every if run.method is None]
    notes = [f"no result.json in {path}: split and spec version are not checked" for path in unfinished]
    return Comparison(
        first=_words(runs[0]),
        second=_words(runs[1]),
        rows=_corrected(rows),
        left_out=tuple("/".join(cell) for cell in left_out),
        notes=tuple(notes),
    )


def compare_files(
    first: Path,
    second: Path,
    spec: TaskSpec,
    settings: Settings,
    *,
    labels: Path | None = None,
    store: Path | None = None,
) -> Comparison:
    """Compare two prediction files of one task.

    Labels are those given, else those of the run each file lies in; a released log (`.json`) carries its own.

    Raises:
        UsageError: no labels.
        CheckFailed: the files hold other items, or other labels.
        FaultsError: faults of a file.
    """
    statistics = []
    for path in (first, second):
        if path.suffix == ".json":
            found: tuple[Sequence[LabelRow], Sequence[Prediction]] = read_released(path, spec)
        else:
            rows = _labels_for(path, spec, labels, store)
            found = rows, read_predictions(path, labels=rows, task=spec.id)
        statistics.append(item_statistics(spec, *found, metrics=_computed(spec, settings.metrics)))
    row = _row("", statistics, [str(first), str(second)], 1, settings)
    return Comparison(str(first), str(second), _corrected([row]), (), ())


def _labels_for(path: Path, spec: TaskSpec, labels: Path | None, store: Path | None) -> list[LabelRow]:
    if store:
        return read_store_labels(store, spec.id)
    labels = labels or labels_beside(path, spec.id)
    if labels is None:
        raise UsageError(f"no labels for {path.name}", where=path, fix="give --labels FILE or --data STORE")
    return read_labels(labels, spec)


def _cells(run: Run, protocols: Sequence[str]) -> list[Cell]:
    return [cell for cell in run.predictions if not protocols or cell[0] in protocols]


def _words(runs: Sequence[Run]) -> str:
    method = runs[0].method or "unfinished run"
    seeds = ", ".join(str(run.seed) for run in runs if run.seed is not None)
    where = ", ".join(str(run.path) for run in runs)
    return f"{method}{f', seed {seeds}' if seeds else ''} ({where})"


def _one_method(runs: Sequence[Run], side: str) -> None:
    methods = sorted({run.method for run in runs if run.method is not None})
    if len(methods) > 1:
        raise UsageError(f"the runs of {side} must be seeds of one method", found=", ".join(methods))
    seeds = [run.seed for run in runs if run.seed is not None]
    if len(set(seeds)) < len(seeds):
        found = ", ".join(map(str, seeds))
        raise UsageError(
            f"the runs of {side} must have different seeds", found=found, fix="name each run once"
        )


def _refuse_unlike(runs: Sequence[Run], tasks: Sequence[str], specs: Mapping[str, TaskSpec]) -> None:
    known = [run for run in runs if run.tasks]
    faults = [
        Fault(f"{run.path}: result.json", f"tasks.{task}", "an entry", "nothing")
        for run in known
        for task in tasks
        if task not in run.tasks
    ]
    for task in tasks:
        having = [run for run in known if task in run.tasks]
        for run in having:
            faults.extend(_unlike(task, having[0], run))
        if having and having[0].tasks[task].get("spec_version") != specs[task].version:
            found = f"version {having[0].tasks[task].get('spec_version')}"
            fix = "score with the version of fedmeki-bench that made the runs"
            where = f"{having[0].path}: result.json"
            field, expected = f"tasks.{task}.spec_version", f"version {specs[task].version}, as installed"
            faults.append(Fault(where, field, expected, found, fix))
    if faults:
        raise FaultsError("the runs cannot be compared", faults, exit_code=3)


def _unlike(task: str, first: Run, other: Run) -> list[Fault]:
    return [
        Fault(
            f"{other.path}: result.json",
            f"tasks.{task}.{name}",
            f"{first.tasks[task].get(name)!r}, as in {first.path}",
            repr(other.tasks[task].get(name)),
        )
        for name in _SAME
        if first.tasks[task].get(name) != other.tasks[task].get(name)
    ]


def _run_statistics(run: Run, cell: Cell, spec: TaskSpec, settings: Settings) -> ItemStatistics:
    labels = read_labels(run.path / "labels" / f"{spec.id}.jsonl", spec)
    predictions = read_predictions(run.predictions[cell], labels=labels, task=spec.id)
    return item_statistics(spec, labels, predictions, metrics=_computed(spec, settings.metrics))


def _computed(spec: TaskSpec, metrics: Sequence[str]) -> list[str] | None:
    """Text metrics to compute: those compared, and exact match for McNemar's test; all are computed for
    yes/no.
    """
    if spec.kind == "yes_no":
        return None
    wanted = {
        name.removesuffix("_closed").removesuffix("_open") for name in metrics or PRIMARY_METRICS.values()
    }
    return [name for name in TEXT_METRICS if name in wanted or name == "exact_match"]


def _row(
    protocol: str,
    statistics: Sequence[ItemStatistics],
    names: Sequence[str],
    of_first: int,
    settings: Settings,
) -> Row:
    runs = aligned(statistics, names)
    first, second = runs[:of_first], runs[of_first:]
    wanted = settings.metrics or (PRIMARY_METRICS[runs[0].kind],)
    found = paired_differences(
        first, second, draws=settings.draws, seed=settings.seed, level=settings.level, metrics=wanted
    )
    undefined = {
        name: next(
            (run.undefined[name] for run in runs if name in run.undefined), "not a metric of this task"
        )
        for name in wanted
        if name not in found
    }
    return Row(
        protocol=protocol,
        task=runs[0].task,
        n=len(runs[0]),
        clusters=clusters_of(runs[0]).count,
        differences=found,
        undefined=undefined,
        mcnemar=mcnemar(first[0], second[0]) if len(runs) == 2 else None,
        spread_first=_shown_spread(first, wanted),
        spread_second=_shown_spread(second, wanted),
        holm={},
    )


def _shown_spread(runs: Sequence[ItemStatistics], wanted: Sequence[str]) -> dict[str, Spread]:
    if len(runs) == 1:
        return {}
    return {name: spread for name, spread in seed_spread(runs).items() if name in wanted}


def _corrected(rows: Sequence[Row]) -> tuple[Row, ...]:
    """The rows with Holm's correction over all of them, for each metric and for McNemar's test."""
    # The primary metrics of yes/no and text tasks are one family: one question, asked of every task.
    primary = all(set(row.differences) <= set(PRIMARY_METRICS.values()) for row in rows)
    families: dict[str, dict[str, float]] = {}
    for position, row in enumerate(rows):
        for name, difference in row.differences.items():
            if difference.p is not None:
                family = "primary" if primary else name
                families.setdefault(family, {})[f"{position}:{name}"] = difference.p
        if row.mcnemar is not None:
            families.setdefault("mcnemar", {})[f"{position}:mcnemar"] = row.mcnemar.p
    adjusted = {key: p for family in families.values() for key, p in holm(family).items()}
    corrected = []
    for position, row in enumerate(rows):
        keys = {name: f"{position}:{name}" for name in row.differences}
        of_row = {name: adjusted[key] for name, key in keys.items() if key in adjusted}
        corrected.append(replace(row, holm=of_row, mcnemar_holm=adjusted.get(f"{position}:mcnemar")))
    return tuple(corrected)
