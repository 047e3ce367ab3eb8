"""What a leaderboard is built from: run folders, submission bundles, the released logs scored again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedmeki_bench.errors import BenchError, Fault, FaultsError, UsageError
from fedmeki_bench.files import content_hash, read_json
from fedmeki_bench.metrics import LabelLike, Prediction, read_labels, read_predictions
from fedmeki_bench.reporting._names import clean_name
from fedmeki_bench.reporting._types import Cell, Entry, Measure
from fedmeki_bench.reporting.collect import Candidate, Collected, percent
from fedmeki_bench.specs import TaskSpec, load_tasks
from fedmeki_bench.specs._result import result_faults

if TYPE_CHECKING:
    from fedmeki_bench.submissions import Bundle

LabelLookup = Callable[[Mapping[str, Any], str], "Sequence[LabelLike] | None"]
"""(result record, task) to the labels of the items it was tested on, None where there are none at hand."""

__all__ = ["Gathered", "Source", "gather_runs", "gather_submissions", "released_rows"]


@dataclass(frozen=True)
class Source:
    """A candidate with the way to its answers and, where they are at hand, their labels.

    Attributes:
        candidate: what goes into the tables.
        about: authors, paper, code, kind of bundle; shown with the entry.
        predictions: (seed, protocol, task) to the answers.
        labels: (seed, task) to the labels, None where there are none at hand.
    """

    candidate: Candidate
    about: Mapping[str, Any]
    predictions: Callable[[int, str, str], Sequence[Prediction]]
    labels: Callable[[int, str], Sequence[LabelLike] | None]


@dataclass
class Gathered:
    """Sources that can be shown, and every fault of those that cannot."""

    sources: list[Source] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)


def _run_folders(places: Sequence[Path]) -> Iterator[Path]:
    for place in places:
        if (place / "result.json").is_file():
            yield place
            continue
        inside = sorted(path.parent for path in place.glob("*/result.json"))
        if not inside:
            raise UsageError(
                "no finished run here",
                where=place,
                expected="a run's folder, or a folder of them, with result.json",
                found="an empty folder" if place.is_dir() else "no folder",
                fix="name the folder given to run --output, or wait until the run has finished",
            )
        yield from inside


def _run_id(run: tuple[Path, Mapping[str, Any]]) -> str:
    return str(run[1]["run_id"])


def _configuration(result: Mapping[str, Any]) -> str:
    """Equal for the seeds of one method and configuration."""
    names = ("method", "profile", "backbone", "foundation_model", "encoders", "protocols")
    config = {name: value for name, value in result["config"].items() if name != "seed"}
    splits = {task: (facts["spec_hash"], facts["split_hash"]) for task, facts in result["tasks"].items()}
    return content_hash([*(result[name] for name in names), config, splits, result["provenance"]["version"]])


def gather_runs(places: Sequence[Path]) -> Gathered:
    """Sources from finished runs; runs that differ in nothing but their seed become one.

    A run that is not valid is left out and its faults are kept. The same run in two places counts once.

    Args:
        places: run folders, or folders of run folders.

    Raises:
        UsageError: a place without any finished run.
    """
    gathered, seen = Gathered(), set[str]()
    groups: dict[str, dict[int, list[tuple[Path, Mapping[str, Any]]]]] = {}
    specs = load_tasks()
    for folder in _run_folders(places):
        try:
            result = read_json(folder / "result.json")
        except BenchError as error:
            gathered.faults.append(Fault(str(folder), "result.json", "a readable file", error.what))
            continue
        faults = result_faults(result, str(folder / "result.json"))
        gathered.faults += faults
        if faults or result["run_id"] in seen:
            continue
        seen.add(result["run_id"])
        groups.setdefault(_configuration(result), {}).setdefault(result["seed"], []).append((folder, result))
    for by_seed in groups.values():
        # A seed that was run twice (another commit, say) makes a second entry rather than count double.
        for turn in range(max(map(len, by_seed.values()))):
            runs = {
                seed: sorted(found, key=_run_id)[turn] for seed, found in sorted(by_seed.items()) if turn < len(found)
            }
            gathered.sources.append(_run_source(runs, specs))
    return gathered


def _run_source(runs: Mapping[int, tuple[Path, Mapping[str, Any]]], specs: Mapping[str, TaskSpec]) -> Source:
    results = [result for _, result in runs.values()]

    def labels(seed: int, task: str) -> Sequence[LabelLike] | None:
        path = runs[seed][0] / "labels" / f"{task}.jsonl"
        return read_labels(path, specs[task]) if path.is_file() and task in specs else None

    def predictions(seed: int, protocol: str, task: str) -> Sequence[Prediction]:
        path = runs[seed][0] / "predictions" / protocol / f"{task}.jsonl"
        known = labels(seed, task)
        return read_predictions(path, labels=known, task=task) if known and path.is_file() else []

    candidate = Candidate("own", results[0]["method"]["name"], results)
    return Source(candidate, {"config": results[0]["method"]["config"]}, predictions, labels)


def gather_submissions(folder: Path, labels: LabelLookup) -> Gathered:
    """Sources from the bundles of a folder; one that cannot be read is left out and its faults are kept.

    Args:
        folder: holds one folder or zip a bundle; what has no manifest (a method's source) is passed by.
        labels: the test labels behind a seed's record, for the paired tests.
    """
    from fedmeki_bench.submissions import load_bundle

    gathered = Gathered()
    bundles = sorted(path.parent for path in folder.glob("*/manifest.json")) + sorted(folder.glob("*.zip"))
    for path in bundles:
        try:
            bundle = load_bundle(path)
        except FaultsError as error:
            gathered.faults += error.faults
        except BenchError as error:
            gathered.faults.append(Fault(str(path), "", "a bundle that can be read", error.what))
        else:
            gathered.sources.append(_bundle_source(bundle, labels))
    return gathered


def _bundle_source(bundle: Bundle, labels: LabelLookup) -> Source:
    manifest = bundle.manifest
    authors = clean_name(", ".join(manifest["authors"]))
    kept = "predictions only, code not seen, " if bundle.predictions_only else ""
    remark = f"{kept}by {authors}"
    candidate = Candidate("submission", manifest["method"]["name"], bundle.results, remark)
    about = {
        "authors": manifest["authors"],
        "paper": manifest["paper"],
        "code": manifest["code"],
        "predictions_only": bundle.predictions_only,
        "config": manifest["method"]["config"],
    }

    def predictions(seed: int, protocol: str, task: str) -> Sequence[Prediction]:
        return list(bundle.predictions(seed, protocol, task))

    by_seed = {result["seed"]: result for result in bundle.results}
    return Source(candidate, about, predictions, lambda seed, task: labels(by_seed[seed], task))


def released_rows(path: Path, protocol: str, tasks: Mapping[str, str]) -> Collected:
    """The released prediction logs as entries: by this project's scoring and the release's, with constants.

    Args:
        path: `released.json` as written by `python -m fedmeki_bench.metrics.released_table`.
        protocol: only shapes the keys: the logs do not say how the training tasks were trained.
        tasks: abbreviation by task id; other tasks are left out.

    Raises:
        BenchError: the file cannot be read.
    """
    collected = Collected()
    if not path.is_file():
        return collected
    rows = [row for row in read_json(path) if row["task"] in tasks]
    if not rows:
        return collected
    note = "one prediction log a task, from the public release; which training made it is not recorded"
    strict = Entry(f"released.{protocol}.strict", "released", "Released log", note=note)
    rules = "scored by the rules of the release, quirks included"
    legacy = Entry(f"released.{protocol}.legacy", "released", "Released log (release's scoring)", note=rules)
    constant = Entry(f"constant.{protocol}.released", "constant", "best constant on the log's items")
    collected.entries += [strict, legacy, constant]
    for row in rows:
        measure = Measure(row["task"], row["metric"])
        data, signature = row["log_sha256"][:16], row["strict_signature"]
        low, high = percent(row["low"]), percent(row["high"])
        collected.cells[strict.key, measure] = Cell(percent(row["strict"]), low, high, signature, data)
        collected.cells[legacy.key, measure] = Cell(
            percent(row["legacy"]), signature=row["legacy_signature"], data=data
        )
        best = percent(row["best_constant"])
        collected.cells[constant.key, measure] = Cell(best, signature=signature, data=data)
        for entry in collected.entries:
            collected.cells[entry.key, Measure(row["task"], "n")] = Cell(float(row["n"]), data=data)
    rates = {tasks[row["task"]]: row["parse_rate"] for row in rows if row["parse_rate"] < 1}
    if rates:
        shares = ", ".join(f"{short} {100 * rate:.1f}%" for short, rate in rates.items())
        collected.notes.append(f"Answers that could be read, released logs: {shares}; the rest count as wrong.")
    return collected
