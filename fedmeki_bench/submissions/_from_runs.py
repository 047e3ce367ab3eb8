"""Bundles of this project's own runs: several runs are several seeds of one method and agree in all else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from fedmeki_bench.errors import BenchError, Fault, FaultsError, UsageError
from fedmeki_bench.files import file_sha256, read_json
from fedmeki_bench.metrics import Prediction, reference_rows
from fedmeki_bench.specs import load_tasks
from fedmeki_bench.specs._result import validate_result
from fedmeki_bench.submissions._build import About, SeedResult, read_answers, write_bundle
from fedmeki_bench.submissions._labels import read_labels
from fedmeki_bench.submissions._layout import PredictionPath
from fedmeki_bench.submissions._manifest import TASK_FIELDS, comparable_config, folded_name, portable
from fedmeki_bench.submissions._names import shipped_names
from fedmeki_bench.submissions._rescore import rescore, same_number, stated_references, stated_scores

__all__ = ["bundle_runs"]


def bundle_runs(
    runs: Sequence[Path],
    out: Path,
    *,
    authors: Sequence[str],
    method_name: str | None = None,
    paper: str | None = None,
    code: str | None = None,
) -> Path:
    """Make a bundle of finished runs of one method with different seeds.

    Every score is computed again from the run's predictions and labels and must be that of its `result.json`.

    Args:
        runs: run folders.
        out: the bundle's folder.
        authors: at least one.
        method_name: the method's name on the leaderboard; default: the one given to `run`.
        paper: title, citation or address.
        code: where the code can be had.

    Raises:
        UsageError: no run, no author, runs that do not belong together, a model with random weights.
        BenchError: a run that is not finished, or whose scores do not follow from its predictions.
    """
    if not runs:
        raise UsageError("no run given", expected="the folder of at least one finished run")
    loaded = [(run, _load(run)) for run in runs]
    _refuse_random_weights(loaded)
    _refuse_disagreement(loaded)
    seeds = [_seed_result(run, result) for run, result in sorted(loaded, key=lambda pair: int(pair[1]["seed"]))]
    run_name = str(loaded[0][1]["method"]["name"])
    about = About(
        method=method_name or run_name,
        authors=authors,
        paper=paper,
        code=code,
        kind="run",
        origin="built-in" if folded_name(run_name) in shipped_names() and ":" not in run_name else "plug-in",
        run_name=run_name,
    )
    return write_bundle(out, seeds, about)


def _load(run: Path) -> dict[str, Any]:
    path = run / "result.json"
    if not path.is_file():
        raise UsageError(
            "not a finished run",
            where=run,
            expected="a folder with result.json",
            fix="let the run finish, or name its folder",
        )
    result = read_json(path)
    validate_result(result, str(path))
    if not result["evaluations"]:
        raise BenchError("the run has no evaluation to submit", where=path)
    result = portable(result)
    # A method named by its path would carry a folder of its maker's machine.
    result["method"]["name"] = PurePosixPath(result["method"]["name"]).name
    return dict(result)


def _refuse_random_weights(loaded: Sequence[tuple[Path, Mapping[str, Any]]]) -> None:
    for run, result in loaded:
        model = result["foundation_model"]
        if model is not None and model["random_weights"]:
            raise UsageError(
                "a run with a randomly initialised foundation model is no result",
                where=run / "result.json",
                expected="pretrained weights",
                found=f"{model['name']} with random weights",
                fix="run with --foundation-model smollm2-135m or another pretrained model",
            )


def _must_agree(result: Mapping[str, Any]) -> dict[str, Any]:
    """What must be equal in all runs of a bundle, by field."""
    names = ("method", "profile", "backbone", "protocols", "foundation_model", "encoders", "missing_tasks")
    fields = {name: result[name] for name in names}
    fields |= {f"config.{name}": value for name, value in comparable_config(result["config"]).items()}
    fields |= {f"tasks.{task}.{name}": facts[name] for task, facts in result["tasks"].items() for name in TASK_FIELDS}
    provenance = ("version", "git_commit", "git_dirty", "dtype")
    return fields | {f"provenance.{name}": result["provenance"][name] for name in provenance}


def _refuse_disagreement(loaded: Sequence[tuple[Path, Mapping[str, Any]]]) -> None:
    first_run, first = loaded[0]
    reference = _must_agree(first)
    faults, seen = [], {first["seed"]: first_run}
    for run, result in loaded[1:]:
        where = str(run / "result.json")
        mine = _must_agree(result)
        for field in sorted(set(reference) | set(mine)):
            wanted, found = reference.get(field, "nothing"), mine.get(field, "nothing")
            if wanted != found:
                faults.append(Fault(where, field, f"{wanted}, as in {first_run.name}", str(found)))
        if result["seed"] in seen:
            found = f"seed {result['seed']}, as {seen[result['seed']].name} has"
            faults.append(
                Fault(
                    where,
                    "seed",
                    "a seed of its own",
                    found,
                    "submit runs of other methods or settings as other bundles",
                )
            )
        seen.setdefault(result["seed"], run)
    if faults:
        raise FaultsError("these runs are not several seeds of one method", faults)


def _seed_result(run: Path, result: Mapping[str, Any]) -> SeedResult:
    answers: dict[PredictionPath, Sequence[Prediction]] = {}
    evaluations = []
    references = dict(result["references"])
    for evaluation in result["evaluations"]:
        place = PredictionPath(result["seed"], evaluation["protocol"], evaluation["task"])
        path = run / place.inner
        if not path.is_file() or file_sha256(path) != evaluation["predictions_sha256"]:
            raise BenchError(
                "the predictions are not those the run scored",
                where=path,
                expected=f"SHA-256 {evaluation['predictions_sha256']}",
                found=file_sha256(path) if path.is_file() else "no file",
                fix="run again; predictions are never edited",
            )
        answers[place] = read_answers(path)
        rescored, constants = _rescored(run, evaluation, answers[place])
        evaluations.append({**rescored, "predictions": place.inner})
        references[place.task] = constants
    return SeedResult({**result, "evaluations": evaluations, "references": references}, answers)


def _rescored(
    run: Path, evaluation: Mapping[str, Any], answers: Sequence[Prediction]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The evaluation with its scores computed again, and the constant rows of its task."""
    spec = load_tasks().get(evaluation["task"])
    path = run / "labels" / f"{evaluation['task']}.jsonl"
    if spec is None or not path.is_file():
        raise BenchError(
            "the run cannot be scored again",
            where=path,
            expected="a task of the benchmark and its labels in the run's folder",
            found="no such task" if spec is None else "no labels",
            fix="submit from the folder the run was written to",
        )
    labels = read_labels(path)
    ours = rescore(spec, labels, answers)
    for metric, score in evaluation["scores"].items():
        mine = ours.scores.get(metric)
        if mine is not None and mine.signature == score["signature"] and not same_number(score["value"], mine.value):
            raise BenchError(
                "the run's result does not follow from its predictions",
                where=f"{run / 'result.json'}: {evaluation['protocol']}.{spec.id}.{metric}",
                expected=mine.value,
                found=score["value"],
                fix="run again; results are never edited",
            )
    fresh = {**evaluation, "n": ours.n, "parse_rate": ours.parse_rate, "scores": stated_scores(ours)}
    return fresh, stated_references(reference_rows(spec, labels))
