"""What travels between clients and server, counted from the tensors themselves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

__all__ = ["Traffic", "state_bytes"]


def state_bytes(state: Mapping[str, Tensor]) -> int:
    """Bytes of a state's tensors, without any serialisation overhead."""
    return sum(value.numel() * value.element_size() for value in state.values())


@dataclass(frozen=True)
class Traffic:
    """Bytes from the clients to the server (`up`) and back (`down`), summed over clients."""

    up: int = 0
    down: int = 0

    def __add__(self, other: Traffic) -> Traffic:
        return Traffic(self.up + other.up, self.down + other.down)
