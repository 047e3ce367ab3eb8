"""What a test set of a given size can show: exact power of the paired test between two methods.

The test is McNemar's exact test on items answered by both methods. Its power depends on how often exactly
one of the two is right, and so on how alike the methods are, not on the effect and the size alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from fedmeki_bench.errors import UsageError

__all__ = [
    "TARGET_POWER",
    "Discordance",
    "PowerAnalysis",
    "analyse",
    "discordance",
    "items_needed",
    "minimum_detectable_effect",
    "power",
]

Floats = NDArray[np.float64]

TARGET_POWER = 0.8
"""The usual target: a true effect of this size is found four times in five."""

LARGEST_SIZE = 1_000_000
"""Beyond this many items the number needed is not searched for."""


@dataclass(frozen=True)
class Discordance:
    """How often exactly one of two methods is right.

    Attributes:
        only_better: probability that the better method alone is right.
        only_other: probability that the other one alone is right.
    """

    only_better: float
    only_other: float

    @property
    def total(self) -> float:
        """Probability that exactly one is right."""
        return self.only_better + self.only_other


@dataclass(frozen=True)
class PowerAnalysis:
    """What `analyse` finds; probabilities and effects lie in 0 to 1.

    Attributes:
        n: independent items of the test set.
        effect: difference in accuracy asked about.
        accuracy: accuracy of the better method.
        correlation: correlation between the two methods' being right.
        alpha: two-sided level.
        discordant: share of the items that exactly one method answers right.
        power: probability that the test finds the effect.
        minimum_effect: smallest effect found with `TARGET_POWER`; None if even the largest possible is not.
        items_needed: items with which the effect is found with `TARGET_POWER`; None if over a million.
    """

    n: int
    effect: float
    accuracy: float
    correlation: float
    alpha: float
    discordant: float
    power: float
    minimum_effect: float | None
    items_needed: int | None


def discordance(accuracy: float, effect: float, correlation: float) -> Discordance:
    """The two discordant probabilities of methods with accuracies `accuracy` and `accuracy - effect`.

    `correlation` is the Pearson (phi) correlation between the methods' being right on an item; 0 means that
    they fail independently. Two methods of unlike accuracy cannot be right on exactly the same items: a
    correlation above what their accuracies allow is lowered to it, so that at least `effect` of the items
    are discordant.

    Raises:
        UsageError: an accuracy, effect or correlation outside its range.
    """
    if not 0.0 < accuracy <= 1.0:
        raise UsageError("an accuracy is a share", expected="above 0 and at most 1", found=accuracy)
    if not 0.0 < effect <= accuracy:
        raise UsageError(
            "the effect is the distance between the better method's accuracy and the other's",
            expected=f"above 0 and at most the accuracy, {accuracy:g}",
            found=f"{effect:g}",
        )
    if not 0.0 <= correlation < 1.0:
        raise UsageError(
            "the correlation between the methods is out of range", expected="0 to below 1", found=correlation
        )
    other = accuracy - effect
    spread = np.sqrt(accuracy * (1 - accuracy) * other * (1 - other))
    both = min(accuracy * other + correlation * float(spread), other)
    return Discordance(only_better=accuracy - both, only_other=other - both)


def power(n: int, cells: Discordance, alpha: float) -> float:
    """Exact probability that McNemar's exact two-sided test on n independent pairs rejects at level alpha.

    The number of discordant pairs is binomial; given it, the better method's share of them is binomial, and
    the test rejects in the tails of a fair binomial (Miettinen 1968, Biometrics 24:339).
    """
    from scipy.stats import binom

    if n == 0 or cells.total == 0.0:
        return 0.0
    # Numbers of discordant pairs outside of these have a chance below 1e-12 together.
    low, high = (int(binom.ppf(q, n, min(cells.total, 1.0))) for q in (5e-13, 1 - 5e-13))
    discordant = np.arange(low, high + 1)
    critical = _critical_values(high, alpha)[discordant]
    share = cells.only_better / cells.total
    # Reject if the smaller of the two counts is at most `critical` (-1: never).
    rejected = binom.cdf(critical, discordant, share) + binom.cdf(critical, discordant, 1 - share)
    weights = binom.pmf(discordant, n, min(cells.total, 1.0))
    return min(1.0, float(weights @ np.where(critical < 0, 0.0, rejected)))


@lru_cache(maxsize=8)
def _critical_values(largest: int, alpha: float) -> NDArray[np.int64]:
    """For each number of discordant pairs 0 .. largest: the largest smaller count that is significant, or
    -1.
    """
    from scipy.stats import binom

    pairs = np.arange(largest + 1)
    # ppf gives the first count whose lower tail reaches alpha / 2; significant is what stays at or below it.
    reached: NDArray[np.int64] = binom.ppf(alpha / 2, pairs, 0.5).astype(np.int64)
    significant: NDArray[np.bool_] = binom.cdf(reached, pairs, 0.5) <= alpha / 2
    return reached - ~significant


def minimum_detectable_effect(n: int, accuracy: float, correlation: float, alpha: float) -> float | None:
    """Smallest difference in accuracy found with `TARGET_POWER` on n items, to 1e-4; None if none is."""

    def reaches(effect: float) -> bool:
        return power(n, discordance(accuracy, effect, correlation), alpha) >= TARGET_POWER

    if not reaches(accuracy):
        return None
    low, high = 0.0, accuracy
    while high - low > 1e-4:
        middle = (low + high) / 2
        low, high = (low, middle) if reaches(middle) else (middle, high)
    return high


def items_needed(cells: Discordance, alpha: float) -> int | None:
    """Items with which the exact test reaches `TARGET_POWER`; None if more than a million.

    The power of an exact test dips a little as a size grows by one; this is a size at which the target is
    reached, found by halving, not the first one of all.
    """
    high = 8
    while power(high, cells, alpha) < TARGET_POWER:
        high *= 2
        if high > LARGEST_SIZE:
            return None
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if power(middle, cells, alpha) >= TARGET_POWER else (middle, high)
    return high


def analyse(
    n: int, effect: float, *, accuracy: float, correlation: float = 0.5, alpha: float = 0.05
) -> PowerAnalysis:
    """Power, minimum detectable effect and items needed for one test set.

    Args:
        n: independent items (for clustered items: their effective number, items over the design effect).
        effect: difference in accuracy, 0 to 1.
        accuracy: accuracy of the better of the two methods.
        correlation: correlation between the two methods' being right.
        alpha: two-sided level; for the smallest of twelve p-values under Holm's correction, a twelfth of it.

    Raises:
        UsageError: a number outside its range.
    """
    if n < 1:
        raise UsageError("a test set has items", expected="1 or more", found=n)
    if not 0.0 < alpha < 1.0:
        raise UsageError("the level of a test is a probability", expected="above 0 and below 1", found=alpha)
    cells = discordance(accuracy, effect, correlation)
    return PowerAnalysis(
        n=n,
        effect=effect,
        accuracy=accuracy,
        correlation=correlation,
        alpha=alpha,
        discordant=cells.total,
        power=power(n, cells, alpha),
        minimum_effect=minimum_detectable_effect(n, accuracy, correlation, alpha),
        items_needed=items_needed(cells, alpha),
    )
