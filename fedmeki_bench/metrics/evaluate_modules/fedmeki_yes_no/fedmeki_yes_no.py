"""Yes/no tasks: answers are read, scored and reported as by `fedmeki-bench score`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import datasets
import evaluate

from fedmeki_bench.errors import UsageError
from fedmeki_bench.metrics import LabelRow, Prediction, score_task
from fedmeki_bench.specs import find_task, load_tasks

_DESCRIPTION = (
    "Accuracy, precision, recall, F1, balanced accuracy, MCC; with option scores AUROC, AUPRC, Brier, ECE."
)
_INPUTS = """
Args:
    predictions: answers as text, read without guessing; what cannot be read counts as wrong.
    references: `yes` or `no`.
    scores: probability of the positive answer of each item (optional).
    scoring: `strict`, or `legacy` for the rules of the public release.
Returns:
    metric to value in 0 to 1 (MCC -1 to 1), `parse_rate` and `n`; undefined metrics are absent.
"""


class FedmekiYesNo(evaluate.Metric):  # type: ignore[misc]
    """`evaluate.load(path, task)` for a yes/no task."""

    def _info(self) -> Any:
        text = datasets.Value("string")
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation="",
            inputs_description=_INPUTS,
            features=datasets.Features({"predictions": text, "references": text}),
        )

    def _compute(
        self,
        predictions: Sequence[str],
        references: Sequence[str],
        scores: Sequence[float] | None = None,
        scoring: Any = "strict",
    ) -> dict[str, float]:
        spec = find_task(self.config_name, load_tasks())
        if spec.kind != "yes_no":
            raise UsageError(f"{spec.id} is no yes/no task", fix="load the module for text tasks")
        values = [None] * len(predictions) if scores is None else list(scores)
        rows = list(enumerate(zip(predictions, references, values, strict=True)))
        labels = [LabelRow(str(number), truth, str(number)) for number, (_, truth, _) in rows]
        answers = [Prediction(str(number), answer, score) for number, (answer, _, score) in rows]
        found = score_task(spec, labels, answers, scoring=scoring, bootstrap=0)
        return {name: score.value for name, score in found.scores.items()} | {
            "parse_rate": found.parse_rate,
            "n": found.n,
        }
