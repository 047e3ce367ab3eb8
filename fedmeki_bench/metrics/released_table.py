"""The public release's own logs under both scorings, as a table: what each number is worth, and which rule
moved it.

    python -m fedmeki_bench.metrics.released_table LOGS -o leaderboard/released

`LOGS` is a folder with the logs by the names of `LOGS_BY_TASK`, and perhaps `all_runs_metrics.csv` with the
metrics the release stored for them (column `saved_as` names the log). Logs that are not there are left out
and named.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import click

from fedmeki_bench.errors import UsageError
from fedmeki_bench.files import file_sha256, write_json, write_text
from fedmeki_bench.metrics import best_constant, read_released, reference_rows
from fedmeki_bench.metrics.quirks import quirk_report
from fedmeki_bench.specs import TaskSpec, load_tasks

__all__ = ["LOGS_BY_TASK", "Row", "released_rows", "render", "stored_metrics"]

LOGS_BY_TASK: Mapping[str, str] = {
    "covid_detection": "covid.json",
    "lung_opacity_detection": "rsna.json",
    "ecg_abnormal_detection": "ecg-abnormal.json",
    "mortality_prediction": "mortality.json",
    "enlarged_cardiomediastinum_detection": "chexpert-enlarged_cardiomediastinum.json",
    "pleural_effusion_detection": "chexpert-pleural_effusion.json",
    "atelectasis_detection": "chexpert-atelectasis.json",
    "ectopic_beats_detection": "ectopic.json",
    "sepsis_prediction": "sepsis.json",
    "medvqa_rad": "vqa-rad.json",
    "medvqa_slake": "slake.json",
    "signal_noise_clarification": "ecg-qa.json",
}
"""Task to the name of its log; in the papers' order."""

STORED_COLUMNS: Mapping[str, str] = {
    "accuracy": "ACC",
    "precision": "Precision",
    "recall": "Recall",
    "f1": "F1",
    "mcc": "MCC",
    "bleu": "bleu",
    "rouge1": "ROUGE1",
    "meteor": "METEOR",
}
"""Metric to the column of `all_runs_metrics.csv` that holds what the release stored."""


@dataclass(frozen=True)
class Row:
    """One metric of one log.

    Attributes:
        task: the task's id.
        metric: name of the metric.
        n: items in the log.
        stored: what the release stored, if that is at hand.
        legacy: value under the release's rules.
        strict: value under this project's.
        low: lower end of the strict value's 95% interval.
        high: its upper end.
        parse_rate: share of the answers that could be read (strict).
        best_constant: the best value a constant answer reaches (strict).
        best_constant_row: name of that constant.
        quirks: the release's rules that move the number, strongest first, with what each adds.
        legacy_signature: how the legacy value was computed.
        strict_signature: how the strict value was computed.
        log_sha256: hash of the log.
    """

    task: str
    metric: str
    n: int
    stored: float | None
    legacy: float
    strict: float
    low: float | None
    high: float | None
    parse_rate: float
    best_constant: float
    best_constant_row: str
    quirks: Mapping[str, float]
    legacy_signature: str
    strict_signature: str
    log_sha256: str


def stored_metrics(path: Path) -> dict[str, dict[str, float]]:
    """Log name to metric to the value the release stored, from `all_runs_metrics.csv`; empty without that
    file."""
    if not path.is_file():
        return {}
    with path.open(encoding="utf-8", newline="") as handle:
        return {
            row["saved_as"]: {name: float(row[column]) for name, column in STORED_COLUMNS.items() if row[column]}
            for row in csv.DictReader(handle)
            if row["saved_as"]
        }


def released_rows(
    log: Path, spec: TaskSpec, stored: Mapping[str, float], *, bootstrap: int = 10_000, seed: int = 0
) -> list[Row]:
    """One row for each metric that the release computes for the task.

    Args:
        log: the released log.
        spec: its task.
        stored: metric to what the release stored for this log.
        bootstrap: draws behind the intervals.
        seed: seed of the bootstrap.
    """
    labels, predictions = read_released(log, spec)
    report = quirk_report(spec, labels, predictions, bootstrap=bootstrap, seed=seed)
    references = reference_rows(spec, labels)
    rows = []
    for metric in STORED_COLUMNS:
        if metric not in report.legacy.scores:
            continue
        legacy, strict = report.legacy.scores[metric], report.strict.scores[metric]
        best = best_constant(references, metric)
        assert best is not None, "every metric of the release is defined for a constant answer"
        rows.append(
            Row(
                task=spec.id,
                metric=metric,
                n=report.strict.n,
                stored=stored.get(metric),
                legacy=legacy.value,
                strict=strict.value,
                low=strict.low,
                high=strict.high,
                parse_rate=report.strict.parse_rate,
                best_constant=best[1],
                best_constant_row=best[0],
                quirks=report.moved_by(metric),
                legacy_signature=legacy.signature,
                strict_signature=strict.signature,
                log_sha256=file_sha256(log),
            )
        )
    return rows


HEAD = """# The released logs, re-scored

One prediction log of the public release for each task, scored by the release's rules (`legacy`) and by this
project's (`strict`), in percent. `docs/scoring.md` says how to read it. Written by
`python -m fedmeki_bench.metrics.released_table`; the numbers with all digits, signatures and hashes of the
logs are in `released.json`.

*difference* is strict less legacy. *best constant* is the best value that one fixed answer reaches on the
same items. *moved by* names the release's rules that move the legacy number, the strongest first, with the
points each adds.

"""


def _percent(value: float) -> str:
    return f"{100 * value:.2f}"


def _cells(row: Row, first: bool, spec: TaskSpec) -> list[str]:
    interval = ""
    if row.low is not None and row.high is not None:
        interval = f" ({_percent(row.low)} to {_percent(row.high)})"
    return [
        spec.short,
        str(row.n) if first else "",
        _percent(row.parse_rate) if first else "",
        row.metric,
        _percent(row.legacy),
        _percent(row.strict) + interval,
        f"{100 * (row.strict - row.legacy):+.2f}" if row.strict != row.legacy else "0",
        f"{_percent(row.best_constant)} {row.best_constant_row}",
        ", ".join(f"{name} {100 * value:+.2f}" for name, value in row.quirks.items()),
    ]


def _agreement(rows: list[Row]) -> str:
    """How far the legacy values are from what the release stored, in one sentence."""
    distances = [(abs(row.legacy - row.stored), row) for row in rows if row.stored is not None]
    if not distances:
        return ""
    most, row = max(distances, key=lambda entry: entry[0])
    others = sorted(distance for distance, _ in distances)[:-1]
    rest = f"; all others by {others[-1]:.1g} at most" if others else ""
    return (
        f"\nFor {len(distances)} of these {len(rows)} numbers the release stored its own value. The legacy "
        f"value furthest\nfrom it is {row.metric} of {row.task}, by {most:.1g}{rest} (as fractions of 1).\n"
    )


def render(rows: list[Row], specs: Mapping[str, TaskSpec]) -> str:
    """The rows as a Markdown document."""
    from tabulate import tabulate

    previous = [None, *(row.task for row in rows)]
    table = [_cells(row, row.task != before, specs[row.task]) for row, before in zip(rows, previous, strict=False)]
    headers = ["task", "n", "parse rate", "metric", "legacy", "strict (95% interval)", "difference"]
    headers += ["best constant", "moved by"]
    align = ("left", "right", "right", "left", "right", "left", "right", "left", "left")
    body = tabulate(table, headers=headers, tablefmt="github", disable_numparse=True, colalign=align)
    return f"{HEAD}{body}\n{_agreement(rows)}"


@click.command()
@click.argument("logs", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("-o", "--out", type=click.Path(file_okay=False, path_type=Path), required=True)
@click.option("--bootstrap", type=click.IntRange(min=0), default=10_000, show_default=True)
def main(logs: Path, out: Path, bootstrap: int) -> None:
    """Score every released log under LOGS both ways; write README.md and released.json to the folder OUT."""
    specs = load_tasks()
    stored = stored_metrics(logs / "all_runs_metrics.csv")
    rows: list[Row] = []
    for task, name in LOGS_BY_TASK.items():
        if (logs / name).is_file():
            rows += released_rows(logs / name, specs[task], stored.get(name, {}), bootstrap=bootstrap)
        else:
            click.echo(f"left out: no log of {task} ({name})", err=True)
    if not rows:
        expected = ", ".join(LOGS_BY_TASK.values())
        raise UsageError("no released log found", where=logs, expected=expected)
    write_json(out / "released.json", [asdict(row) for row in rows])
    write_text(out / "README.md", render(rows, specs))
    click.echo(f"{len({row.task for row in rows})} logs: {out / 'README.md'}, {out / 'released.json'}")


if __name__ == "__main__":
    main()
