"""Checking a bundle: every fault at once, every score computed again, no code of the bundle ever run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedmeki_bench.specs import load_tasks
from fedmeki_bench.specs._result import result_faults
from fedmeki_bench.submissions._agreement import check_against_runs, check_against_specs
from fedmeki_bench.submissions._container import BundleFiles, open_bundle
from fedmeki_bench.submissions._evaluations import EvaluationCheck, EvaluationChecker
from fedmeki_bench.submissions._faults import BundleFault, FaultLog
from fedmeki_bench.submissions._inventory import check_digests, check_layout, check_sources
from fedmeki_bench.submissions._labels import Labels
from fedmeki_bench.submissions._layout import scores_seed
from fedmeki_bench.submissions._manifest import MANIFEST, read_manifest
from fedmeki_bench.submissions._names import Claim, name_conflict
from fedmeki_bench.submissions._text import Digest, read_document

__all__ = ["CheckReport", "check_bundle"]


@dataclass(frozen=True)
class CheckReport:
    """What was found in one bundle.

    Attributes:
        bundle: its name (folder or zip).
        method: the method's name, None if the manifest could not be read.
        kind: `run` or `predictions-only`, None if unknown.
        faults: all faults, the manifest's first; empty for a bundle that can be accepted.
        count: number of faults; more than are listed where one kind is repeated many times.
        notes: what is no fault but should be known: what was not verified and why, simulated data.
        evaluations: the evaluations stated, in order.
    """

    bundle: str
    method: str | None
    kind: str | None
    faults: Sequence[BundleFault]
    count: int
    notes: Sequence[str]
    evaluations: Sequence[EvaluationCheck]

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong with what could be checked."""
        return self.count == 0

    @property
    def verified(self) -> bool:
        """Whether nothing is wrong and every score was computed again from the predictions."""
        return self.ok and bool(self.evaluations) and all(row.verified for row in self.evaluations)


def check_bundle(path: Path, labels: Labels | None = None, others: Sequence[tuple[Path, Claim]] = ()) -> CheckReport:
    """Check one bundle, a folder or a zip file.

    Memory does not grow with the size of the bundle, and nothing in it is extracted, imported or unpickled.

    Args:
        path: the bundle.
        labels: where test labels come from; without them no score is verified, and the report says so.
        others: bundles whose method names are taken (from `claims_in`); `path` itself is passed over.
    """
    log, notes, digests = FaultLog(), list[str](), dict[str, Digest]()
    if labels is None:
        notes.append("no labels were given: the scores were NOT verified (use --data or --labels)")
    with open_bundle(path, log) as files:
        if files is None:
            return CheckReport(path.name, None, None, log.sorted(), log.count, [], [])
        specs = load_tasks()
        check_layout(files, log)
        digests |= check_sources(files, log)
        manifest = _manifest(files, [claim for place, claim in others if place != path.resolve()], log)
        kind = manifest["kind"] if manifest else None
        results = _results(files, digests, log)
        checker = EvaluationChecker(files, specs, labels, log, notes, digests)
        evaluations = checker.run(kind, results)
        if manifest is not None:
            notes += _about(manifest)
            folders = {seed for name in files.entries if (seed := scores_seed(name)) is not None}
            check_against_specs(manifest["tasks"], specs, labels, log)
            check_against_runs(manifest, folders, results, log)
            check_digests(manifest, files, digests, log)
    method = manifest["method"]["name"] if manifest else None
    return CheckReport(path.name, method, kind, log.sorted(), log.count, notes, evaluations)


def _manifest(files: BundleFiles, others: Sequence[Claim], log: FaultLog) -> dict[str, Any] | None:
    """The manifest if it is valid; its own faults, a name that is taken and random weights go to `log`."""
    document = read_document(files, MANIFEST, log) if MANIFEST in files else None
    manifest = read_manifest(document[0], log) if document else None
    if manifest is None:
        return None
    conflict = name_conflict(manifest, Claim.of(files.name, manifest), others)
    if conflict:
        log.add("FB039", MANIFEST, "a method name of its own", conflict, field="method.name")
    model = manifest["foundation_model"]
    if model is not None and model["random_weights"]:
        field = "foundation_model.random_weights"
        log.add("FB037", MANIFEST, "pretrained weights", "random weights", field=field)
    return manifest


def _results(files: BundleFiles, digests: dict[str, Digest], log: FaultLog) -> dict[int, Mapping[str, Any]]:
    """Every seed's scores that are a valid record."""
    results = {}
    for path in sorted(files.entries):
        seed = scores_seed(path)
        document = read_document(files, path, log) if seed is not None else None
        if seed is None or document is None:
            continue
        result, digests[path] = document
        faults = result_faults(result, path)
        for fault in faults:
            newer, out_of_range = "newer fedmeki-bench" in fault.fix, ".scores." in fault.field
            out_of_range = out_of_range and fault.expected.split(" ")[0] in ("minimum", "maximum")
            code = "FB030" if newer else "FB078" if out_of_range else "FB070"
            log.add(code, path, fault.expected, fault.found, field=fault.field)
        if not faults:
            results[seed] = result
            if result["seed"] != seed:
                log.add("FB080", path, f"seed {seed}, as in the folder's name", result["seed"], field="seed")
    return results


def _about(manifest: Mapping[str, Any]) -> list[str]:
    """What a reader of the report should know of the bundle's origin."""
    notes = []
    if manifest["kind"] == "predictions-only":
        notes.append("predictions only: made by other code; training and cost are as told, not recorded")
    simulated = sorted(task for task, facts in manifest["tasks"].items() if facts["simulated"])
    if simulated:
        notes.append(f"simulated data, no result about medicine: {', '.join(simulated)}")
    if any(run["provenance"].get("git_dirty") for run in manifest["runs"]):
        notes.append("made by code with uncommitted changes")
    return notes
