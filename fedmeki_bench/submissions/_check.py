"""Checking a bundle: every fault at once, every score again from the predictions, no code of the bundle ever run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fedmeki_bench.metrics import LabelLike, Prediction
from fedmeki_bench.specs import TaskSpec, load_tasks
from fedmeki_bench.specs._result import result_faults
from fedmeki_bench.submissions._container import BundleFiles, open_bundle
from fedmeki_bench.submissions._faults import BundleFault, FaultLog
from fedmeki_bench.submissions._inventory import check_digests, check_layout, check_sources
from fedmeki_bench.submissions._labels import Labels
from fedmeki_bench.submissions._layout import PredictionPath, prediction_path, scores_path, scores_seed
from fedmeki_bench.submissions._manifest import MANIFEST, derived_fields, read_manifest
from fedmeki_bench.submissions._names import Claim, name_conflict
from fedmeki_bench.submissions._predictions import FileSummary, check_rows
from fedmeki_bench.submissions._rescore import compare_evaluation, compare_references
from fedmeki_bench.submissions._text import Digest, read_document

__all__ = ["CheckReport", "EvaluationCheck", "check_bundle"]


@dataclass(frozen=True)
class EvaluationCheck:
    """One evaluation of a bundle: what it states, and whether that was computed again from the predictions."""

    seed: int
    protocol: str
    task: str
    n: int
    parse_rate: float | None
    scores: Mapping[str, float | None]
    verified: bool


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
        return (
            self.ok and bool(self.evaluations) and all(evaluation.verified for evaluation in self.evaluations)
        )


def check_bundle(
    path: Path, labels: Labels | None = None, others: Sequence[tuple[Path, Claim]] = ()
) -> CheckReport:
    """Check one bundle, a folder or a zip file.

    Memory does not grow with the size of the bundle, and nothing in it is extracted, imported or unpickled.

    Args:
        path: the bundle.
        labels: where test labels come from; without them the scores cannot be verified, and the report says so.
        others: bundles whose method names are taken (from `claims_in`); `path` itself is passed over.
    """
    log = FaultLog()
    with open_bundle(path, log) as files:
        if files is None:
            return CheckReport(path.name, None, None, log.sorted(), log.count, [], [])
        check = _Check(files, labels, log, load_tasks())
        check.run([claim for place, claim in others if place != path.resolve()])
        manifest = check.manifest
    return CheckReport(
        path.name,
        manifest["method"]["name"] if manifest else None,
        manifest["kind"] if manifest else None,
        log.sorted(),
        log.count,
        check.notes,
        check.evaluations,
    )


@dataclass
class _Check:
    """One check in progress."""

    files: BundleFiles
    labels: Labels | None
    log: FaultLog
    specs: Mapping[str, TaskSpec]
    manifest: dict[str, Any] | None = None
    notes: list[str] = field(default_factory=list)
    evaluations: list[EvaluationCheck] = field(default_factory=list)
    digests: dict[str, Digest] = field(default_factory=dict)

    def run(self, others: Sequence[Claim]) -> None:
        """Look at everything; a fault in one place does not hide those in another."""
        check_layout(self.files, self.log)
        self.digests = check_sources(self.files, self.log)
        self._read_manifest(others)
        results = self._read_results()
        self._check_predictions(results)
        if self.manifest is not None:
            self._check_against_runs(self.manifest, results)
            check_digests(self.manifest, self.files, self.digests, self.log)
        if self.labels is None:
            self.notes.insert(
                0, "no labels were given: the scores were NOT verified (use --data or --labels)"
            )

    def _read_manifest(self, others: Sequence[Claim]) -> None:
        document = read_document(self.files, MANIFEST, self.log) if MANIFEST in self.files else None
        self.manifest = read_manifest(document[0], self.log) if document else None
        if self.manifest is None:
            return
        conflict = name_conflict(self.manifest, Claim.of(self.files.name, self.manifest), others)
        if conflict:
            self.log.add("FB039", MANIFEST, "a method name of its own", conflict, field="method.name")
        model = self.manifest["foundation_model"]
        if model is not None and model["random_weights"]:
            self.log.add(
                "FB037",
                MANIFEST,
                "pretrained weights",
                "random weights",
                field="foundation_model.random_weights",
            )
        self._check_tasks(self.manifest["tasks"])
        self._note_kind(self.manifest)

    def _note_kind(self, manifest: Mapping[str, Any]) -> None:
        if manifest["kind"] == "predictions-only":
            self.notes.append(
                "predictions only: made by other code; training and cost are as told, not recorded"
            )
        simulated = sorted(task for task, facts in manifest["tasks"].items() if facts["simulated"])
        if simulated:
            self.notes.append(f"simulated data, no result about medicine: {', '.join(simulated)}")
        if any(run["provenance"].get("git_dirty") for run in manifest["runs"]):
            self.notes.append("made by code with uncommitted changes")

    def _check_tasks(self, tasks: Mapping[str, Mapping[str, Any]]) -> None:
        """The specs and splits of the bundle are those of this installation and, where labels are given, of the store."""
        for task, facts in tasks.items():
            spec = self.specs.get(task)
            if spec is None:
                self.log.add("FB033", MANIFEST, "a task of the benchmark", task, field=f"tasks.{task}")
                continue
            if facts["spec_version"] != spec.version:
                self.log.add(
                    "FB034", MANIFEST, spec.version, facts["spec_version"], field=f"tasks.{task}.spec_version"
                )
            elif facts["spec_hash"] != spec.hash:
                self.log.add(
                    "FB035", MANIFEST, spec.hash, facts["spec_hash"], field=f"tasks.{task}.spec_hash"
                )
            elif facts["source"] != spec.source:
                self.log.add("FB035", MANIFEST, spec.source, facts["source"], field=f"tasks.{task}.source")
            if facts["split_scheme"] != spec.split.scheme:
                self.log.add(
                    "FB036",
                    MANIFEST,
                    spec.split.scheme,
                    facts["split_scheme"],
                    field=f"tasks.{task}.split_scheme",
                )
            known = self.labels.split_hash(task) if self.labels else None
            if known is not None and facts["split_hash"] != known:
                self.log.add(
                    "FB036",
                    MANIFEST,
                    f"{known}, as in the store",
                    facts["split_hash"],
                    field=f"tasks.{task}.split_hash",
                )

    def _read_results(self) -> dict[int, dict[str, Any]]:
        """Every seed's scores that are valid records."""
        results = {}
        for path in sorted(self.files.entries):
            seed = scores_seed(path)
            document = read_document(self.files, path, self.log) if seed is not None else None
            if seed is None or document is None:
                continue
            result, self.digests[path] = document
            faults = result_faults(result, path)
            for fault in faults:
                out_of_range = ".scores." in f".{fault.field}" and fault.expected.split(" ")[0] in (
                    "minimum",
                    "maximum",
                )
                code = "FB030" if "newer fedmeki-bench" in fault.fix else "FB078" if out_of_range else "FB070"
                self.log.add(code, path, fault.expected, fault.found, field=fault.field)
            if not faults:
                results[seed] = result
            if not faults and result["seed"] != seed:
                self.log.add(
                    "FB080", path, f"seed {seed}, as in the folder's name", result["seed"], field="seed"
                )
        return results

    def _check_against_runs(
        self, manifest: Mapping[str, Any], results: Mapping[int, Mapping[str, Any]]
    ) -> None:
        """The manifest says of the runs what the runs' records say themselves, and the runs agree with each other."""
        folders = {scores_seed(path) for path in self.files.entries} - {None}
        if set(manifest["seeds"]) != folders or len(set(manifest["seeds"])) != len(manifest["seeds"]):
            found = ", ".join(map(str, sorted(seed for seed in folders if seed is not None))) or "none"
            self.log.add(
                "FB038", MANIFEST, f"the seeds of the folders: {found}", manifest["seeds"], field="seeds"
            )
        identities = [result["run_id"] for result in results.values()]
        if len(set(identities)) != len(identities):
            self.log.add("FB042", MANIFEST, "one run a seed", "the same run under two seeds", field="runs")
        if set(results) != set(manifest["seeds"]):
            return
        costs = manifest["kind"] == "run"
        for name, expected in derived_fields(list(results.values()), costs=costs).items():
            for field, wanted, found in _differences(expected, manifest[name], name):
                self.log.add("FB038", MANIFEST, f"{wanted}, as in the scores", found, field=field)
        for seed, result in results.items():
            one = derived_fields([result], costs=costs)
            shared = {name: one[name] for name in one if name not in ("seeds", "runs", "tasks")}
            shared["method"] = {"name": manifest["method"]["name"], "config": manifest["method"]["config"]}
            for name, value in shared.items():
                stated = result["method"] if name == "method" else manifest[name]
                for field, wanted, found in (
                    _differences(stated, value, name) if len(results) > 1 or name == "method" else ()
                ):
                    self.log.add("FB042", scores_path(seed), wanted, found, field=field)

    def _check_predictions(self, results: Mapping[int, Mapping[str, Any]]) -> None:
        stated = {
            PredictionPath(seed, evaluation["protocol"], evaluation["task"]): evaluation
            for seed, result in results.items()
            for evaluation in result["evaluations"]
        }
        present = {
            path: parsed for path in self.files.entries if (parsed := prediction_path(path)) is not None
        }
        for path, place in sorted(present.items()):
            evaluation = stated.get(place)
            summary = FileSummary(Digest())
            spec = self.specs.get(place.task)
            known, predictions = self._pass_over(path, spec, summary)
            self.digests[path] = summary.digest
            self._check_place(path, place, spec)
            if evaluation is None:
                if place.seed in results:
                    self.log.add("FB071", path, f"an evaluation in {scores_path(place.seed)}", "none")
                continue
            facts = results[place.seed]["tasks"][place.task]
            self._check_totals(place, evaluation, facts, summary)
            verified = spec is not None and self._rescore(
                place, spec, evaluation, results[place.seed], known, predictions
            )
            values = {metric: score["value"] for metric, score in evaluation["scores"].items()}
            self.evaluations.append(
                EvaluationCheck(
                    place.seed,
                    place.protocol,
                    place.task,
                    evaluation["n"],
                    evaluation["parse_rate"],
                    values,
                    verified,
                )
            )
        for place in sorted(set(stated) - set(present.values())):
            if not any(fault.where.split(":")[0] == place.path for fault in self.log.faults):
                self.log.add("FB071", scores_path(place.seed), f"the predictions {place.inner}", "none")

    def _pass_over(
        self, path: str, spec: TaskSpec | None, summary: FileSummary
    ) -> tuple[Sequence[LabelLike] | None, dict[str, Prediction]]:
        """Read a prediction file once; keep the predictions of the task's own test items, and only those."""
        known = self.labels.test_labels(spec.id) if self.labels and spec else None
        wanted = {label.id for label in known or ()}
        predictions: dict[str, Prediction] = {}
        for prediction in check_rows(self.files, path, spec.kind if spec else None, self.log, summary):
            if prediction.id in wanted:
                predictions[prediction.id] = prediction
            elif known is not None:
                self.log.add("FB055", path, "the id of a test item", repr(prediction.id), field="id")
        if known is not None and len(predictions) < len(known):
            missing = sorted(wanted - set(predictions))
            self.log.add(
                "FB056", path, f"all {len(known)} test items", f"{len(missing)} missing, first {missing[0]!r}"
            )
        return known, predictions

    def _check_place(self, path: str, place: PredictionPath, spec: TaskSpec | None) -> None:
        if spec is None:
            self.log.add("FB033", path, "a task of the benchmark", place.task)
        elif (spec.role == "zero_shot") != (place.protocol == "zero_shot"):
            self.log.add(
                "FB041", path, f"a protocol for a {spec.role.replace('_', '-')} task", place.protocol
            )

    def _check_totals(
        self,
        place: PredictionPath,
        evaluation: Mapping[str, Any],
        facts: Mapping[str, Any],
        summary: FileSummary,
    ) -> None:
        """The scores file and the prediction file speak of the same rows."""
        where, field = scores_path(place.seed), f"{place.protocol}.{place.task}"
        if evaluation["n"] != summary.rows:
            self.log.add(
                "FB072",
                where,
                f"{summary.rows} rows, as in the predictions",
                evaluation["n"],
                field=f"{field}.n",
            )
        if evaluation["predictions"] != place.inner:
            self.log.add("FB070", where, place.inner, evaluation["predictions"], field=f"{field}.predictions")
        if evaluation["predictions_sha256"] != summary.digest.sha256:
            found = evaluation["predictions_sha256"]
            self.log.add("FB079", where, summary.digest.sha256, found, field=f"{field}.predictions_sha256")
        total = facts["counts"].get("test")
        if total is not None and evaluation["n"] < total:
            self.log.add("FB081", where, f"all {total} test items", evaluation["n"], field=f"{field}.n")
        elif total is not None and evaluation["n"] > total:
            self.log.add("FB072", where, f"at most {total} test items", evaluation["n"], field=f"{field}.n")

    def _rescore(
        self,
        place: PredictionPath,
        spec: TaskSpec,
        evaluation: Mapping[str, Any],
        result: Mapping[str, Any],
        known: Sequence[LabelLike] | None,
        predictions: Mapping[str, Prediction],
    ) -> bool:
        """Score again and compare; whether every number of the evaluation could be compared."""
        if known is None:
            if self.labels is not None:
                self.notes.append(f"no labels for {place.task}: its scores were NOT verified")
            return False
        if len(predictions) != len(known):
            return False
        where, field = scores_path(place.seed), f"{place.protocol}.{place.task}"
        unverified = compare_evaluation(
            spec, evaluation, known, list(predictions.values()), where, field, self.log
        )
        self.notes.extend(f"{place.path}: {reason}" for reason in unverified)
        if self.labels is not None:
            compare_references(
                spec.id, result["references"].get(spec.id, {}), self.labels.references(spec), where, self.log
            )
        return not unverified


def _differences(expected: Any, found: Any, field: str) -> list[tuple[str, Any, Any]]:
    """(field, expected, found) of every leaf in which two JSON values differ; types count (1 is not true)."""
    if isinstance(expected, Mapping) and isinstance(found, Mapping):
        names = sorted(set(expected) | set(found))
        return [
            difference
            for name in names
            for difference in _differences(
                expected.get(name, "nothing"), found.get(name, "nothing"), f"{field}.{name}"
            )
        ]
    if isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        pairs = zip(expected, found, strict=True)
        return [
            difference
            for index, (a, b) in enumerate(pairs)
            for difference in _differences(a, b, f"{field}.{index}")
        ]
    same = expected == found and isinstance(expected, bool) == isinstance(found, bool)
    return [] if same else [(field, expected, found)]
