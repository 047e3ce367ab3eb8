"""The signal every simulated label leaves: one latent number, so that the best possible accuracy is known.

An item's label y is set first, in the proportion of the real task. Its latent z is then drawn from a Gaussian
of unit variance with mean +d/2 for a positive and -d/2 for a negative item; d is the signal's strength. The
file shows the finding with an intensity that is an increasing function of z (`intensity`): z can be read off
the file, but y cannot be told any better than z tells it.
"""

from __future__ import annotations

import hashlib
import math

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "DEFAULT_SIGNAL",
    "bayes_accuracy",
    "bayes_auroc",
    "draw_labels",
    "draw_latents",
    "generator",
    "intensity",
]

DEFAULT_SIGNAL = 3.3
"""Distance of the two class means in standard deviations: 95% Bayes accuracy for balanced classes."""

Labels = NDArray[np.bool_]
Latents = NDArray[np.float64]


def generator(seed: int, *name: str | int) -> np.random.Generator:
    """A random generator for one named thing, the same whatever else was drawn before or elsewhere."""
    digest = hashlib.sha256("/".join(map(str, (seed, *name))).encode()).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest[:16], "little")))


def bayes_accuracy(signal: float, prevalence: float) -> float:
    """Accuracy of the best decision from z: positive where signal * z > log((1 - prevalence) / prevalence).

    With t = log(prevalence / (1 - prevalence)) / signal and Phi the standard normal distribution function, it
    is prevalence * Phi(signal / 2 + t) + (1 - prevalence) * Phi(signal / 2 - t).

    Args:
        signal: distance of the class means in standard deviations; 0 leaves the majority's share.
        prevalence: share of positive items, from 0 to 1.
    """
    if not 0 < prevalence < 1:
        return 1.0
    if signal == 0:
        return max(prevalence, 1 - prevalence)
    threshold = math.log(prevalence / (1 - prevalence)) / signal
    return prevalence * _phi(signal / 2 + threshold) + (1 - prevalence) * _phi(signal / 2 - threshold)


def bayes_auroc(signal: float) -> float:
    """Area under the ROC curve of z itself: Phi(signal / sqrt(2)), whatever the prevalence."""
    return _phi(signal / math.sqrt(2))


def draw_labels(rng: np.random.Generator, items: int, positives: int) -> Labels:
    """Exactly `positives` true values among `items`, in random order."""
    labels = np.zeros(items, dtype=np.bool_)
    labels[rng.permutation(items)[:positives]] = True
    return labels


def draw_latents(rng: np.random.Generator, labels: Labels, signal: float) -> Latents:
    """One z for each label, float64."""
    return rng.standard_normal(len(labels)) + np.where(labels, signal / 2, -signal / 2)


def intensity(latent: float) -> float:
    """How strongly a finding shows, from 0 to 1: the logistic function of its latent."""
    return 1 / (1 + math.exp(-latent))


def _phi(value: float) -> float:
    return 0.5 * (1 + math.erf(value / math.sqrt(2)))
