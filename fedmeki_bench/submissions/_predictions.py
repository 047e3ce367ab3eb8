"""One prediction file, checked line by line in constant memory: ids ascending, nothing but answers."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from fedmeki_bench.metrics import Prediction
from fedmeki_bench.submissions._container import BundleFiles
from fedmeki_bench.submissions._faults import FaultLog
from fedmeki_bench.submissions._text import Digest, read_lines

__all__ = ["FORBIDDEN", "FileSummary", "canonical_row", "check_rows", "is_share"]

FIELDS = {"id", "answer", "score"}

FORBIDDEN = {
    "answers", "class", "demographics", "gold", "ground_truth", "group", "input", "inputs", "label", "labels",
    "patient", "patient_id", "question", "record", "reference", "references", "site", "solution", "split",
    "subject_id", "target", "targets", "truth", "y", "y_true",
}  # fmt: skip
"""Field names that hold labels or data; any other unknown field is refused too, with a milder sentence."""

MAX_ID = 256
MAX_ANSWER = 4_000


@dataclass
class FileSummary:
    """What a whole pass over one prediction file says, faults aside."""

    digest: Digest
    rows: int = 0
    scored: int = 0


def canonical_row(prediction: Prediction) -> dict[str, Any]:
    """The row as it stands in a bundle: id, answer, and the score only if there is one."""
    row: dict[str, Any] = {"id": prediction.id, "answer": prediction.answer}
    return row if prediction.score is None else {**row, "score": prediction.score}


def check_rows(
    files: BundleFiles, path: str, kind: str | None, log: FaultLog, summary: FileSummary
) -> Iterator[Prediction]:
    """The good rows of a prediction file, in order; faults go to `log`, totals to `summary`.

    Args:
        files: the bundle.
        path: the prediction file in it.
        kind: `yes_no` or `text`, None for a task that is not known.
        log: takes the faults.
        summary: filled while iterating; whole once the iterator is exhausted.
    """
    last: str | None = None
    first_without: int | None = None
    for line, row in read_lines(files, path, summary.digest, log):
        prediction = _row(row, path, line, log)
        if prediction is None:
            continue
        if last is not None and prediction.id == last:
            log.add("FB053", path, "an id only once", repr(prediction.id), line=line)
            continue
        if last is not None and prediction.id < last:
            log.add("FB054", path, f"an id after {last!r}", repr(prediction.id), line=line)
        last = prediction.id if last is None else max(last, prediction.id)
        summary.rows += 1
        if prediction.score is not None:
            summary.scored += 1
        elif first_without is None:
            first_without = line
        yield prediction
    if summary.digest.size == 0:
        log.add("FB061", path, "at least one prediction", "an empty file")
    if summary.scored and kind == "text":
        log.add("FB058", path, "no scores for a text task", f"{summary.scored} of {summary.rows} rows with one")
    elif summary.scored and first_without is not None:
        log.add("FB058", path, "a score in every row or in none", "none", line=first_without)


def _row(row: object, path: str, line: int, log: FaultLog) -> Prediction | None:
    """The prediction of one parsed line, or None with its faults noted."""
    if not isinstance(row, dict):
        log.add("FB026", path, "a JSON object", type(row).__name__, line=line)
        return None
    before = log.count
    for name in sorted(set(row) - FIELDS):
        code = "FB051" if name.casefold() in FORBIDDEN else "FB050"
        log.add(code, path, "id, answer and perhaps score", f"the field {name!r}", field=name, line=line)
    identity, answer, score = row.get("id"), row.get("answer"), row.get("score")
    if not isinstance(identity, str) or not 0 < len(identity) <= MAX_ID:
        log.add("FB052", path, f"text of 1 to {MAX_ID} characters", _shown(row, "id"), field="id", line=line)
    if not isinstance(answer, str) or len(answer) > MAX_ANSWER:
        log.add(
            "FB059",
            path,
            f"text of at most {MAX_ANSWER} characters",
            _shown(row, "answer"),
            field="answer",
            line=line,
        )
    if "score" in row and not is_share(score):
        log.add("FB057", path, "a number from 0 to 1", _shown(row, "score"), field="score", line=line)
    if log.count > before or not isinstance(identity, str) or not isinstance(answer, str):
        return None
    return Prediction(identity, answer, None if score is None else float(score))


def is_share(value: object) -> bool:
    """Whether the value is a number from 0 to 1 (and no truth value)."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and 0 <= value <= 1


def _shown(row: dict[str, Any], name: str) -> str:
    return repr(row[name])[:200] if name in row else "nothing"
