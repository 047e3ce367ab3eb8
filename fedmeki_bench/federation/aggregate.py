"""The server's aggregation: the mean of the clients' models, as in the paper without weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from fedmeki_bench.errors import BenchError
from fedmeki_bench.federation.client import ClientUpdate

__all__ = ["Weighting", "aggregate"]

Weighting = Literal["uniform", "examples"]
"""`uniform`: the plain mean over clients (FedKIM, Eq. 2); `examples`: weighted by number of examples (FedAvg)."""


def aggregate(updates: Sequence[ClientUpdate], weighting: Weighting = "uniform") -> dict[str, Tensor]:
    """The mean of parameters and buffers, batch-normalisation statistics included.

    Counters (integer buffers) take the largest value. The mean is taken in float64, so that it does not depend on the
    order in which clients report by more than one rounding.

    Raises:
        BenchError: no update, or two updates name different parameters.
    """
    if not updates:
        raise BenchError("no client sent an update", expected="at least one")
    names = set(updates[0].state)
    for client, update in enumerate(updates):
        if set(update.state) != names:
            raise BenchError(
                "a client's model differs from the others'",
                where=f"client {client}",
                found=str(sorted(names ^ set(update.state))[:5]),
            )
    counts = [update.examples if weighting == "examples" else 1 for update in updates]
    if not sum(counts):
        raise BenchError("no client has any example", expected="at least one example in total")
    weights = [count / sum(counts) for count in counts]
    merged = {}
    for name, first in updates[0].state.items():
        values = [update.state[name] for update in updates]
        if first.is_floating_point():
            total = torch.stack(
                [weight * value.double() for weight, value in zip(weights, values, strict=True)]
            ).sum(dim=0)
            merged[name] = total.to(first.dtype)
        else:
            merged[name] = torch.stack(values).amax(dim=0)
    return merged
