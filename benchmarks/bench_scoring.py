"""Speed of scoring: 100,000 predictions over the twelve tasks, all metrics but METEOR, 10,000 bootstrap
draws.

    python benchmarks/bench_scoring.py [--json]

The reference does the classification part of the same job the way lm-evaluation-harness bootstraps a metric:
for each draw it resamples and calls the metric (scikit-learn's) in a Python loop. It is run for a few draws
and its time per draw taken times the number of draws; the output says so. Everything runs in one thread.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Set before numpy is imported: the arithmetic libraries read it once.
os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"

import numpy as np
from numpy.typing import NDArray

from fedmeki_bench.files import write_jsonl
from fedmeki_bench.metrics import item_statistics, read_labels, read_predictions, score_statistics
from fedmeki_bench.metrics._types import ItemStatistics
from fedmeki_bench.metrics.classification import classification_scores, probability_scores
from fedmeki_bench.metrics.statistics import TEXT_METRICS
from fedmeki_bench.specs import TaskSpec, load_tasks

METRICS = [name for name in TEXT_METRICS if name != "meteor"]
SECONDS_BAR, SPEEDUP_BAR, HELP_BAR = 10.0, 10.0, 0.15

SYLLABLES = (
    "ar",
    "bra",
    "con",
    "dex",
    "el",
    "fu",
    "gno",
    "his",
    "ist",
    "ka",
    "lum",
    "mor",
    "neo",
    "pul",
    "ry",
    "sis",
)


@dataclass(frozen=True)
class Timing:
    """Wall and processor time of one stage in seconds."""

    wall: float
    cpu: float


def timed(work: Callable[[], Any]) -> tuple[Any, Timing]:
    """The result of a function and what it took."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = work()
    return result, Timing(time.perf_counter() - wall, time.process_time() - cpu)


def sizes(total: int, specs: Sequence[TaskSpec]) -> list[int]:
    """`total` items over the tasks in proportion to the papers' test sizes."""
    printed = np.array([spec.paper.test for spec in specs])
    shares = np.floor(total * printed / printed.sum()).astype(int)
    shares[int(np.argmax(shares))] += total - shares.sum()
    return [int(share) for share in shares]


def phrases(rng: np.random.Generator, count: int, longest: int) -> list[str]:
    """Texts of 1 to `longest` words out of a few hundred."""
    words = ["".join(rng.choice(SYLLABLES, rng.integers(2, 5))) for _ in range(600)]
    return [" ".join(rng.choice(words, rng.integers(1, longest + 1))) for _ in range(count)]


def answers_to(targets: Sequence[str], pool: Sequence[str], rng: np.random.Generator) -> list[str]:
    """Answers as in the released logs: references repeat, most answers are different from one another."""
    fresh = phrases(rng, len(targets), 9)
    kind = rng.integers(0, 3, len(targets))
    other = rng.integers(0, len(pool), len(targets))
    return [(target, pool[o], f)[k] for target, o, f, k in zip(targets, other, fresh, kind, strict=True)]


def write_task(folder: Path, spec: TaskSpec, n: int, rng: np.random.Generator) -> None:
    """Labels and predictions of one task as a run leaves them, scores included for yes/no tasks."""
    per_group = 4.0 if spec.split.group == "image" and spec.kind == "text" else 1.15
    count = max(1, int(n / per_group))
    groups = np.concatenate([np.arange(count), rng.integers(0, count, n - count)])
    if spec.kind == "yes_no":
        truth = rng.random(n) < 0.35
        scores = np.clip(rng.normal(0.4 + 0.2 * truth, 0.2), 0.0, 1.0)
        labels = [{"target": "yes" if t else "no"} for t in truth]
        forms = ("{}", "{}.", "Answer: {}", "{}, as the record shows.")
        answers = [forms[k % 4].format("Yes" if s > 0.5 else "No") for k, s in enumerate(scores)]
        rows = [{"answer": a, "score": round(float(s), 6)} for a, s in zip(answers, scores, strict=True)]
    else:
        pool = phrases(rng, n // 6, 4)
        targets = [pool[k] for k in rng.integers(0, len(pool), n)]
        types = ["closed" if k % 2 else "open" for k in range(n)]
        labels = [{"target": t, "question_type": q} for t, q in zip(targets, types, strict=True)]
        rows = [{"answer": answer} for answer in answers_to(targets, pool, rng)]
    ids = [f"{spec.id}-{k}" for k in range(n)]
    write_jsonl(
        folder / f"{spec.id}.labels.jsonl",
        [{"id": i, "group": f"g{g}", **r} for i, g, r in zip(ids, groups, labels, strict=True)],
    )
    write_jsonl(folder / f"{spec.id}.jsonl", [{"id": i, **r} for i, r in zip(ids, rows, strict=True)])


def read_all(folder: Path, specs: Sequence[TaskSpec]) -> list[tuple[TaskSpec, Any, Any]]:
    """Labels and predictions of every task, read and checked."""
    found = []
    for spec in specs:
        labels = read_labels(folder / f"{spec.id}.labels.jsonl", spec)
        found.append(
            (spec, labels, read_predictions(folder / f"{spec.id}.jsonl", labels=labels, task=spec.id))
        )
    return found


def reference_draw(stats: ItemStatistics, rng: np.random.Generator) -> dict[str, float]:
    """One draw of the plain bootstrap: resample the groups, gather their items, call every metric."""
    assert stats.y_true is not None and stats.y_pred is not None and stats.score is not None
    items: list[NDArray[np.int64]] = np.split(
        np.argsort(stats.groups, kind="stable"), np.cumsum(np.bincount(stats.groups))[:-1]
    )
    taken = np.concatenate([items[group] for group in rng.integers(0, len(items), len(items))])
    truth = stats.y_true[taken]
    return classification_scores(truth, stats.y_pred[taken]) | probability_scores(truth, stats.score[taken])


def median_seconds(command: Sequence[str], repeats: int) -> float:
    """Median wall time of a command, after one run to warm the file cache."""
    taken = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        taken.append(time.perf_counter() - start)
    return statistics.median(taken[1:])


def measure(total: int, draws: int, reference_draws: int, repeats: int) -> dict[str, Any]:
    """Every figure, by name."""
    specs = list(load_tasks().values())
    with tempfile.TemporaryDirectory() as name:
        folder, rng = Path(name), np.random.default_rng(0)
        for spec, n in zip(specs, sizes(total, specs), strict=True):
            write_task(folder, spec, n, rng)
        rows, reading = timed(lambda: read_all(folder, specs))
    # One small call first, so that the import of scikit-learn is not taken for scoring.
    score_statistics(item_statistics(specs[0], rows[0][1][:50], rows[0][2][:50]), bootstrap=10)
    stats, extraction = timed(lambda: [item_statistics(*row, metrics=METRICS) for row in rows])
    yes_no = [item for item in stats if item.kind == "yes_no"]
    text = [item for item in stats if item.kind == "text"]
    _, classification = timed(lambda: [score_statistics(item, bootstrap=draws) for item in yes_no])
    _, generation = timed(lambda: [score_statistics(item, bootstrap=draws) for item in text])
    stages = {"reading": reading, "answers": extraction, "classification": classification, "text": generation}
    plain = np.random.default_rng(0)
    _, reference = timed(
        lambda: [reference_draw(item, plain) for item in yes_no for _ in range(reference_draws)]
    )
    per_draw = reference.wall / reference_draws
    script = Path(sys.executable).with_name("fedmeki-bench")
    cli = [str(script)] if script.is_file() else [sys.executable, "-m", "fedmeki_bench"]
    return {
        "seconds_100k": sum(stage.wall for stage in stages.values()) * 100_000 / total,
        "cpu_seconds_100k": sum(stage.cpu for stage in stages.values()) * 100_000 / total,
        "speedup_vs_reference": per_draw * draws / classification.wall,
        "predictions": total,
        "draws": draws,
        "stage_seconds": {name: stage.wall for name, stage in stages.items()},
        "stage_cpu_seconds": {name: stage.cpu for name, stage in stages.items()},
        "reference": "scikit-learn in a Python loop over draws, the way lm-evaluation-harness bootstraps",
        "reference_job": f"{len(yes_no)} yes/no tasks, {sum(map(len, yes_no))} predictions, 10 metrics",
        "reference_draws_run": reference_draws,
        "reference_seconds_measured": reference.wall,
        "reference_seconds_extrapolated": per_draw * draws,
        "help_seconds": median_seconds([*cli, "--help"], repeats),
        "score_help_seconds": median_seconds([*cli, "score", "--help"], repeats),
        "python_seconds": median_seconds([sys.executable, "-c", "pass"], repeats),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--predictions", type=int, default=100_000)
    parser.add_argument("--draws", type=int, default=10_000)
    parser.add_argument("--reference-draws", type=int, default=3, help="draws the reference is run for")
    parser.add_argument("--repeats", type=int, default=15, help="repetitions of the start-up times")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    arguments = parser.parse_args()
    found = measure(arguments.predictions, arguments.draws, arguments.reference_draws, arguments.repeats)
    if arguments.json:
        print(json.dumps(found, indent=1))
        return
    print(f"{found['predictions']} predictions, {found['draws']} draws, one thread\n")
    for name, seconds in found["stage_seconds"].items():
        print(f"  {name:<16}{seconds:8.2f} s")
    wall, cpu = found["seconds_100k"], found["cpu_seconds_100k"]
    print(f"  {'per 100,000':<16}{wall:8.2f} s wall, {cpu:.2f} s processor")
    print(f"  {'bar':<16}{SECONDS_BAR:8.2f} s\n")
    print(f"Reference: {found['reference']}\n  job: {found['reference_job']}")
    print(
        f"  {found['reference_draws_run']} draws took {found['reference_seconds_measured']:.2f} s; "
        f"{found['draws']} draws would take {found['reference_seconds_extrapolated']:.0f} s (extrapolated)"
    )
    print(f"  speed-up {found['speedup_vs_reference']:.0f} (bar {SPEEDUP_BAR:.0f})\n")
    for label, key in (("--help", "help_seconds"), ("score --help", "score_help_seconds")):
        print(f"  {label:<16}{found[key]:8.3f} s (median; bar {HELP_BAR} s)")
    print(f"  {'python -c pass':<16}{found['python_seconds']:8.3f} s")


if __name__ == "__main__":
    main()
