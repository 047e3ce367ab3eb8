"""Which of the release's scoring rules moves which number, on one prediction file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fedmeki_bench.metrics._types import LabelLike, Prediction, TaskScores
from fedmeki_bench.metrics.legacy import LegacyQuirks
from fedmeki_bench.metrics.scoring import score_task
from fedmeki_bench.specs import TaskSpec

__all__ = ["QuirkReport", "quirk_report"]


@dataclass(frozen=True)
class QuirkReport:
    """One prediction file under both scorings, and what each quirk adds.

    Attributes:
        legacy: scores under the release's rules.
        strict: scores under this project's.
        effects: quirk to metric to the value under all the release's rules less the value with that one
            replaced. Rules interact, so the effects need not add up to the difference of the two scorings.
            Metrics that a quirk does not move are absent.
    """

    legacy: TaskScores
    strict: TaskScores
    effects: Mapping[str, Mapping[str, float]]

    def moved_by(self, metric: str) -> Mapping[str, float]:
        """The quirks that move a metric, the strongest first."""
        moved = {quirk: effect[metric] for quirk, effect in self.effects.items() if metric in effect}
        return dict(sorted(moved.items(), key=lambda entry: (-abs(entry[1]), entry[0])))


def quirk_report(
    spec: TaskSpec,
    labels: Sequence[LabelLike],
    predictions: Sequence[Prediction],
    *,
    bootstrap: int = 0,
    seed: int = 0,
    partial: bool = False,
) -> QuirkReport:
    """Score a prediction file both ways, and once more without each quirk.

    Args:
        spec: the task.
        labels: the labels.
        predictions: one for each label.
        bootstrap: draws behind the intervals of the two scorings; 0 for none.
        seed: seed of the bootstrap.
        partial: as in `score_task`.
    """
    strict = score_task(spec, labels, predictions, bootstrap=bootstrap, seed=seed, partial=partial)
    legacy = score_task(
        spec, labels, predictions, scoring="legacy", bootstrap=bootstrap, seed=seed, partial=partial
    )
    effects: dict[str, Mapping[str, float]] = {}
    for name in LegacyQuirks.names():
        quirks = LegacyQuirks().without(name)
        other = score_task(
            spec, labels, predictions, scoring="legacy", bootstrap=0, partial=partial, quirks=quirks
        )
        moved = {
            metric: score.value - other.scores[metric].value
            for metric, score in legacy.scores.items()
            if metric in other.scores and score.value != other.scores[metric].value
        }
        if moved:
            effects[name] = moved
    return QuirkReport(legacy, strict, effects)
