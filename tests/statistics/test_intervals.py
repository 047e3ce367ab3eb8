"""Bootstrap intervals: equal to a plain resampling loop, ordered by nothing but content, honest when
degenerate."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import poisson

from fedmeki_bench.errors import UsageError
from fedmeki_bench.metrics import ItemStatistics, metric_values, ranking
from fedmeki_bench.metrics.intervals import bootstrap_draws, bootstrap_intervals, interval, two_sided_p
from fedmeki_bench.metrics.ranking import RankMetrics
from fedmeki_bench.metrics.resampling import cluster_weights, clusters_of, count_draws, generator, sum_draws
from fedmeki_bench.metrics.weighted import label_metrics, label_sums, text_metrics, text_sums
from tests.statistics.builders import random_yes_no, reordered, text, yes_no


def resampled(stats: ItemStatistics, weights: np.ndarray) -> ItemStatistics:
    """The items of one draw, written out: each as often as its cluster was taken."""
    clusters = clusters_of(stats)
    taken = np.repeat(clusters.order, weights[clusters.codes])
    return ItemStatistics(
        task=stats.task,
        kind=stats.kind,
        ids=[str(k) for k in range(len(taken))],
        groups=np.arange(len(taken)),
        parsed=stats.parsed[taken],
        y_true=None if stats.y_true is None else stats.y_true[taken],
        y_pred=None if stats.y_pred is None else stats.y_pred[taken],
        score=None if stats.score is None else stats.score[taken],
        text={name: rows[taken] for name, rows in stats.text.items()},
    )


class TestAgainstPlainResampling:
    @settings(max_examples=25, deadline=None)
    @given(seed=st.integers(0, 10**6), n=st.integers(8, 60), clustered=st.booleans(), ties=st.booleans())
    def test_every_yes_no_metric_of_a_draw_is_the_metric_of_the_items_drawn(
        self, seed: int, n: int, clustered: bool, ties: bool
    ) -> None:
        stats = random_yes_no(seed, n, clusters=max(2, n // 3) if clustered else None, ties=ties)
        clusters = clusters_of(stats)
        weights = next(cluster_weights(generator(seed, "t"), clusters.count, 6, 6))
        found = RankMetrics(stats, clusters, 6)(weights) | label_metrics(weights @ label_sums(stats, clusters))
        for row in np.flatnonzero(weights.any(axis=1)):
            expected = metric_values(resampled(stats, weights[row]))
            for name, values in found.items():
                if name in expected:
                    assert values[row] == pytest.approx(expected[name], abs=1e-12), name
                else:
                    assert np.isnan(values[row]), name

    def test_text_metrics_of_a_draw_are_means_over_the_items_drawn(self) -> None:
        rng = np.random.default_rng(1)
        closed = np.where(rng.random(40) < 0.5, rng.random(40), np.nan)
        stats = text({"bleu": rng.random(40), "bleu_closed": closed}, groups=list(rng.integers(0, 12, 40)))
        clusters = clusters_of(stats)
        weights = next(cluster_weights(generator(0, "t"), clusters.count, 5, 5))
        found = text_metrics(list(stats.text), weights @ text_sums(stats.text, clusters))
        for row in range(5):
            assert {name: values[row] for name, values in found.items()} == pytest.approx(
                metric_values(resampled(stats, weights[row])), abs=1e-12
            )

    def test_equal_clusters_collapsed_or_not_give_the_same_distribution(self) -> None:
        rows = np.repeat(np.array([[1.0, 0.0], [0.0, 1.0], [2.0, 1.0]]), [200, 150, 50], axis=0)
        collapsed = count_draws(generator(0, "a"), rows, 20_000)
        plain = sum_draws(generator(0, "b"), rows, 20_000)
        assert collapsed.mean(axis=0) == pytest.approx(plain.mean(axis=0), abs=0.5)
        assert np.cov(collapsed.T) == pytest.approx(np.cov(plain.T), rel=0.05)

    def test_unit_weights_give_the_plain_metrics(self) -> None:
        stats = random_yes_no(3, 200, clusters=60)
        clusters = clusters_of(stats)
        weights = np.ones((1, clusters.count), dtype=np.int64)
        found = RankMetrics(stats, clusters, 1)(weights) | label_metrics(weights @ label_sums(stats, clusters))
        assert {name: values[0] for name, values in found.items()} == pytest.approx(metric_values(stats), abs=1e-12)

    def test_numbers_too_large_for_32_bits_are_held_in_64(self, monkeypatch: pytest.MonkeyPatch) -> None:
        stats = random_yes_no(1, 100, clusters=60)
        narrow = bootstrap_draws([stats], 100, 0, ["auroc", "auprc"])
        monkeypatch.setattr(ranking, "MOST_DRAWN_32_BIT", 10)
        wide = bootstrap_draws([stats], 100, 0, ["auroc", "auprc"])
        assert all((narrow[name] == wide[name]).all() for name in narrow)


class TestWeights:
    def test_clusters_are_taken_a_poisson_number_of_times_and_independently(self) -> None:
        weights = np.concatenate([c.copy() for c in cluster_weights(generator(1, "t"), 50, 40_000, 700)])
        assert weights.shape == (40_000, 50)
        shares = np.bincount(weights.ravel(), minlength=4)[:4] / weights.size
        assert shares == pytest.approx(poisson.pmf(range(4), 1.0), abs=2e-3)
        assert np.cov(weights[:, :6].T) == pytest.approx(np.eye(6), abs=0.04)

    def test_the_size_of_a_chunk_changes_no_draw(self) -> None:
        one = np.concatenate([chunk.copy() for chunk in cluster_weights(generator(1, "t"), 37, 50, 1)])
        many = np.concatenate([chunk.copy() for chunk in cluster_weights(generator(1, "t"), 37, 50, 50)])
        assert (one == many).all()


class TestSameAnswer:
    @settings(max_examples=15, deadline=None)
    @given(seed=st.integers(0, 10**6), order=st.permutations(range(30)))
    def test_whatever_the_order_of_the_items(self, seed: int, order: list[int]) -> None:
        stats = random_yes_no(seed, 30, clusters=12)
        one = bootstrap_intervals(stats, draws=200, seed=5)
        assert bootstrap_intervals(reordered(stats, order), draws=200, seed=5) == one

    def test_with_and_without_scores_for_metrics_that_need_none(self) -> None:
        with_scores = random_yes_no(1, 80)
        without = yes_no(list(with_scores.y_true), list(with_scores.y_pred))
        one, other = (bootstrap_intervals(stats, draws=300, seed=1) for stats in (with_scores, without))
        assert {name: one[name] for name in other} == other

    def test_whatever_other_text_metrics_are_computed(self) -> None:
        values = {"exact_match": list(np.arange(60) % 2), "bleu": list(np.linspace(0, 1, 60))}
        both = bootstrap_intervals(text(values), draws=300, seed=1)
        alone = bootstrap_intervals(text({"exact_match": values["exact_match"]}), draws=300, seed=1)
        assert alone["exact_match"] == both["exact_match"]

    def test_other_seed_or_task_other_draws(self) -> None:
        stats = random_yes_no(1, 80)
        renamed = yes_no(list(stats.y_true), list(stats.y_pred), scores=list(stats.score), task="sepsis_prediction")
        one = bootstrap_intervals(stats, draws=300, seed=1)
        assert one != bootstrap_intervals(stats, draws=300, seed=2)
        assert one != bootstrap_intervals(renamed, draws=300, seed=1)

    def test_in_another_process_under_another_hash_seed(self) -> None:
        script = (
            "from tests.statistics.builders import random_yes_no, text\n"
            "from fedmeki_bench.metrics.intervals import bootstrap_intervals\n"
            "print(bootstrap_intervals(random_yes_no(4, 150, clusters=50), draws=400, seed=9))\n"
            "print(bootstrap_intervals(text({'bleu': [0.1, 0.5, 0.3] * 20}), draws=400, seed=9))\n"
        )
        outputs = {
            subprocess.run(
                [sys.executable, "-c", script],
                capture_output=True,
                text=True,
                check=True,
                env=os.environ | {"PYTHONHASHSEED": hash_seed},
            ).stdout
            for hash_seed in ("0", "4711")
        }
        assert len(outputs) == 1


class TestDegenerate:
    @pytest.mark.parametrize("n", [0, 1, 4])
    def test_too_few_items_no_interval(self, n: int) -> None:
        assert bootstrap_intervals(yes_no([True] * n, [True] * n), draws=10, seed=0) == {}

    @pytest.mark.parametrize("clusters", [1, 4])
    def test_many_items_in_too_few_clusters_no_interval(self, clusters: int) -> None:
        stats = random_yes_no(0, 100, clusters=clusters)
        assert bootstrap_intervals(stats, draws=10, seed=0) == {}

    def test_one_class_keeps_the_metrics_that_need_no_other(self) -> None:
        found = bootstrap_intervals(yes_no([False] * 20, [False, True] * 10), draws=200, seed=0)
        assert set(found) == {"accuracy", "precision"}

    def test_a_class_too_rare_to_be_drawn_every_time_gets_no_interval(self) -> None:
        found = bootstrap_intervals(yes_no([True] + [False] * 30, [True] + [False] * 30), draws=500, seed=0)
        assert "recall" not in found and "accuracy" in found

    def test_a_number_that_resampling_cannot_move_has_no_width(self) -> None:
        stats = yes_no([True, False] * 20, [True] * 40)
        assert bootstrap_intervals(stats, draws=200, seed=0)["recall"] == (1.0, 1.0)

    def test_undefined_metrics_stay_out(self) -> None:
        stats = text({"bleu": np.linspace(0, 1, 9), "bleu_open": [np.nan] * 9})
        assert set(bootstrap_intervals(stats, draws=50, seed=0)) == {"bleu"}

    @pytest.mark.parametrize(("draws", "level"), [(0, 0.95), (10, 0.0), (10, 1.0), (10, 95.0)])
    def test_impossible_requests_are_refused(self, draws: int, level: float) -> None:
        with pytest.raises(UsageError):
            bootstrap_intervals(yes_no([True, False], [True, True]), draws=draws, seed=0, level=level)


class TestShape:
    def test_single_items_in_number_give_the_interval_of_the_normal_approximation(self) -> None:
        right = np.random.default_rng(0).random(2_000) < 0.7
        low, high = bootstrap_intervals(yes_no([True] * 2_000, list(right)), draws=10_000, seed=0)["accuracy"]
        half = 1.96 * np.sqrt(right.mean() * (1 - right.mean()) / 2_000)
        assert (low, high) == pytest.approx((right.mean() - half, right.mean() + half), abs=0.05 * half)

    def test_larger_clusters_of_alike_items_widen_the_interval(self) -> None:
        rng = np.random.default_rng(0)
        per_cluster = rng.random(50) < 0.6
        right = np.repeat(per_cluster, 10)
        alone = yes_no([True] * 500, list(right))
        together = yes_no([True] * 500, list(right), groups=list(np.repeat(np.arange(50), 10)))
        width = [np.diff(bootstrap_intervals(s, draws=2000, seed=0)["accuracy"])[0] for s in (alone, together)]
        assert width[1] > 2.5 * width[0]

    def test_few_clusters_reach_further_out_than_the_plain_percentiles(self) -> None:
        values = np.linspace(0.0, 1.0, 10_001)
        few, many = interval(values, 5, 0.95), interval(values, 5_000, 0.95)
        assert few is not None and many is not None
        assert few[0] < many[0] and many == pytest.approx((0.025, 0.975), abs=1e-3)

    @pytest.mark.parametrize("clusters", [4, 20, 1_000])
    @pytest.mark.parametrize("shift", [0.5, 1.5, 1.9, 2.0, 2.1, 2.6, 3.5])
    def test_a_small_p_value_and_an_interval_without_zero_say_the_same(self, clusters: int, shift: float) -> None:
        values = np.random.default_rng(0).normal(shift, 1.0, 20_001)
        ends, p = interval(values, clusters, 0.95), two_sided_p(values, clusters)
        assert ends is not None and p is not None
        assert (ends[0] > 0) == (p < 0.05)

    def test_runs_are_reweighted_together(self) -> None:
        stats = random_yes_no(2, 100)
        draws = bootstrap_draws([stats, stats], 50, 0)
        assert all((values[:, 0] == values[:, 1]).all() for values in draws.values())
