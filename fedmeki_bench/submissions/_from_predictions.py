"""Bundles of predictions made by other code: welcome, and marked so; nobody recorded their training."""

from __future__ import annotations

import platform
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fedmeki_bench import __version__
from fedmeki_bench.errors import BenchError, UsageError
from fedmeki_bench.files import content_hash
from fedmeki_bench.specs import TaskSpec, load_tasks
from fedmeki_bench.submissions._build import About, SeedResult, read_answers, write_bundle
from fedmeki_bench.submissions._labels import Labels
from fedmeki_bench.submissions._layout import PredictionPath, prediction_path
from fedmeki_bench.submissions._predictions import canonical_row
from fedmeki_bench.submissions._rescore import rescore, stated_references, stated_scores

__all__ = ["bundle_predictions"]

_SEED_FOLDER = re.compile(r"seed-(0|[1-9][0-9]{0,9})")


def bundle_predictions(
    folder: Path,
    out: Path,
    store: Path,
    *,
    method_name: str,
    authors: Sequence[str],
    paper: str | None = None,
    code: str | None = None,
    foundation_model: str | None = None,
    revision: str | None = None,
    backbone: str = "none",
) -> Path:
    """Make a bundle of predictions from another codebase.

    Args:
        folder: `<protocol>/<task>.jsonl`, or `seed-<n>/<protocol>/<task>.jsonl` for several seeds.
        out: the bundle's folder.
        store: the prepared store the predictions were made for; its test labels score them.
        method_name: the method's name on the leaderboard.
        authors: at least one.
        paper: title, citation or address.
        code: where the code can be had.
        foundation_model: name of the language model, None for a method without one.
        revision: its revision.
        backbone: how clients were federated, `none` if they were not.

    Raises:
        UsageError: no prediction file, or a file in the wrong place.
        FaultsError: predictions that are not well formed.
        CheckFailed, BenchError: predictions that do not cover the test items.
    """
    places = _find(folder)
    labels = Labels.from_store(store)
    specs = load_tasks()
    model = foundation_model and {
        "name": foundation_model,
        "revision": revision,
        "random_weights": False,
        "parameters": None,
        "width": None,
    }
    seeds = []
    for seed in sorted({place.seed for place in places}):
        mine = {place: path for place, path in places.items() if place.seed == seed}
        told = {"name": method_name, "foundation_model": model or None, "backbone": backbone}
        seeds.append(_seed_result(seed, mine, labels, specs, told))
    about = About(method_name, authors, paper, code, kind="predictions-only", origin="external", run_name=None)
    return write_bundle(out, seeds, about)


def _find(folder: Path) -> dict[PredictionPath, Path]:
    places = {}
    for path in sorted(folder.rglob("*.jsonl")):
        parts = path.relative_to(folder).parts
        parts = parts if _SEED_FOLDER.fullmatch(parts[0]) else ("seed-0", *parts)
        place = prediction_path("/".join([parts[0], "predictions", *parts[1:]]))
        if place is None:
            raise UsageError(
                "a prediction file in the wrong place",
                where=path,
                expected="<protocol>/<task>.jsonl, or the same below seed-<n>/",
            )
        places[place] = path
    if not places:
        raise UsageError("no predictions here", where=folder, expected="<protocol>/<task>.jsonl", found="no *.jsonl")
    return places


def _seed_result(
    seed: int,
    places: Mapping[PredictionPath, Path],
    labels: Labels,
    specs: Mapping[str, TaskSpec],
    told: Mapping[str, Any],
) -> SeedResult:
    answers, evaluations, tasks, references = {}, [], {}, {}
    for place, path in places.items():
        spec, known = specs.get(place.task), labels.test_labels(place.task)
        if spec is None or known is None or labels.store is None:
            found = "no such task" if spec is None else "a task the store does not hold"
            raise BenchError("these predictions cannot be scored", where=path, expected="a prepared task", found=found)
        answers[place] = read_answers(path)
        ours = rescore(spec, known, answers[place])
        evaluations.append(
            {
                "protocol": place.protocol,
                "training": f"single_task-{spec.id}" if place.protocol == "single_task" else "multi_task",
                "task": spec.id,
                "selected_round": None,
                "n": ours.n,
                "parse_rate": ours.parse_rate,
                "predictions": place.inner,
                "predictions_sha256": "",
                "scores": stated_scores(ours),
            }
        )
        tasks[spec.id] = _task_facts(labels, spec)
        references[spec.id] = stated_references(labels.references(spec))
    identity = content_hash(
        [[place.inner, [canonical_row(row) for row in rows]] for place, rows in sorted(answers.items())]
    )
    now = datetime.now(UTC).isoformat(timespec="seconds")
    result = {
        "schema_version": 1,
        "run_id": f"predictions-{content_hash([seed, identity])[:16]}",
        "seed": seed,
        "profile": "external",
        "backbone": told["backbone"],
        "protocols": sorted({place.protocol for place in places}),
        "method": {"name": told["name"], "config": {}},
        "foundation_model": told["foundation_model"],
        "encoders": {},
        "tasks": tasks,
        "missing_tasks": {},
        "evaluations": evaluations,
        "references": references,
        "trainings": [],
        "cost": {"trainable_parameters": {}, "bytes_up": 0, "bytes_down": 0, "stages": []},
        "provenance": {
            "version": __version__,
            "git_commit": None,
            "git_dirty": None,
            "python": platform.python_version(),
            "packages": {},
            "platform": "unknown",
            "device": "unknown",
            "dtype": "unknown",
            "started": now,
            "finished": now,
        },
        "config": {},
    }
    return SeedResult(result, answers)


def _task_facts(labels: Labels, spec: TaskSpec) -> dict[str, Any]:
    assert labels.store is not None
    prepared = labels.store.tasks[spec.id]
    counts = dict(prepared.counts)
    return {
        "source": prepared.source,
        "simulated": prepared.simulated,
        "spec_version": prepared.spec_version,
        "spec_hash": prepared.spec_hash,
        "split_scheme": prepared.scheme,
        "split_hash": prepared.split_hash,
        "deal_hash": None,
        "counts": counts,
        "used": {"test": counts["test"]},
        "corrupt_skipped": prepared.skipped,
    }
