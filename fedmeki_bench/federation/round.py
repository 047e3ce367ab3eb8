"""One communication round, in one process: every client in turn, then the mean."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from fedmeki_bench.federation.aggregate import Weighting, aggregate
from fedmeki_bench.federation.client import ClientData, ClientTraining, train_client
from fedmeki_bench.federation.traffic import Traffic, state_bytes
from fedmeki_bench.modeling.client import LocalModel

__all__ = ["RoundReport", "federated_round"]


@dataclass(frozen=True)
class RoundReport:
    """What a round did.

    Attributes:
        losses: each client's mean training loss, None for a client without examples.
        traffic: bytes sent each way.
    """

    losses: Sequence[float | None]
    traffic: Traffic

    @property
    def mean_loss(self) -> float | None:
        """Mean over the clients that have examples."""
        known = [loss for loss in self.losses if loss is not None]
        return sum(known) / len(known) if known else None


def federated_round(
    model: LocalModel,
    clients: Sequence[ClientData],
    settings: ClientTraining,
    *,
    weighting: Weighting,
    seed: Callable[[int], int],
    device: torch.device,
    progress: Callable[[int, float | None], None],
) -> RoundReport:
    """Train every client from the global model, then put the mean of their models into it.

    Args:
        model: the global model; holds the aggregate afterwards.
        clients: each client's data; a client sees no other's.
        settings: the clients' optimisation.
        weighting: of the mean.
        seed: client number to its seed in this round.
        device: where clients train.
        progress: called with client number and loss after each client.
    """
    size = state_bytes(model.state_dict())
    updates = []
    for number, data in enumerate(clients):
        update = train_client(model, data, settings, seed=seed(number), device=device)
        updates.append(update)
        progress(number, update.loss)
    merged = aggregate(updates, weighting)
    model.load_state_dict(merged)
    traffic = Traffic(up=sum(state_bytes(update.state) for update in updates), down=size * len(clients))
    return RoundReport([update.loss for update in updates], traffic)
