"""Do nominal 95% intervals hold the truth 95% of the time, where patients have several items?

Each simulated test set has clusters whose items are alike (a shared effect on every item of a patient). The
truth is the metric over a very large sample of the same kind. The bounds of the short test allow for its 400
test sets.
"""

from __future__ import annotations

import numpy as np
import pytest

from fedmeki_bench.metrics import ItemStatistics, metric_values
from fedmeki_bench.metrics.intervals import bootstrap_intervals
from fedmeki_bench.metrics.paired import paired_differences
from tests.statistics.builders import text, yes_no


def clustered_yes_no(rng: np.random.Generator, clusters: int, *, shift: float = 0.0) -> ItemStatistics:
    """One to four items a patient, who shares half of the variance of label and score."""
    groups = np.repeat(np.arange(clusters), rng.integers(1, 5, clusters))
    label_effect, score_effect = rng.normal(0, 1, (2, clusters))
    truth = label_effect[groups] + rng.normal(0, 1, len(groups)) > 0.4
    logit = truth - 0.5 + shift + score_effect[groups] + rng.normal(0, 1, len(groups))
    scores = 1 / (1 + np.exp(-logit))
    return yes_no(list(truth), list(scores > 0.5), scores=list(scores), groups=list(groups))


def clustered_text(rng: np.random.Generator, clusters: int) -> ItemStatistics:
    """Skewed per-item values, as those of BLEU are, alike within an image."""
    groups = np.repeat(np.arange(clusters), rng.integers(1, 7, clusters))
    values = np.clip(rng.normal(0, 0.4, clusters)[groups] + rng.normal(0, 0.4, len(groups)), 0, 1)
    return text({"bleu": list(values)}, groups=list(groups))


def coverage(simulations: int, clusters: int, draws: int) -> dict[str, float]:
    """Share of test sets whose interval holds the truth, by metric."""
    large = np.random.default_rng(1)
    truth = metric_values(clustered_yes_no(large, 200_000)) | metric_values(clustered_text(large, 200_000))
    del truth["ece"]  # a mean of absolute values: biased upwards in small samples, whatever the interval
    held = dict.fromkeys(truth, 0)
    for seed in range(simulations):
        rng = np.random.default_rng([2, seed])
        for stats in (clustered_yes_no(rng, clusters), clustered_text(rng, clusters)):
            for name, (low, high) in bootstrap_intervals(stats, draws=draws, seed=seed).items():
                if name in held:
                    held[name] += low <= truth[name] <= high
    return {name: count / simulations for name, count in held.items()}


def test_intervals_cover_about_as_often_as_they_say() -> None:
    found = coverage(simulations=400, clusters=100, draws=400)
    assert len(found) == 10
    assert all(0.915 <= share <= 0.98 for share in found.values()), found


@pytest.mark.slow
@pytest.mark.parametrize("clusters", [60, 300])
def test_nominal_95_covers_93_to_97(clusters: int) -> None:
    found = coverage(simulations=4_000, clusters=clusters, draws=1_000)
    assert all(0.93 <= share <= 0.97 for share in found.values()), found


def test_items_counted_as_independent_would_cover_too_seldom() -> None:
    truth = metric_values(clustered_text(np.random.default_rng(1), 200_000))["bleu"]
    held = 0
    for seed in range(300):
        stats = clustered_text(np.random.default_rng([3, seed]), 80)
        alone = text({"bleu": list(stats.text["bleu"])})
        low, high = bootstrap_intervals(alone, draws=300, seed=seed)["bleu"]
        held += low <= truth <= high
    assert held / 300 < 0.88


def test_methods_without_a_difference_are_told_apart_one_time_in_twenty() -> None:
    wrong = {"accuracy": 0, "auroc": 0}
    for seed in range(200):
        rng = np.random.default_rng([4, seed])
        first = clustered_yes_no(rng, 60)
        noise = rng.normal(0, 1.0, (2, len(first)))
        assert first.y_true is not None and first.score is not None
        # Two readers of the same cases with noise of equal size: equal on average, different on every item.
        logits = [np.log(first.score / (1 - first.score)) + of_reader for of_reader in noise]
        readers = [
            yes_no(
                list(first.y_true), list(z > 0), scores=list(1 / (1 + np.exp(-z))), groups=list(first.groups)
            )
            for z in logits
        ]
        found = paired_differences(readers[:1], readers[1:], draws=400, seed=seed, metrics=list(wrong))
        for name in wrong:
            p = found[name].p
            wrong[name] += p is not None and p < 0.05
    assert all(0.01 <= count / 200 <= 0.10 for count in wrong.values()), wrong
