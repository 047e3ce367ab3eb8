"""Ratios of two sides measured in turn, their bounds, and their table."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch

Ratios = dict[str, dict[str, float]]
"""Key to width to ratio."""


@dataclass(frozen=True)
class Bound:
    """What a key should reach: at least or at most `limit`."""

    text: str
    limit: float
    at_least: bool

    def met(self, value: float) -> bool:
        """Whether `value` keeps to the bound."""
        return value >= self.limit if self.at_least else value <= self.limit


@dataclass(frozen=True)
class Settings:
    """How to measure.

    Attributes:
        device: where.
        dtype: of the base model.
        repeats: pairs of a small measurement; large ones take a third as many.
        widths: of the single layers.
        tokens: in a row.
        clock: gives seconds.
    """

    device: torch.device
    dtype: torch.dtype
    repeats: int
    widths: tuple[int, ...]
    tokens: int
    clock: Callable[[], float]

    @property
    def few(self) -> int:
        """Pairs of a large measurement."""
        return max(3, self.repeats // 3)

    def seconds(self, run: Callable[[], object]) -> float:
        """Time of one call."""
        start = self.clock()
        run()
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return self.clock() - start

    def ratio(self, first: Callable[[], object], second: Callable[[], object], pairs: int) -> float:
        """Time of `first` over time of `second`: median over alternating pairs, after a call of each."""
        self.seconds(first)
        self.seconds(second)
        ratios = []
        for index in range(pairs):
            # Every other pair the other way round: whoever runs second finds warmer or hotter hardware.
            if index % 2:
                later = self.seconds(second)
                ratios.append(self.seconds(first) / later)
            else:
                ratios.append(self.seconds(first) / self.seconds(second))
        return statistics.median(ratios)


def worst(bound: Bound, by_width: Mapping[str, float]) -> float:
    """The value furthest from the bound's good side."""
    return min(by_width.values()) if bound.at_least else max(by_width.values())


def table(details: Ratios, bounds: Mapping[str, Bound]) -> str:
    """One row a key and width: measured, wanted, met or not."""
    from tabulate import tabulate

    rows = []
    for key, by_width in details.items():
        bound = bounds[key]
        wanted = f"{'>=' if bound.at_least else '<='} {bound.limit:g}"
        for width, value in by_width.items():
            rows.append([key, bound.text, width, f"{value:.3f}", wanted, "yes" if bound.met(value) else "NO"])
    return str(tabulate(rows, ["key", "what", "width", "measured", "wanted", "met"], tablefmt="github"))
