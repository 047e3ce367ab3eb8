"""Every prediction file read once, and every stated score computed again from it where there are labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fedmeki_bench.metrics import LabelLike, Prediction
from fedmeki_bench.specs import TaskSpec
from fedmeki_bench.submissions._container import BundleFiles
from fedmeki_bench.submissions._faults import FaultLog
from fedmeki_bench.submissions._labels import Labels
from fedmeki_bench.submissions._layout import PredictionPath, prediction_path, scores_path
from fedmeki_bench.submissions._predictions import FileSummary, check_rows
from fedmeki_bench.submissions._rescore import compare_evaluation, compare_references
from fedmeki_bench.submissions._text import Digest

__all__ = ["EvaluationCheck", "EvaluationChecker"]


@dataclass(frozen=True)
class EvaluationCheck:
    """One evaluation of a bundle: what it states, and whether that was computed again from the predictions.

    Attributes:
        seed: the run's seed.
        protocol: `multi_task`, `single_task` or `zero_shot`.
        task: the task's id.
        n: items answered.
        parse_rate: share of readable answers, as stated.
        scores: metric to value in 0 to 1 (MCC: -1 to 1), as stated; None where undefined.
        verified: whether every number was computed again and agrees.
    """

    seed: int
    protocol: str
    task: str
    n: int
    parse_rate: float | None
    scores: Mapping[str, float | None]
    verified: bool


@dataclass
class EvaluationChecker:
    """Checks the predictions of one bundle.

    Attributes:
        files: the bundle.
        specs: the benchmark's tasks.
        labels: where test labels come from, or None.
        log: takes the faults.
        notes: takes what could not be verified.
        digests: takes the hash of every prediction file.
    """

    files: BundleFiles
    specs: Mapping[str, TaskSpec]
    labels: Labels | None
    log: FaultLog
    notes: list[str]
    digests: dict[str, Digest]

    def run(self, kind: str | None, results: Mapping[int, Mapping[str, Any]]) -> list[EvaluationCheck]:
        """Read every prediction file, match it with its evaluation, score it again.

        Args:
            kind: of the bundle; only runs may be limited to a part of the test items.
            results: the valid records by seed.
        """
        stated = {
            PredictionPath(seed, evaluation["protocol"], evaluation["task"]): evaluation
            for seed, result in results.items()
            for evaluation in result["evaluations"]
        }
        present = sorted(place for path in self.files.entries if (place := prediction_path(path)) is not None)
        checks = []
        for place in present:
            evaluation = stated.get(place)
            checked = self._one(place, evaluation, results.get(place.seed), kind)
            checks += [checked] if checked else []
        blamed = {fault.where.split(":")[0] for fault in self.log.faults}
        for place in sorted(set(stated) - set(present)):
            if place.path not in blamed:
                self.log.add("FB071", scores_path(place.seed), f"the predictions {place.inner}", "none")
        return checks

    def _one(
        self,
        place: PredictionPath,
        evaluation: Mapping[str, Any] | None,
        result: Mapping[str, Any] | None,
        kind: str | None,
    ) -> EvaluationCheck | None:
        spec = self.specs.get(place.task)
        if spec is None:
            self.log.add("FB033", place.path, "a task of the benchmark", place.task)
        elif (spec.role == "zero_shot") != (place.protocol == "zero_shot"):
            wanted = f"a protocol for a {spec.role.replace('_', '-')} task"
            self.log.add("FB041", place.path, wanted, place.protocol)
        known = self._known(spec, evaluation["n"] if evaluation else None)
        summary = FileSummary(Digest())
        predictions = self._read(place.path, spec, known, summary)
        self.digests[place.path] = summary.digest
        if evaluation is None or result is None:
            if result is not None:
                self.log.add("FB071", place.path, f"an evaluation in {scores_path(place.seed)}", "none")
            return None
        self._totals(place, evaluation, summary)
        self._coverage(place, evaluation, result, kind)
        values = {metric: score["value"] for metric, score in evaluation["scores"].items()}
        verified = False
        if spec is not None and known is not None and len(predictions) == len(known):
            verified = self._rescore(place, spec, evaluation, result, known, predictions)
        return EvaluationCheck(
            place.seed,
            place.protocol,
            place.task,
            evaluation["n"],
            evaluation["parse_rate"],
            values,
            verified,
        )

    def _known(self, spec: TaskSpec | None, limit: int | None) -> Sequence[LabelLike] | None:
        """The labels to score with: the test part, or its first items, as many as a limited run answers."""
        if self.labels is None or spec is None:
            return None
        known = self.labels.test_labels(spec.id, limit)
        if known is None:
            note = f"no labels for {spec.id}: its scores were NOT verified"
            self.notes += [note] if note not in self.notes else []
        return known

    def _read(
        self, path: str, spec: TaskSpec | None, known: Sequence[LabelLike] | None, summary: FileSummary
    ) -> dict[str, Prediction]:
        """Read a prediction file once; keep the predictions of the items that are wanted, and only those."""
        wanted = {label.id for label in known or ()}
        predictions: dict[str, Prediction] = {}
        for prediction in check_rows(self.files, path, spec.kind if spec else None, self.log, summary):
            if prediction.id in wanted:
                predictions[prediction.id] = prediction
            elif known is not None:
                self.log.add("FB055", path, "the id of a test item", repr(prediction.id), field="id")
        missing = sorted(wanted - set(predictions))
        if missing:
            found = f"{len(missing)} missing, first {missing[0]!r}"
            self.log.add("FB056", path, f"all {len(wanted)} test items", found)
        return predictions

    def _totals(self, place: PredictionPath, evaluation: Mapping[str, Any], summary: FileSummary) -> None:
        """The scores file and the prediction file speak of the same rows."""
        where, field = scores_path(place.seed), f"{place.protocol}.{place.task}"
        if evaluation["n"] != summary.rows:
            wanted = f"{summary.rows} rows, as in the predictions"
            self.log.add("FB072", where, wanted, evaluation["n"], field=f"{field}.n")
        if evaluation["predictions"] != place.inner:
            self.log.add("FB070", where, place.inner, evaluation["predictions"], field=f"{field}.predictions")
        if evaluation["predictions_sha256"] != summary.digest.sha256:
            found = evaluation["predictions_sha256"]
            self.log.add("FB079", where, summary.digest.sha256, found, field=f"{field}.predictions_sha256")

    def _coverage(
        self,
        place: PredictionPath,
        evaluation: Mapping[str, Any],
        result: Mapping[str, Any],
        kind: str | None,
    ) -> None:
        """All test items are answered, or as many of the first as the run's own limit says."""
        facts = result["tasks"][place.task]
        total, used, n = facts["counts"].get("test"), facts["used"].get("test"), evaluation["n"]
        where, field = scores_path(place.seed), f"{place.protocol}.{place.task}.n"
        if total is None or used is None or n != used or n > total:
            wanted = f"the {used} test items used, of {total}"
            self.log.add("FB072", where, wanted, n, field=field)
        elif n < total:
            limit = result["config"].get("limit")
            limited = kind == "run" and isinstance(limit, Mapping) and limit.get("test") == n
            if not limited:
                self.log.add("FB081", where, f"all {total} test items", n, field=field)
            else:
                note = f"{place.task}: scored on the first {n} of {total} test items, not on all"
                self.notes += [note] if note not in self.notes else []

    def _rescore(
        self,
        place: PredictionPath,
        spec: TaskSpec,
        evaluation: Mapping[str, Any],
        result: Mapping[str, Any],
        known: Sequence[LabelLike],
        predictions: Mapping[str, Prediction],
    ) -> bool:
        """Score again and compare; whether every number of the evaluation was compared and agrees."""
        before = self.log.count
        where, field = scores_path(place.seed), f"{place.protocol}.{place.task}"
        rows = list(predictions.values())
        unverified = compare_evaluation(spec, evaluation, known, rows, where, field, self.log)
        self.notes.extend(f"{place.path}: {reason}" for reason in unverified)
        if self.labels is not None:
            references = self.labels.references(spec, len(known))
            compare_references(spec.id, result["references"].get(spec.id, {}), references, where, self.log)
        return not unverified and self.log.count == before
