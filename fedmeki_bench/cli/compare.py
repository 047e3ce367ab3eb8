"""`fedmeki-bench compare`: two runs or prediction files, with paired tests."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fedmeki_bench.errors import UsageError

if TYPE_CHECKING:
    from fedmeki_bench.metrics.comparison import Comparison, Row

__all__ = ["command"]

EPILOG = """Examples:

\b
  fedmeki-bench compare runs/A runs/B
  fedmeki-bench compare runs/A1 runs/B1 --more-a runs/A2 --metric auroc
  fedmeki-bench compare a.jsonl b.jsonl --task SP --labels labels.jsonl
"""


@click.command(epilog=EPILOG)
@click.argument("a", type=click.Path(exists=True, path_type=Path))
@click.argument("b", type=click.Path(exists=True, path_type=Path))
@click.option("--more-a", multiple=True, type=click.Path(exists=True, path_type=Path), help="Another seed of A.")
@click.option("--more-b", multiple=True, type=click.Path(exists=True, path_type=Path), help="Another seed of B.")
@click.option(
    "--metric",
    "metrics",
    multiple=True,
    help="Repeatable. Default: balanced_accuracy, and token_f1 for text.",
)
@click.option("--protocol", "protocols", multiple=True, help="Runs: only this protocol; repeatable.")
@click.option("--task", help="Prediction files: the task they belong to, id or abbreviation.")
@click.option(
    "--labels",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Prediction files: their labels. [default: labels/ of the run each lies in]",
)
@click.option(
    "--data",
    "store",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Prediction files: prepared store that holds their labels.",
)
@click.option("--draws", type=click.IntRange(min=1), default=10_000, show_default=True, help="Bootstrap draws.")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of the bootstrap.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of tables.")
def command(
    a: Path,
    b: Path,
    more_a: tuple[Path, ...],
    more_b: tuple[Path, ...],
    metrics: tuple[str, ...],
    protocols: tuple[str, ...],
    task: str | None,
    labels: Path | None,
    store: Path | None,
    draws: int,
    seed: int,
    as_json: bool,
) -> None:
    """Compare two methods on the same items: A and B are runs' folders, or two prediction files with --task.

    Prints the difference A - B with its 95% interval and p-value from a paired bootstrap over patients,
    images or records, McNemar's test, and both p-values after Holm's correction over the tasks. With several
    seeds a method counts by their mean, and its spread across seeds is shown apart.
    """
    from dataclasses import asdict

    from fedmeki_bench.metrics.comparison import Settings, compare_files, compare_runs
    from fedmeki_bench.specs import find_task, load_tasks

    settings = Settings(draws=draws, seed=seed, metrics=metrics)
    if a.is_dir() and b.is_dir():
        if task or labels or store:
            raise UsageError("--task, --labels and --data are for prediction files", found=f"two folders, {a} and {b}")
        comparison = compare_runs([a, *more_a], [b, *more_b], settings, protocols=protocols)
    elif a.is_dir() or b.is_dir():
        raise UsageError("a run's folder and a prediction file cannot be compared", found=f"{a} and {b}")
    else:
        if more_a or more_b or protocols:
            raise UsageError("--more-a, --more-b and --protocol are for runs' folders", found=f"two files, {a} and {b}")
        if task is None:
            raise UsageError("which task do the prediction files belong to?", fix="add --task ID")
        comparison = compare_files(a, b, find_task(task, load_tasks()), settings, labels=labels, store=store)
    if as_json:
        shown = {"draws": draws, "seed": seed, "level": settings.level, **asdict(comparison)}
        click.echo(json.dumps(shown, indent=1))
    else:
        click.echo(render(comparison, draws))


def render(comparison: Comparison, draws: int) -> str:
    """The comparison as text: one table of differences, one of McNemar's tests, one of seeds."""
    from tabulate import tabulate

    lines = [f"A: {comparison.first}", f"B: {comparison.second}", ""]
    rows = [cells for row in comparison.rows for cells in _difference_rows(row)]
    headers = ["protocol", "task", "n", "groups", "metric", "A", "B", "A - B", "95% interval", "p", "p, Holm"]
    lines.append(tabulate(rows, headers=headers, disable_numparse=True))
    tests = [_mcnemar_row(row) for row in comparison.rows if row.mcnemar]
    if tests:
        headers = ["protocol", "task", "only A right", "only B right", "exact p", "p, Holm", "unit"]
        lines += ["", "McNemar's test (right answers; exact matches in text tasks)", ""]
        lines.append(tabulate(tests, headers=headers, disable_numparse=True))
    else:
        lines += [
            "",
            "No McNemar's test: it is about two answers to an item, and there are several seeds or no matches.",
        ]
    seeds = [cells for row in comparison.rows for cells in _seed_rows(row)]
    if seeds:
        lines += ["", "Across seeds (apart from sampling error; not in the intervals above)", ""]
        lines.append(
            tabulate(
                seeds,
                headers=["protocol", "task", "", "metric", "mean", "sd", "values"],
                disable_numparse=True,
            )
        )
    lines += ["", f"Paired bootstrap over groups, {draws} draws. Holm over all rows that have the metric."]
    lines += [f"{row.task}: no {name} ({reason})" for row in comparison.rows for name, reason in row.undefined.items()]
    if comparison.left_out:
        lines.append(f"Not compared, as one side has no predictions: {', '.join(comparison.left_out)}")
    return "\n".join([*lines, *comparison.notes])


def _difference_rows(row: Row) -> list[list[object]]:
    from fedmeki_bench.metrics.paired import LOWER_IS_BETTER

    return [
        [
            row.protocol,
            row.task,
            row.n,
            row.clusters,
            f"{name} (lower is better)" if name in LOWER_IS_BETTER else name,
            f"{found.first:.4f}",
            f"{found.second:.4f}",
            f"{found.difference:+.4f}",
            "none" if found.low is None or found.high is None else f"{found.low:+.4f} to {found.high:+.4f}",
            _p(found.p),
            _p(row.holm.get(name)),
        ]
        for name, found in row.differences.items()
    ]


def _mcnemar_row(row: Row) -> Sequence[object]:
    assert row.mcnemar is not None
    test = row.mcnemar
    return [
        row.protocol,
        row.task,
        test.only_first,
        test.only_second,
        _p(test.p),
        _p(row.mcnemar_holm),
        test.unit,
    ]


def _seed_rows(row: Row) -> list[list[str]]:
    return [
        [
            row.protocol,
            row.task,
            side,
            name,
            f"{spread.mean:.4f}",
            "" if spread.sd is None else f"{spread.sd:.4f}",
            " ".join(f"{value:.4f}" for value in spread.values),
        ]
        for side, spreads in (("A", row.spread_first), ("B", row.spread_second))
        for name, spread in spreads.items()
    ]


def _p(value: float | None) -> str:
    if value is None:
        return "none"
    return "< 0.0001" if value < 0.0001 else f"{value:.4f}"
