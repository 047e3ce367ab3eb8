"""Finished runs and valid bundles for tests, small and deterministic."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from fedmeki_bench.files import file_sha256, write_json, write_jsonl
from fedmeki_bench.metrics import LabelRow, Prediction, reference_rows
from fedmeki_bench.specs import load_tasks
from fedmeki_bench.submissions import bundle_runs
from fedmeki_bench.submissions._manifest import MANIFEST
from fedmeki_bench.submissions._rescore import rescore, stated_references, stated_scores
from tests.builders import make_evaluation, make_result

__all__ = ["EVALUATIONS", "bundle_with_seeds", "labels_of", "make_run", "reseal"]

EVALUATIONS = (
    ("multi_task", "covid_detection"),
    ("zero_shot", "ectopic_beats_detection"),
    ("zero_shot", "medvqa_rad"),
)
WORDS = ("left lung", "right lung", "ct", "no", "yes", "chest x-ray", "the brain", "axial")
SPLIT_HASH = "ab" * 32


def labels_of(task: str, n: int) -> list[LabelRow]:
    """Labels of `n` test items: the first is always positive, the second negative."""
    rng = random.Random(f"labels {task}")
    kind = load_tasks()[task].kind
    rows = []
    for index in range(n):
        truth = (index == 0 or (index > 1 and rng.random() < 0.4)) if kind == "yes_no" else False
        target = ("yes" if truth else "no") if kind == "yes_no" else rng.choice(WORDS)
        question = rng.choice(["closed", "open"]) if kind == "text" else None
        rows.append(LabelRow(f"{task}-{index:04d}", target, f"patient-{index // 2:03d}", question))
    return rows


def _answers(task: str, labels: Sequence[LabelRow], seed: int, scored: bool) -> list[Prediction]:
    rng = random.Random(f"answers {task} {seed}")
    if load_tasks()[task].kind == "text":
        return [Prediction(row.id, row.target if rng.random() < 0.5 else rng.choice(WORDS)) for row in labels]
    chances = [min(0.99, max(0.01, rng.gauss(0.65 if row.target == "yes" else 0.35, 0.2))) for row in labels]
    pairs = zip(labels, chances, strict=True)
    return [Prediction(row.id, "Yes" if p > 0.5 else "No", p if scored else None) for row, p in pairs]


def _write_rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    write_jsonl(path, ({k: v for k, v in row.items() if v is not None} for row in rows))


def make_run(
    folder: Path,
    *,
    seed: int = 0,
    method: str = "mine",
    n: int = 24,
    evaluations: Sequence[tuple[str, str]] = EVALUATIONS,
    scored: bool = True,
    **overrides: Any,
) -> Path:
    """A finished run's folder: predictions (in no order), labels, and a result that follows from them."""
    specs, entries, references = load_tasks(), [], {}
    for protocol, task in evaluations:
        labels = labels_of(task, n)
        answers = _answers(task, labels, seed, scored)
        random.Random(seed).shuffle(answers)
        path = folder / "predictions" / protocol / f"{task}.jsonl"
        _write_rows(path, [vars(answer) for answer in answers])
        _write_rows(folder / "labels" / f"{task}.jsonl", [vars(label) for label in labels])
        scores = rescore(specs[task], labels, answers)
        facts = {"n": n, "parse_rate": scores.parse_rate, "predictions_sha256": file_sha256(path)}
        entries.append(make_evaluation(protocol, task, {}, **facts) | {"scores": stated_scores(scores)})
        references[task] = stated_references(reference_rows(specs[task], labels))
    result = make_result(method, evaluations=entries)
    for task, facts in result["tasks"].items():
        spec = specs[task]
        counts = {**facts["counts"], "test": n}
        facts |= {
            "source": spec.source,
            "spec_version": spec.version,
            "spec_hash": spec.hash,
            "split_hash": SPLIT_HASH,
        }
        facts |= {"counts": counts, "used": counts, "split_scheme": spec.split.scheme}
    identity = hashlib.sha256(f"{method} {seed}".encode()).hexdigest()[:16]
    changed = {
        "seed": seed,
        "run_id": identity,
        "references": references,
        "config": {"seed": seed, "rounds": 3},
    }
    write_json(folder / "result.json", {**result, **changed, **overrides})
    return folder


def bundle_with_seeds(root: Path, seeds: Sequence[int] = (0,), **options: Any) -> Path:
    """A valid bundle `root/submissions/mine` of one run a seed; labels stay in `root/runs/0/labels`."""
    runs = [make_run(root / "runs" / str(seed), seed=seed, **options) for seed in seeds]
    out = root / "submissions" / "mine"
    return bundle_runs(runs, out, authors=["Ada Author", "Ben Author"], paper="arXiv 2501.00001")


def reseal(bundle: Path, *, scores: bool = True) -> None:
    """Make hashes and sizes fit the changed files, as a forger would: what is wrong must show by itself."""
    for path in sorted(bundle.glob("seed-*/scores.json")) if scores else ():
        result = json.loads(path.read_text(encoding="utf-8"))
        for evaluation in result["evaluations"]:
            predictions = path.parent / evaluation["predictions"]
            if predictions.is_file():
                evaluation["predictions_sha256"] = file_sha256(predictions)
        path.write_text(json.dumps(result), encoding="utf-8")
    manifest = json.loads((bundle / MANIFEST).read_text(encoding="utf-8"))
    manifest["files"] = [
        {"path": str(path.relative_to(bundle)), "bytes": path.stat().st_size, "sha256": file_sha256(path)}
        for path in sorted(bundle.rglob("*"))
        if path.is_file() and not path.is_symlink() and path.name != MANIFEST
    ]
    (bundle / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")
