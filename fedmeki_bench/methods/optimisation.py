"""The server's optimiser: Adam with decoupled weight decay, warm-up then linear decay, over all rounds."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from fedmeki_bench.files import content_hash
from fedmeki_bench.methods.api import ServerTraining
from fedmeki_bench.methods.processes import current_processes

__all__ = ["ServerOptimiser", "derived_seed", "seeded"]


def derived_seed(*parts: object) -> int:
    """A seed that follows from the parts alone (a hash of them), on every machine."""
    return int(content_hash([str(part) for part in parts])[:15], 16)


@contextmanager
def seeded(device: torch.device, *parts: object) -> Iterator[None]:
    """Layers that draw from torch's global generator (dropout, initialisation) draw from this seed inside the block.

    The global state is restored afterwards, so nothing outside depends on what ran inside.
    """
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(derived_seed(*parts))
        yield


class ServerOptimiser:
    """Steps over the trainable parameters; its state survives rounds and checkpoints.

    Args:
        parameters: what is trained, by name.
        settings: the server's optimisation settings.
        examples: number of public examples a round, from which the length of the schedule follows.
    """

    def __init__(self, parameters: Mapping[str, nn.Parameter], settings: ServerTraining, examples: int) -> None:
        self.settings = settings
        self.examples = examples
        self.parameters = list(parameters.values())
        self.optimiser = torch.optim.AdamW(
            self.parameters,
            lr=settings.learning_rate,
            betas=settings.betas,
            weight_decay=settings.weight_decay,
        )
        steps = settings.rounds * settings.epochs * math.ceil(examples / settings.batch_size)
        warmup = max(1, round(settings.warmup * steps))

        def factor(step: int) -> float:
            return min((step + 1) / warmup, max(0.0, (steps - step) / max(1, steps - warmup)))

        self.schedule = torch.optim.lr_scheduler.LambdaLR(self.optimiser, factor)

    def step(self, losses: Iterator[Tensor] | Sequence[Tensor]) -> float:
        """One step on the sum of the micro-batches' losses (each already divided by the whole batch's count).

        Where several processes run together, each brings the losses of its own micro-batches; gradients and losses are
        summed before clipping, so the step is the one that a single process would take.
        """
        self.optimiser.zero_grad(set_to_none=True)
        total = 0.0
        for loss in losses:
            loss.backward()  # type: ignore[no-untyped-call]
            total += float(loss.detach())
        processes = current_processes()
        processes.sum_gradients(self.parameters)
        total = processes.sum(total)
        nn.utils.clip_grad_norm_(self.parameters, self.settings.clip)
        self.optimiser.step()
        self.schedule.step()
        return total

    def state_dict(self) -> dict[str, Any]:
        """Moments, position in the schedule, and the number of examples the schedule was made for."""
        # torch hands out the moments themselves; a kept state must not move with further steps.
        moments = copy.deepcopy(self.optimiser.state_dict())
        return {"examples": self.examples, "optimiser": moments, "schedule": self.schedule.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over a state that `state_dict` gave."""
        self.optimiser.load_state_dict(state["optimiser"])
        self.schedule.load_state_dict(state["schedule"])
