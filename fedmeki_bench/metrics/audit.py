"""Checks of printed result tables: what must hold for any numbers computed from one confusion matrix, and
does not.

Each check takes printed rows and gives findings; none of them needs predictions. A printed number stands for
everything it could have been rounded or cut off from (`printed_range`), so a finding is never a matter of
rounding.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from fedmeki_bench.metrics.published import (
    AxisMaximum,
    LabelCounts,
    Partition,
    PrintedRow,
    Published,
    printed_range,
)

__all__ = ["CHECKS", "Confusion", "Finding", "audit", "confusion_for", "misprint_for"]

Check = Literal["f1", "total", "constant", "below_constant", "counts", "repeated", "reprinted", "order"]

CHECKS: Mapping[Check, str] = {
    "f1": "F1 that does not follow from its precision and recall",
    "total": "Totals that are not the sum of their parts",
    "constant": "Rows that are a constant answer",
    "below_constant": "Accuracies below the better constant answer",
    "counts": "Rows that no confusion matrix over the released test set gives",
    "repeated": "Different settings with the same numbers",
    "reprinted": "One setting printed with different numbers",
    "order": "Ablation rows in opposite order in two tables",
}
"""Every check with its heading, in the order of the report."""

EPSILON = 1e-9
"""Slack of comparisons between decimal fractions held in binary."""


@dataclass(frozen=True)
class Finding:
    """One thing a check found.

    Attributes:
        check: which check.
        places: where it is printed; several if it is printed several times.
        statement: what is wrong, in a sentence with the numbers.
        details: the numbers by name, for machines.
    """

    check: Check
    places: tuple[str, ...]
    statement: str
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Confusion:
    """A confusion matrix: counts of the four outcomes."""

    tp: int
    fp: int
    fn: int
    tn: int


def audit(published: Published, labels: Mapping[str, LabelCounts]) -> list[Finding]:
    """Every finding of every check, in the order of `CHECKS`.

    Args:
        published: what the papers print.
        labels: items and positives of the test sets, by task; tasks that are absent are not held against
            constants or counts.
    """
    sizes = {
        partition.task: partition.parts["test"]
        for partition in published.partitions
        if "test" in partition.parts
    }
    return [
        *_f1(published.rows),
        *_totals(published.partitions),
        *_constants(published.rows, labels),
        *_below_constants(published, labels),
        *_counts(published.rows, labels, sizes),
        *_repeated(published.rows),
        *_reprinted(published.rows),
        *_order(published.rows),
    ]


def _within(value: float, printed: float) -> bool:
    low, high = printed_range(printed)
    return low - EPSILON <= value <= high + EPSILON


def _harmonic(precision: float, recall: float) -> float:
    return 2 * precision * recall / (precision + recall) if precision + recall > 0 else 0.0


def _f1_follows(row: PrintedRow) -> bool:
    low, high = (
        [max(0.0, printed_range(row.values[name])[end]) for name in ("precision", "recall")] for end in (0, 1)
    )
    f1_low, f1_high = printed_range(row.values["f1"])
    return f1_low - EPSILON <= _harmonic(*high) and _harmonic(*low) <= f1_high + EPSILON


def _has(row: PrintedRow, *metrics: str) -> bool:
    return all(metric in row.values for metric in metrics)


def _f1(rows: Sequence[PrintedRow]) -> Iterator[Finding]:
    places: dict[tuple[object, ...], list[PrintedRow]] = {}
    for row in rows:
        if _has(row, "precision", "recall", "f1") and not _f1_follows(row):
            cell = (row.setting, *(row.values[name] for name in ("precision", "recall", "f1")))
            places.setdefault(cell, []).append(row)
    for same in places.values():
        values = same[0].values
        expected = _harmonic(values["precision"], values["recall"])
        yield Finding(
            "f1",
            tuple(row.where for row in same),
            f"F1 is printed as {values['f1']:.2f}; precision {values['precision']:.2f} and recall "
            f"{values['recall']:.2f} give {expected:.2f}",
            {
                "precision": values["precision"],
                "recall": values["recall"],
                "printed": values["f1"],
                "expected": expected,
            },
        )


def _totals(partitions: Sequence[Partition]) -> Iterator[Finding]:
    for partition in partitions:
        total = sum(partition.parts.values())
        if total != partition.total:
            parts = " + ".join(f"{count}" for count in partition.parts.values())
            yield Finding(
                "total",
                (f"table of counts, {partition.task}",),
                f"the total is printed as {partition.total}; {parts} = {total}",
                {"printed": partition.total, "sum": total, "parts": dict(partition.parts)},
            )


def _constant_rows(counts: LabelCounts) -> dict[str, dict[str, float]]:
    share = 100 * counts.prevalence
    yes = {"accuracy": share, "precision": share, "recall": 100.0, "f1": _harmonic(share, 100.0)}
    return {
        "always yes": yes,
        "always no": {"accuracy": 100 - share, "precision": 0.0, "recall": 0.0, "f1": 0.0},
    }


def _constants(rows: Sequence[PrintedRow], labels: Mapping[str, LabelCounts]) -> Iterator[Finding]:
    for row in rows:
        counts = labels.get(row.task)
        if counts is None or not _has(row, "accuracy", "precision", "recall", "f1"):
            continue
        for answer, values in _constant_rows(counts).items():
            if all(_within(values[name], row.values[name]) for name in values):
                printed = " / ".join(f"{row.values[name]:.2f}" for name in values)
                yield Finding(
                    "constant",
                    (row.where,),
                    f"{printed} (accuracy / precision / recall / F1): the row of answering {answer}, with "
                    f"{counts.positives} of {counts.n} items positive",
                    {"answer": answer, **row.values},
                )


def _below_constants(published: Published, labels: Mapping[str, LabelCounts]) -> Iterator[Finding]:
    printed: list[tuple[str, str, float]] = [
        (row.task, row.where, row.values["accuracy"]) for row in published.rows if "accuracy" in row.values
    ]
    printed += [
        (axis.task, _axis_place(axis), axis.value) for axis in published.axes if axis.metric == "accuracy"
    ]
    for task, place, accuracy in printed:
        if task not in labels:
            continue
        share = 100 * labels[task].prevalence
        constant, answer = max((share, "always yes"), (100 - share, "always no"))
        if printed_range(accuracy)[1] < constant - EPSILON:
            yield Finding(
                "below_constant",
                (place,),
                f"accuracy {accuracy:.2f}; {answer} gives {constant:.2f}",
                {"task": task, "accuracy": accuracy, "constant": constant, "answer": answer},
            )


def _axis_place(axis: AxisMaximum) -> str:
    return f"{axis.figure}, {axis.task}, best row on {axis.backbone}"


def confusion_for(row: PrintedRow, n: int, positives: int) -> Confusion | None:
    """A confusion matrix of n items with the given positives that would be printed as this row, or None.

    F1 counts as a condition only where it follows from precision and recall; where it does not, it is a
    finding of its own. Rows that are means over several runs need not have one.
    """
    recall, accuracy = printed_range(row.values["recall"]), printed_range(row.values["accuracy"])
    with_f1 = _f1_follows(row)
    negatives = n - positives
    for tp in _whole(recall[0] * positives / 100, recall[1] * positives / 100, 0, positives):
        # Bounds of the false positives that accuracy allows; precision and F1 then decide among the few left.
        right_low, right_high = accuracy[0] * n / 100, accuracy[1] * n / 100
        for fp in _whole(tp + negatives - right_high, tp + negatives - right_low, 0, negatives):
            claimed = tp + fp
            if not _within(100 * tp / claimed if claimed else 0.0, row.values["precision"]):
                continue
            if with_f1 and not _within(200 * tp / (claimed + positives), row.values["f1"]):
                continue
            return Confusion(tp=tp, fp=fp, fn=positives - tp, tn=negatives - fp)
    return None


def _whole(low: float, high: float, smallest: int, largest: int) -> range:
    return range(max(smallest, math.ceil(low - EPSILON)), min(largest, math.floor(high + EPSILON)) + 1)


def misprint_for(row: PrintedRow, counts: LabelCounts) -> tuple[str, float] | None:
    """The one metric that spoils a row, and the value with which all the others fit the released labels; or
    None.

    Accuracy, precision and recall are left out in turn. The answer is given only if it is the same to two
    decimals for every confusion matrix that fits the other three numbers.
    """
    tp = np.arange(counts.positives + 1, dtype=np.float64)[:, None]
    fp = np.arange(counts.n - counts.positives + 1, dtype=np.float64)[None, :]
    claimed = tp + fp
    computed = {
        "accuracy": 100 * (tp + counts.n - counts.positives - fp) / counts.n,
        "precision": 100 * tp / np.maximum(claimed, 1),
        "recall": 100 * tp / counts.positives + 0 * fp,
        "f1": 200 * tp / (claimed + counts.positives),
    }
    fits = {}
    for name, values in computed.items():
        low, high = printed_range(row.values[name])
        fits[name] = (values >= low - EPSILON) & (values <= high + EPSILON)
    answers = set()
    for left_out in ("accuracy", "precision", "recall"):
        others = np.logical_and.reduce([fits[name] for name in computed if name != left_out])
        answers |= {(left_out, round(float(value), 2)) for value in computed[left_out][others]}
    return answers.pop() if len(answers) == 1 else None


def _counts(
    rows: Sequence[PrintedRow], labels: Mapping[str, LabelCounts], sizes: Mapping[str, int]
) -> Iterator[Finding]:
    grouped: dict[tuple[object, ...], list[PrintedRow]] = {}
    for row in rows:
        if row.task in labels and _has(row, "accuracy", "precision", "recall", "f1"):
            grouped.setdefault((row.setting, *sorted(row.values.items())), []).append(row)
    for same in grouped.values():
        row, counts = same[0], labels[same[0].task]
        if confusion_for(row, counts.n, counts.positives):
            continue
        tried = sorted({counts.n, sizes.get(row.task, counts.n)})
        other = [
            (n, positives) for n in tried for positives in range(1, n) if confusion_for(row, n, positives)
        ]
        nearest = min(other, key=lambda found: abs(found[1] - counts.positives), default=None)
        misprint = misprint_for(row, counts)
        printed = " / ".join(f"{row.values[name]:.2f}" for name in ("accuracy", "precision", "recall", "f1"))
        verdict = f"impossible with the released {counts.positives} positives of {counts.n}"
        if nearest:
            verdict += f"; another split would do, at the nearest {nearest[1]} positives of {nearest[0]}"
        else:
            verdict += f", and with any number of positives of {' or '.join(map(str, tried))}"
        if misprint:
            verdict += f"; all else fits if {misprint[0]} were {misprint[1]:.2f}"
        yield Finding(
            "counts",
            tuple(row.where for row in same),
            f"{printed} (accuracy / precision / recall / F1): {verdict}",
            {
                **row.values,
                "released": {"n": counts.n, "positives": counts.positives},
                "nearest": {"n": nearest[0], "positives": nearest[1]} if nearest else None,
                "misprint": {"metric": misprint[0], "value": misprint[1]} if misprint else None,
            },
        )


def _repeated(rows: Sequence[PrintedRow]) -> Iterator[Finding]:
    grouped: dict[tuple[object, ...], list[PrintedRow]] = {}
    for row in rows:
        if len(row.values) > 1:
            grouped.setdefault((row.task, *sorted(row.values.items())), []).append(row)
    for same in grouped.values():
        settings = {row.setting for row in same}
        if len(settings) > 1:
            printed = " / ".join(f"{value:.2f}" for value in same[0].values.values())
            names = "; ".join(
                f"{method} on {backbone} ({protocol})" for protocol, _, backbone, method in sorted(settings)
            )
            yield Finding(
                "repeated",
                tuple(row.where for row in same),
                f"{same[0].task}: {printed} for {len(settings)} settings: {names}",
                {
                    "task": same[0].task,
                    "settings": [list(setting) for setting in sorted(settings)],
                    **same[0].values,
                },
            )


def _reprinted(rows: Sequence[PrintedRow]) -> Iterator[Finding]:
    grouped: dict[tuple[str, ...], list[PrintedRow]] = {}
    for row in rows:
        grouped.setdefault(row.setting, []).append(row)
    for same in grouped.values():
        for metric in same[0].values:
            printed = [(row.where, row.values[metric]) for row in same if metric in row.values]
            if len({value for _, value in printed}) > 1:
                numbers = ", ".join(f"{value:.2f}" for _, value in printed)
                places = tuple(place for place, _ in printed)
                yield Finding("reprinted", places, f"{metric} is printed as {numbers}", {"metric": metric})


def _order(rows: Sequence[PrintedRow], one: str = "fedkim_t", other: str = "fedkim_m") -> Iterator[Finding]:
    f1 = {(row.table, row.task, row.method): row.values["f1"] for row in rows if "f1" in row.values}
    both = [(table, task) for table, task, method in f1 if method == one and (table, task, other) in f1]
    gaps = {(table, task): f1[table, task, one] - f1[table, task, other] for table, task in both}
    if min(gaps.values(), default=0.0) < 0 < max(gaps.values(), default=0.0):
        pairs = [f"{f1[(*place, one)]:.2f} and {f1[(*place, other)]:.2f} in {place[0]}" for place in gaps]
        yield Finding(
            "order",
            tuple(f"{table}, {task}" for table, task in gaps),
            f"F1 of {one} and {other}: {', '.join(pairs)}. The two rows are known to be swapped between "
            "these tables; the numbers alone cannot tell which table has them right",
            {f"{table}, {task}": gap for (table, task), gap in gaps.items()},
        )
