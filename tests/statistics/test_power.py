"""Power of the paired test: agrees with simulation, moves the right way, refuses the impossible."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner
from scipy.stats import binomtest

from fedmeki_bench.cli.power import command
from fedmeki_bench.errors import UsageError
from fedmeki_bench.metrics.power import (
    TARGET_POWER,
    analyse,
    discordance,
    items_needed,
    minimum_detectable_effect,
    power,
)


@pytest.mark.parametrize(
    ("n", "accuracy", "effect", "correlation"),
    [(120, 0.8, 0.1, 0.5), (234, 0.65, 0.1, 0.3), (400, 0.95, 0.05, 0.0)],
)
def test_power_is_the_share_of_simulated_test_sets_with_a_significant_difference(
    n: int, accuracy: float, effect: float, correlation: float
) -> None:
    cells = discordance(accuracy, effect, correlation)
    rng = np.random.default_rng(0)
    draws = rng.multinomial(n, [cells.only_better, cells.only_other, 1 - cells.total], size=4_000)
    pairs, counts = np.unique(draws[:, :2], axis=0, return_counts=True)
    significant = [b + c > 0 and binomtest(int(b), int(b + c)).pvalue <= 0.05 for b, c in pairs]
    simulated = counts @ np.array(significant) / counts.sum()
    assert power(n, cells, 0.05) == pytest.approx(simulated, abs=4 * np.sqrt(0.25 / 4_000))


def test_discordance_gives_back_accuracies_and_correlation() -> None:
    cells = discordance(0.8, 0.1, 0.4)
    both = 0.8 - cells.only_better
    assert cells.only_better - cells.only_other == pytest.approx(0.1)
    assert (both - 0.8 * 0.7) / np.sqrt(0.8 * 0.2 * 0.7 * 0.3) == pytest.approx(0.4)


def test_methods_of_unlike_accuracy_stay_discordant_however_alike() -> None:
    cells = discordance(1.0, 0.02, 0.99)
    assert (cells.only_better, cells.only_other) == pytest.approx((0.02, 0.0))


def test_more_items_larger_effects_and_more_alike_methods_give_more_power() -> None:
    base = power(500, discordance(0.8, 0.04, 0.5), 0.05)
    assert power(2000, discordance(0.8, 0.04, 0.5), 0.05) > base
    assert power(500, discordance(0.8, 0.08, 0.5), 0.05) > base
    assert power(500, discordance(0.8, 0.04, 0.8), 0.05) > base
    assert power(500, discordance(0.8, 0.04, 0.5), 0.05 / 12) < base


def test_the_smallest_effect_and_the_items_needed_reach_the_target() -> None:
    effect = minimum_detectable_effect(1000, 0.9, 0.5, 0.05)
    assert effect is not None
    assert power(1000, discordance(0.9, effect, 0.5), 0.05) >= TARGET_POWER
    assert power(1000, discordance(0.9, effect - 2e-4, 0.5), 0.05) < TARGET_POWER
    needed = items_needed(discordance(0.9, 0.02, 0.5), 0.05)
    assert needed is not None and power(needed, discordance(0.9, 0.02, 0.5), 0.05) >= TARGET_POWER


def test_five_items_can_show_nothing() -> None:
    found = analyse(5, 0.5, accuracy=1.0)
    assert found.power == 0.0 and found.minimum_effect is None


@pytest.mark.parametrize(
    "wrong", [{"accuracy": 0.0}, {"accuracy": 1.1}, {"accuracy": 0.01}, {"correlation": 1.0}, {"alpha": 0.0}]
)
def test_numbers_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(UsageError):
        analyse(100, 0.02, **{"accuracy": 0.9, **wrong})


class TestCommand:
    def test_one_task_with_the_papers_size_and_best_accuracy(self) -> None:
        result = CliRunner().invoke(
            command, ["--task", "PED", "--effect", "0.02", "--json"], catch_exceptions=False
        )
        found = json.loads(result.output)
        assert found["task"] == "pleural_effusion_detection" and found["n"] == 234
        assert 0 < found["power"] < 0.5 < 1 and found["items_needed"] > 234
        assert found["power_holm"] < found["power"]

    def test_numbers_given_replace_the_papers(self) -> None:
        arguments = [
            "--task",
            "CD",
            "--n",
            "50",
            "--accuracy",
            "0.9",
            "--correlation",
            "0",
            "--effect",
            "0.1",
            "--json",
        ]
        found = json.loads(CliRunner().invoke(command, arguments, catch_exceptions=False).output)
        assert (found["n"], found["accuracy"], found["correlation"]) == (50, 0.9, 0.0)

    def test_without_a_task_all_twelve_are_shown(self) -> None:
        result = CliRunner().invoke(command, ["--effect", "0.02", "--json"], catch_exceptions=False)
        assert len(json.loads(result.output)) == 12
