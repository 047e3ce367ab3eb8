"""The plain values that scoring takes and gives: rows in, per-item statistics between, scores out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

__all__ = ["ItemStatistics", "LabelLike", "LabelRow", "Prediction", "Score", "Scoring", "TaskScores"]

Scoring = Literal["strict", "legacy"]
"""`strict` is this project's scoring; `legacy` is the public release's, quirks and all (see `legacy.py`)."""


class LabelLike(Protocol):
    """What scoring needs to know of a labelled item; `LabelRow` and the prepared store's labels both fit."""

    @property
    def id(self) -> str:
        """The item's id, as in predictions."""

    @property
    def target(self) -> str:
        """`yes` or `no` for yes/no tasks, else the reference answer."""

    @property
    def group(self) -> str:
        """Patient, image, record or stay: the unit that intervals resample."""

    @property
    def question_type(self) -> str | None:
        """`closed` or `open` where the source says so."""


@dataclass(frozen=True)
class LabelRow:
    """One labelled item: id, target, group (patient, image ...) and the question's type where known."""

    id: str
    target: str
    group: str
    question_type: str | None = None


@dataclass(frozen=True)
class Prediction:
    """One answer of a method: its text and, if there is one, the probability of the positive answer."""

    id: str
    answer: str
    score: float | None = None


@dataclass(frozen=True)
class Score:
    """A metric's value with its 95% interval (None where no bootstrap was asked for) and its signature.

    Values lie in 0 to 1 (MCC: -1 to 1). Numbers with different signatures do not belong in one column.
    """

    value: float
    low: float | None
    high: float | None
    signature: str


@dataclass(frozen=True)
class TaskScores:
    """All scores of one prediction file on one task.

    Attributes:
        task: the task's id.
        n: items scored.
        parse_rate: share of the answers that could be read (yes/no) or are not empty (text).
        scores: metric to score; a metric that is undefined for these items is absent here and named below.
        partial: only some of the task's items were predicted, and the scores speak of those alone.
        undefined: metric to the reason why it has no value.
        expected: items of the task; larger than `n` only where `partial`.
    """

    task: str
    n: int
    parse_rate: float
    scores: Mapping[str, Score]
    partial: bool = False
    undefined: Mapping[str, str] = field(default_factory=dict)
    expected: int = 0


@dataclass(frozen=True)
class ItemStatistics:
    """Per-item sufficient statistics of one prediction file: every metric is a function of these arrays.

    Resampling items or groups means reweighting rows, so intervals and paired tests never read text again.
    All arrays have one row an item, in the order of `ids`.

    Attributes:
        task: the task's id.
        kind: `yes_no` fills `y_true`, `y_pred` and perhaps `score`; `text` fills `text`.
        ids: item ids, in the order of the labels.
        groups: (n,) int64 codes 0 .. G-1, one a patient, image or record, in order of first appearance.
        parsed: (n,) bool, whether the answer could be read (yes/no) or is not empty (text).
        y_true: (n,) bool, the truth is the positive answer; None for text tasks.
        y_pred: (n,) bool, the answer counts as positive; under strict scoring an answer that could not be
            read is the opposite of the truth, so that every metric counts it wrong; None for text tasks.
        score: (n,) float64 in 0 to 1, probability of the positive answer; None unless every item has one.
        text: metric name to (n,) float64 per-item values; NaN where the item does not count for that metric
            (a closed question in `bleu_open`). The metric is the mean over the items that are not NaN. Empty
            for yes/no tasks.
        undefined: metric to the reason why these items give it no value, as far as it is known before
            averaging.
    """

    task: str
    kind: Literal["yes_no", "text"]
    ids: Sequence[str]
    groups: NDArray[np.int64]
    parsed: NDArray[np.bool_]
    y_true: NDArray[np.bool_] | None = None
    y_pred: NDArray[np.bool_] | None = None
    score: NDArray[np.float64] | None = None
    text: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    undefined: Mapping[str, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.ids)
