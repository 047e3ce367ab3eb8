"""The signal: its best accuracy is known, and what is in the files follows it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedmeki_bench.simulate import DEFAULT_SIGNAL, bayes_accuracy, bayes_auroc
from fedmeki_bench.simulate._latent import draw_labels, draw_latents, generator, intensity

SAMPLE = 40_000


def drawn(signal: float, prevalence: float) -> tuple[np.ndarray, np.ndarray]:
    """Labels and latents of many items."""
    rng = generator(0, "test", str(signal), str(prevalence))
    labels = draw_labels(rng, SAMPLE, round(SAMPLE * prevalence))
    return labels, draw_latents(rng, labels, signal)


@given(signal=st.floats(0.1, 5), prevalence=st.floats(0.02, 0.98))
def test_closed_form_is_the_accuracy_of_the_likelihood_ratio_rule(signal: float, prevalence: float) -> None:
    labels, latents = drawn(signal, prevalence)
    share = labels.mean()
    decided = signal * latents > math.log((1 - share) / share)
    assert (decided == labels).mean() == pytest.approx(bayes_accuracy(signal, share), abs=0.01)


@given(signal=st.floats(0.1, 5), prevalence=st.floats(0.02, 0.98))
def test_no_other_threshold_does_better(signal: float, prevalence: float) -> None:
    labels, latents = drawn(signal, prevalence)
    order = labels[np.argsort(latents)]
    right_below = np.r_[0, np.cumsum(~order)]
    right_above = order.sum() - np.r_[0, np.cumsum(order)]
    assert ((right_below + right_above) / SAMPLE).max() <= bayes_accuracy(signal, labels.mean()) + 0.01


@pytest.mark.parametrize("signal", [0.0, 1.0, DEFAULT_SIGNAL])
def test_auroc_of_the_latent_is_the_closed_form(signal: float) -> None:
    from sklearn.metrics import roc_auc_score

    labels, latents = drawn(signal, 0.3)
    assert roc_auc_score(labels, latents) == pytest.approx(bayes_auroc(signal), abs=0.01)


def test_default_signal_leaves_five_percent_errors_on_balanced_classes() -> None:
    assert bayes_accuracy(DEFAULT_SIGNAL, 0.5) == pytest.approx(0.95, abs=0.001)


def test_without_signal_the_majority_is_best() -> None:
    assert bayes_accuracy(0, 0.3) == 0.7
    assert bayes_accuracy(1e-6, 0.3) == pytest.approx(0.7)


@pytest.mark.parametrize("prevalence", [0.0, 1.0])
def test_a_single_class_is_always_right(prevalence: float) -> None:
    assert bayes_accuracy(2, prevalence) == 1


@given(first=st.floats(-8, 8), step=st.floats(0.01, 1))
def test_a_higher_latent_always_shows_more(first: float, step: float) -> None:
    assert 0 < intensity(first) < intensity(first + step) < 1


def test_generators_depend_on_the_name_alone() -> None:
    assert generator(1, "a", 2).random() == generator(1, "a", 2).random()
    assert len({generator(*name).random() for name in [(1, "a", 2), (1, "a", 3), (1, "b", 2), (2, "a", 2)]}) == 4
