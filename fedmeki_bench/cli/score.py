"""`fedmeki-bench score`: re-score a prediction file, with no torch and no data beyond the labels."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fedmeki_bench.errors import UsageError

if TYPE_CHECKING:
    from fedmeki_bench.metrics import LabelRow, Prediction, Score, TaskScores
    from fedmeki_bench.specs import TaskSpec

__all__ = ["command"]

EPILOG = """Examples:

\b
  fedmeki-bench score runs/ID/predictions/zero_shot/covid_detection.jsonl --task CD
  fedmeki-bench score answers.jsonl --task MR --data prepared/ --json
  fedmeki-bench score log.json --task EBD --format released --scoring legacy
"""


@click.command(epilog=EPILOG)
@click.argument("predictions", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--task", required=True, help="Task id or abbreviation.")
@click.option(
    "--scoring",
    type=click.Choice(["strict", "legacy"]),
    default="strict",
    show_default=True,
    help="strict: this project's rules. legacy: those of the public release, quirks and all.",
)
@click.option(
    "--format",
    "layout",
    type=click.Choice(["jsonl", "released"]),
    help="jsonl: one {id, answer, score?} a line. released: a JSON list that carries the truth. "
    "[default: released for *.json, else jsonl]",
)
@click.option(
    "--labels",
    "label_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="JSON lines {id, target, group, question_type?}. [default: labels/ of the run the file lies in]",
)
@click.option(
    "--data",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Prepared store; its test labels are used.",
)
@click.option(
    "--partial", is_flag=True, help="Score what is there if items are missing; every output says so."
)
@click.option(
    "--bootstrap",
    type=click.IntRange(min=0),
    default=1000,
    show_default=True,
    help="Draws behind the 95% intervals; 0 for none.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of the bootstrap.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of a table.")
def command(
    predictions: Path,
    task: str,
    scoring: str,
    layout: str | None,
    label_file: Path | None,
    data: Path | None,
    partial: bool,
    bootstrap: int,
    seed: int,
    as_json: bool,
) -> None:
    """Score a prediction file: every metric with its interval, its distance to the best constant, and the
    share of answers that could be read.
    """
    from fedmeki_bench.metrics import reference_rows, score_task
    from fedmeki_bench.metrics.quirks import quirk_report
    from fedmeki_bench.specs import find_task, load_tasks

    spec = find_task(task, load_tasks())
    labels, answers = _read(predictions, spec, layout, label_file, data, partial)
    effects: Mapping[str, Mapping[str, float]] = {}
    if scoring == "legacy":
        report = quirk_report(spec, labels, answers, bootstrap=bootstrap, seed=seed, partial=partial)
        scores, effects = report.legacy, report.effects
    else:
        scores = score_task(spec, labels, answers, bootstrap=bootstrap, seed=seed, partial=partial)
    answered = {answer.id for answer in answers}
    answered_labels = [label for label in labels if label.id in answered]
    references = reference_rows(spec, answered_labels, scoring="legacy" if scoring == "legacy" else "strict")
    if as_json:
        click.echo(json.dumps(_as_json(scores, scoring, references, effects), indent=1))
    else:
        click.echo(_as_table(scores, scoring, references, effects))


def _read(
    path: Path,
    spec: TaskSpec,
    layout: str | None,
    label_file: Path | None,
    data: Path | None,
    partial: bool,
) -> tuple[Sequence[LabelRow], list[Prediction]]:
    from fedmeki_bench import metrics

    if (layout or ("released" if path.suffix == ".json" else "jsonl")) == "released":
        if label_file or data:
            raise UsageError("a released log carries its own truth", fix="leave out --labels and --data")
        return metrics.read_released(path, spec)
    if label_file and data:
        raise UsageError("two sources of labels", found="--labels and --data", fix="give one of them")
    if data:
        labels = metrics.read_store_labels(data, spec.id)
    else:
        label_file = label_file or metrics.labels_beside(path, spec.id)
        if label_file is None:
            raise UsageError(
                f"no labels for {path.name}",
                expected=f"labels/{spec.id}.jsonl in the folder of the run that the file lies in",
                fix="give --labels FILE or --data STORE",
            )
        labels = metrics.read_labels(label_file, spec)
    return labels, metrics.read_predictions(path, labels=labels, task=spec.id, partial=partial)


References = Mapping[str, Mapping[str, "Score"]]
Effects = Mapping[str, Mapping[str, float]]


def _as_json(scores: TaskScores, scoring: str, references: References, effects: Effects) -> dict[str, Any]:
    """One flat object: metrics by their names in lower case, in 0 to 1, and what is needed to read them."""
    from fedmeki_bench.metrics import best_constant

    values = {name.lower(): score for name, score in scores.scores.items()}
    found = {name.lower(): best_constant(references, name) for name in scores.scores}
    best = {name: row for name, row in found.items() if row is not None}
    return {
        "task": scores.task,
        "scoring": scoring,
        "n": scores.n,
        "expected": scores.expected,
        "partial": scores.partial,
        "parse_rate": scores.parse_rate,
        **{name: score.value for name, score in values.items()},
        "undefined": {name.lower(): reason for name, reason in scores.undefined.items()},
        "intervals": {
            name: [score.low, score.high] for name, score in values.items() if score.low is not None
        },
        "best_constant": {
            name: {"row": row, "value": value, "distance": values[name].value - value}
            for name, (row, value) in best.items()
        },
        "references": {
            row: {name.lower(): score.value for name, score in entries.items()}
            for row, entries in references.items()
        },
        "signatures": {name: score.signature for name, score in values.items()},
        **({"quirks": effects} if scoring == "legacy" else {}),
    }


def _as_table(scores: TaskScores, scoring: str, references: References, effects: Effects) -> str:
    from tabulate import tabulate

    from fedmeki_bench.metrics import best_constant

    rows = []
    for name, score in scores.scores.items():
        interval = f"{score.low:.4f} to {score.high:.4f}" if score.low is not None else ""
        best = best_constant(references, name)
        constant = f"{best[1]:.4f} {best[0]}" if best else ""
        distance = f"{score.value - best[1]:+.4f}" if best else ""
        rows.append([name, f"{score.value:.4f}", interval, constant, distance])
    headers = ["metric", "value", "95% interval", "best constant", "distance"]
    of_all = f"{scores.n} of {scores.expected}" if scores.partial else str(scores.n)
    lines = [
        f"{scores.task}: {scoring} scoring, {of_all} items, {scores.parse_rate:.2%} of the answers read",
        *(["PARTIAL: these numbers speak of the answered items alone"] if scores.partial else []),
        "",
        tabulate(
            rows, headers=headers, disable_numparse=True, colalign=("left", "right", "left", "left", "right")
        ),
    ]
    if scores.undefined:
        by_reason: dict[str, list[str]] = {}
        for name, reason in scores.undefined.items():
            by_reason.setdefault(reason, []).append(name)
        lines += ["", *(f"Not defined: {', '.join(names)} ({reason})" for reason, names in by_reason.items())]
    if scoring == "legacy":
        lines += [
            "",
            "Quirks of the release that move these numbers:" if effects else "No quirk moves a number.",
        ]
        for quirk, moved in effects.items():
            lines.append(f"  {quirk}: " + ", ".join(f"{name} {value:+.4f}" for name, value in moved.items()))
    return "\n".join(lines)
