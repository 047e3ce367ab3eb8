"""What the router chose, as data: expert weights by task, entropy, usage."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["RouterReport"]


@dataclass(frozen=True)
class RouterReport:
    """The router's weights for some tasks.

    Attributes:
        adapter: name of the adapter.
        tasks: task ids, in the order asked for.
        weights: alpha by task, P numbers that sum to 1.
    """

    adapter: str
    tasks: Sequence[str]
    weights: Mapping[str, Sequence[float]]

    @property
    def num_experts(self) -> int:
        """P, the number of experts."""
        return len(self.weights[self.tasks[0]])

    @property
    def entropy(self) -> dict[str, float]:
        """Entropy of each task's weights in bits: 0 for one expert alone, log2(P) for all alike."""
        return {task: -sum(w * math.log2(w) for w in self.weights[task] if w > 0) for task in self.tasks}

    @property
    def usage(self) -> list[float]:
        """Share of each expert, its mean weight over the tasks; sums to 1."""
        return [
            sum(self.weights[task][index] for task in self.tasks) / len(self.tasks)
            for index in range(self.num_experts)
        ]

    @property
    def spread(self) -> float:
        """Largest total variation distance between two tasks' weights, 0 (all routed alike) to 1."""
        rows = [self.weights[task] for task in self.tasks]
        distances = [
            sum(abs(x - y) for x, y in zip(one, other, strict=True)) / 2 for one in rows for other in rows
        ]
        return max(distances)

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain JSON data."""
        return {
            **asdict(self),
            "weights": {task: list(self.weights[task]) for task in self.tasks},
            "entropy_bits": self.entropy,
            "largest_entropy_bits": math.log2(self.num_experts),
            "usage": self.usage,
            "spread": self.spread,
        }
