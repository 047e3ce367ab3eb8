"""Paired comparisons: exact where exact is possible, and refused where the items are not the same."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from fedmeki_bench.errors import CheckFailed
from fedmeki_bench.metrics import ItemStatistics
from fedmeki_bench.metrics.paired import aligned, holm, mcnemar, paired_differences, seed_spread
from tests.statistics.builders import random_yes_no, reordered, text, yes_no


def answers_right(right: list[bool], groups: list[int] | None = None) -> ItemStatistics:
    """A task whose truth is always yes, answered right where told."""
    return yes_no([True] * len(right), right, groups=groups)


class TestMcNemar:
    @settings(max_examples=40, deadline=None)
    @given(pairs=st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60))
    def test_single_items_give_the_classical_exact_test(self, pairs: list[tuple[bool, bool]]) -> None:
        test = mcnemar(answers_right([a for a, _ in pairs]), answers_right([b for _, b in pairs]))
        only_first = sum(a and not b for a, b in pairs)
        only_second = sum(b and not a for a, b in pairs)
        expected = binomtest(only_first, only_first + only_second).pvalue if only_first + only_second else 1.0
        assert test is not None and (test.only_first, test.only_second, test.unit) == (
            only_first,
            only_second,
            "item",
        )
        assert test.p == pytest.approx(expected, abs=1e-12)

    @settings(max_examples=25, deadline=None)
    @given(seed=st.integers(0, 10**6))
    def test_clusters_give_the_share_of_all_sign_flips(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        groups = rng.integers(0, 8, 24)
        one, two = rng.random(24) < 0.7, rng.random(24) < 0.4
        test = mcnemar(answers_right(list(one), list(groups)), answers_right(list(two), list(groups)))
        net = np.array([(one[groups == g].astype(int) - two[groups == g]).sum() for g in np.unique(groups)])
        signs = 1 - 2 * ((np.arange(2 ** len(net))[:, None] >> np.arange(len(net))) & 1)
        assert test is not None and test.unit == "cluster"
        assert test.p == pytest.approx((np.abs(signs @ net) >= abs(net.sum())).mean(), abs=1e-12)

    def test_copies_of_an_item_in_one_cluster_add_no_evidence(self) -> None:
        one, two = [True] * 8 + [False] * 2, [False] * 8 + [True] * 2
        single = mcnemar(answers_right(one), answers_right(two))
        groups = list(np.repeat(np.arange(10), 5))
        copied = mcnemar(
            answers_right(list(np.repeat(one, 5)), groups), answers_right(list(np.repeat(two, 5)), groups)
        )
        assert single is not None and copied is not None
        assert copied.p == pytest.approx(single.p)

    def test_text_is_right_where_it_matches_exactly(self) -> None:
        test = mcnemar(text({"exact_match": [1, 1, 0]}), text({"exact_match": [0, 1, 0]}))
        assert test is not None and (test.only_first, test.only_second) == (1, 0)

    def test_text_without_exact_match_has_no_such_test(self) -> None:
        assert mcnemar(text({"bleu": [0.1]}), text({"bleu": [0.2]})) is None


class TestHolm:
    def test_known_example(self) -> None:
        found = holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.005})
        assert found == pytest.approx({"a": 0.03, "b": 0.06, "c": 0.06, "d": 0.02})

    @given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
    def test_never_below_the_raw_value_never_above_bonferroni_and_in_the_same_order(
        self, raw: list[float]
    ) -> None:
        named = {str(k): p for k, p in enumerate(raw)}
        found = holm(named)
        for name, p in named.items():
            assert p <= found[name] <= min(1.0, p * len(raw)) + 1e-15
        ordered = sorted(named, key=lambda name: named[name])
        assert all(found[a] <= found[b] for a, b in pairwise(ordered))


class TestBootstrapOfTheDifference:
    def test_a_run_against_itself_shows_nothing(self) -> None:
        stats = random_yes_no(1, 100)
        for difference in paired_differences([stats], [stats], draws=200, seed=0).values():
            assert (difference.difference, difference.low, difference.high, difference.p) == (
                0.0,
                0.0,
                0.0,
                1.0,
            )

    def test_sides_exchanged_change_the_sign_alone(self) -> None:
        one, two = random_yes_no(1, 60), random_yes_no(1, 60, ties=True)
        forth = paired_differences([one], [two], draws=300, seed=0)
        back = paired_differences([two], [one], draws=300, seed=0)
        for name in ("auroc", "brier"):
            assert back[name].difference == -forth[name].difference
            assert back[name].low == pytest.approx(-(forth[name].high or 0.0), abs=1e-12)
            assert back[name].p == pytest.approx(forth[name].p)

    def test_pairing_sees_what_two_intervals_do_not(self) -> None:
        rng = np.random.default_rng(0)
        base = rng.random(400) < 0.6
        better = base | (np.arange(400) % 20 == 0)
        one, two = answers_right(list(better)), answers_right(list(base))
        found = paired_differences([one], [two], draws=2000, seed=0)["accuracy"]
        assert found.low is not None and found.low > 0 and found.p is not None and found.p < 0.01

    def test_the_order_of_the_files_changes_nothing(self) -> None:
        one, two = random_yes_no(1, 50, clusters=20), random_yes_no(1, 50, clusters=20, ties=True)
        order = list(np.random.default_rng(0).permutation(50))
        plain = paired_differences([one], [two], draws=100, seed=0)
        shuffled = aligned([reordered(one, order), two])
        assert paired_differences(shuffled[:1], shuffled[1:], draws=100, seed=0) == plain

    def test_several_seeds_count_by_their_mean_and_their_spread_stands_apart(self) -> None:
        truth = [True] * 40
        runs = [yes_no(truth, [True] * k + [False] * (40 - k)) for k in (20, 24, 28)]
        other = yes_no(truth, [True] * 10 + [False] * 30)
        found = paired_differences(runs, [other], draws=100, seed=0)["accuracy"]
        spread = seed_spread(runs)["accuracy"]
        assert (found.first, found.second) == pytest.approx((0.6, 0.25))
        assert spread.values == (0.5, 0.6, 0.7) and spread.sd == pytest.approx(0.1)

    def test_one_cluster_gives_the_difference_without_an_interval(self) -> None:
        one = yes_no([True, False], [True, False], groups=[0, 0])
        two = yes_no([True, False], [True, True], groups=[0, 0])
        found = paired_differences([one], [two], draws=10, seed=0)["accuracy"]
        assert (found.difference, found.low, found.p) == (0.5, None, None)


class TestRefusals:
    def test_other_items(self) -> None:
        with pytest.raises(CheckFailed, match=r"(?s)different items.*1 \(item-00002\) only in A"):
            aligned([yes_no([True] * 3, [True] * 3), yes_no([True] * 2, [True] * 2)], ["A", "B"])

    def test_other_labels(self) -> None:
        with pytest.raises(CheckFailed, match="different labels"):
            aligned([yes_no([True, False], [True, True]), yes_no([True, True], [True, True])])

    def test_other_groups(self) -> None:
        with pytest.raises(CheckFailed, match="group"):
            aligned([yes_no([True] * 2, [True] * 2), yes_no([True] * 2, [True] * 2, groups=[0, 0])])

    def test_other_task(self) -> None:
        with pytest.raises(CheckFailed, match="one task"):
            aligned([yes_no([True], [True]), yes_no([True], [True], task="sepsis_prediction")])
