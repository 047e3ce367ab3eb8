"""Text tasks: answers are read, scored and reported as by `fedmeki-bench score`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import datasets
import evaluate

from fedmeki_bench.errors import UsageError
from fedmeki_bench.metrics import LabelRow, Prediction, score_task
from fedmeki_bench.specs import find_task, load_tasks

_DESCRIPTION = (
    "Sentence BLEU-1 to 4, ROUGE-1, -2 and -L, METEOR, exact match, token F1; closed and open apart."
)
_INPUTS = """
Args:
    predictions: answers as text.
    references: reference answers.
    question_types: `closed`, `open` or None for each item (optional).
    scoring: `strict`, or `legacy` for the rules of the public release.
Returns:
    metric to value in 0 to 1, `parse_rate` and `n`; undefined metrics are absent.
"""


class FedmekiText(evaluate.Metric):  # type: ignore[misc]
    """`evaluate.load(path, task)` for a text task."""

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
        question_types: Sequence[str | None] | None = None,
        scoring: Any = "strict",
    ) -> dict[str, float]:
        spec = find_task(self.config_name, load_tasks())
        if spec.kind != "text":
            raise UsageError(f"{spec.id} is no text task", fix="load the module for yes/no tasks")
        types = [None] * len(predictions) if question_types is None else list(question_types)
        rows = list(enumerate(zip(predictions, references, types, strict=True)))
        labels = [LabelRow(str(number), truth, str(number), kind) for number, (_, truth, kind) in rows]
        answers = [Prediction(str(number), answer) for number, (answer, _, _) in rows]
        found = score_task(spec, labels, answers, scoring=scoring, bootstrap=0)
        return {name: score.value for name, score in found.scores.items()} | {
            "parse_rate": found.parse_rate,
            "n": found.n,
        }
