"""From answers and labels to per-item statistics: the one place where text is read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from fedmeki_bench.errors import BenchError
from fedmeki_bench.metrics import generation, legacy
from fedmeki_bench.metrics._types import ItemStatistics, LabelLike, Prediction, Scoring
from fedmeki_bench.metrics.answers import read_text, read_yes_no
from fedmeki_bench.metrics.classification import SOFT_METRICS, undefined_for_labels
from fedmeki_bench.metrics.legacy import LegacyQuirks
from fedmeki_bench.metrics.meteor import meteor
from fedmeki_bench.specs import TaskSpec

__all__ = ["LEGACY_TEXT_METRICS", "TEXT_METRICS", "item_statistics"]

TEXT_METRICS = (*generation.BLEU_METRICS, *generation.ROUGE_METRICS, "meteor", "exact_match", "token_f1")
"""Metrics of a text task under strict scoring, before their closed and open variants."""

LEGACY_TEXT_METRICS = ("bleu", "rouge1", "meteor")
"""The three metrics of a text task that the release computes."""


def item_statistics(
    spec: TaskSpec,
    labels: Sequence[LabelLike],
    predictions: Sequence[Prediction],
    scoring: Scoring = "strict",
    *,
    quirks: LegacyQuirks | None = None,
    metrics: Sequence[str] | None = None,
) -> ItemStatistics:
    """Per-item statistics of predictions on their labels, in the labels' order.

    Args:
        spec: the task.
        labels: the labels; those without a prediction are left out (the caller has decided that this is meant).
        predictions: one for each label, in any order.
        scoring: `strict`, or `legacy` for the release's rules.
        quirks: legacy switches, all on by default; only with `legacy`.
        metrics: text tasks: compute only these (without suffix), for instance all but METEOR, which is slow.

    Raises:
        BenchError: a prediction for an item that has no label, or two for one item (`read_predictions` reports
            these with their lines); a target of a yes/no task that is neither; a score that is no probability.
    """
    answers = {prediction.id: prediction for prediction in predictions}
    known = {label.id for label in labels}
    if len(answers) != len(predictions) or not answers.keys() <= known or len(known) != len(labels):
        repeated = [name for name, count in Counter(p.id for p in predictions).items() if count > 1]
        raise BenchError(
            f"the predictions do not belong to these labels of {spec.id}",
            expected="one prediction and one label an id",
            found=f"unknown ids {sorted(answers.keys() - known)[:3]}, repeated ids {repeated[:3]}",
        )
    rows = [(label, answers[label.id]) for label in labels if label.id in answers]
    codes: dict[str, int] = {}
    groups = np.array([codes.setdefault(label.group, len(codes)) for label, _ in rows], dtype=np.int64)
    ids = [label.id for label, _ in rows]
    if spec.kind == "yes_no":
        return _yes_no(spec, rows, ids, groups, (quirks or LegacyQuirks()) if scoring == "legacy" else None)
    if scoring == "legacy":
        return _legacy_text(spec, rows, ids, groups, quirks or LegacyQuirks(), metrics)
    return _text(spec, rows, ids, groups, metrics)


Rows = Sequence[tuple[LabelLike, Prediction]]


def _yes_no(
    spec: TaskSpec, rows: Rows, ids: Sequence[str], groups: NDArray[np.int64], quirks: LegacyQuirks | None
) -> ItemStatistics:
    _check_targets(spec, rows)
    y_true = np.array([label.target == "yes" for label, _ in rows], dtype=np.bool_)
    positive, negative = spec.answer.positive or "Yes", spec.answer.negative or "No"
    read: dict[str, bool | None] = {}
    for answer in {prediction.answer for _, prediction in rows}:
        read[answer] = (
            read_yes_no(answer, positive=positive, negative=negative)
            if quirks is None
            else legacy.legacy_yes_no(answer, quirks)
        )
    readings = [read[prediction.answer] for _, prediction in rows]
    parsed = np.array([reading is not None for reading in readings], dtype=np.bool_)
    if quirks is not None and quirks.unreadable_rewrites_truth:
        y_true = y_true & parsed
    # An answer nobody can read is wrong whatever the truth: it stands as the truth's opposite.
    y_pred = np.where(parsed, np.array([bool(reading) for reading in readings], dtype=np.bool_), ~y_true)
    undefined = undefined_for_labels(y_true)
    values = [prediction.score for _, prediction in rows]
    given = [value for value in values if value is not None]
    score = np.array(given, dtype=np.float64) if rows and len(given) == len(rows) and quirks is None else None
    if score is None:
        reason = "no option scores" if not given else f"{len(rows) - len(given)} of {len(rows)} items have no score"
        reason = reason if quirks is None else "the release has no option scores"
        undefined |= dict.fromkeys(SOFT_METRICS, reason)
    elif not ((score >= 0.0) & (score <= 1.0)).all():
        raise BenchError(
            f"option scores of {spec.id} are no probabilities",
            expected="0 to 1",
            found=f"{score.min():g} to {score.max():g}",
        )
    return ItemStatistics(spec.id, "yes_no", ids, groups, parsed, y_true, y_pred, score, undefined=undefined)


def _check_targets(spec: TaskSpec, rows: Rows) -> None:
    """Refuse labels of another kind of task: they would all count as negative."""
    other = next((label for label, _ in rows if label.target not in ("yes", "no")), None)
    if other is not None:
        raise BenchError(
            f"{spec.id} is a yes/no task, and these are not its labels",
            where=f"label {other.id}",
            expected="yes or no",
            found=repr(other.target),
        )


def _per_pair(
    pairs: Sequence[tuple[str, str]], names: Sequence[str], compute: Callable[[str, str], Mapping[str, float]]
) -> dict[str, NDArray[np.float64]]:
    # Benchmarks repeat few answers many times: each different pair is computed once.
    computed = {pair: compute(*pair) for pair in dict.fromkeys(pairs)}
    return {name: np.array([computed[pair][name] for pair in pairs], dtype=np.float64) for name in names}


def _text(
    spec: TaskSpec, rows: Rows, ids: Sequence[str], groups: NDArray[np.int64], metrics: Sequence[str] | None
) -> ItemStatistics:
    names = [name for name in TEXT_METRICS if metrics is None or name in metrics]

    def compute(reference: str, answer: str) -> Mapping[str, float]:
        if not answer:
            return dict.fromkeys(TEXT_METRICS, 0.0)
        words, found = generation.tokenise(reference), generation.tokenise(answer)
        values = {**generation.bleu_scores(words, found), **generation.rouge_scores(reference, answer)}
        values["exact_match"] = generation.exact_match(reference, answer)
        values["token_f1"] = generation.token_f1(reference, answer)
        return values | {"meteor": meteor(words, found)} if "meteor" in names else values

    answers = [read_text(prediction.answer) or "" for _, prediction in rows]
    pairs = [(label.target, answer) for (label, _), answer in zip(rows, answers, strict=True)]
    values = _per_pair(pairs, names, compute)
    undefined: dict[str, str] = dict.fromkeys(names, "no items") if not rows else {}
    types = np.array([label.question_type or "" for label, _ in rows], dtype=np.str_)
    for question_type in ("closed", "open"):
        of_type = types == question_type
        for name in names:
            if of_type.any():
                values[f"{name}_{question_type}"] = np.where(of_type, values[name], np.nan)
            elif (types != "").any():
                undefined[f"{name}_{question_type}"] = f"no {question_type} question among the items"
    parsed = np.array([bool(answer) for answer in answers], dtype=np.bool_)
    return ItemStatistics(spec.id, "text", ids, groups, parsed, text=values, undefined=undefined)


def _legacy_text(
    spec: TaskSpec,
    rows: Rows,
    ids: Sequence[str],
    groups: NDArray[np.int64],
    quirks: LegacyQuirks,
    metrics: Sequence[str] | None,
) -> ItemStatistics:
    names = [name for name in LEGACY_TEXT_METRICS if metrics is None or name in metrics]

    def compute(reference: str, answer: str) -> Mapping[str, float]:
        values = {
            "bleu": legacy.legacy_bleu(reference, answer, quirks),
            "rouge1": legacy.legacy_rouge1(reference, answer, quirks),
        }
        if "meteor" in names:
            words, found = legacy.legacy_tokens(reference, quirks), legacy.legacy_tokens(answer, quirks)
            values["meteor"] = meteor(words, found)
        return values

    answers = [legacy.legacy_text(prediction.answer, quirks) for _, prediction in rows]
    pairs = [(label.target.lower(), answer) for (label, _), answer in zip(rows, answers, strict=True)]
    values = _per_pair(pairs, names, compute)
    parsed = np.array([bool(answer.strip()) for answer in answers], dtype=np.bool_)
    undefined: dict[str, str] = dict.fromkeys(names, "no items") if not rows else {}
    if "meteor" in names and quirks.meteor_skips_empty:
        values["meteor"] = np.where(parsed, values["meteor"], np.nan)
        if rows and not parsed.any():
            undefined["meteor"] = "every answer is empty, and the release leaves empty answers out"
    return ItemStatistics(spec.id, "text", ids, groups, parsed, text=values, undefined=undefined)
