"""One client's work in one round: start from the global model, train on its own examples, send the model back."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from fedmeki_bench.data import Labelled
from fedmeki_bench.modeling.client import LocalModel

__all__ = ["ClientData", "ClientTraining", "ClientUpdate", "train_client"]

ClientData = Mapping[str, "tuple[Sequence[int], Callable[[Sequence[int]], Sequence[Labelled]]]"]
"""A client's own examples by task: their rows, and how to read some of them (decoded only when a batch needs them)."""


@dataclass(frozen=True)
class ClientTraining:
    """The clients' optimisation (FedKIM, implementation details; batch size of the release).

    Attributes:
        learning_rate: of Adam.
        batch_size: examples of one task a step.
        epochs: passes over the client's examples a round.
        clip: largest gradient norm.
        proximal: lambda of FedProx's (lambda/2) ||theta - theta*||^2; 0 is FedAvg.
    """

    learning_rate: float = 1e-4
    batch_size: int = 64
    epochs: int = 1
    clip: float = 1.0
    proximal: float = 0.0


@dataclass(frozen=True)
class ClientUpdate:
    """What a client sends: its parameters and buffers (batch statistics included), and how many examples it used.

    Attributes:
        state: as in `LocalModel.state_dict()`, on the CPU.
        examples: number of private examples, over all tasks.
        loss: mean training loss over the steps (without the proximal term); None if the client has no examples.
    """

    state: Mapping[str, Tensor]
    examples: int
    loss: float | None


def _batches(
    data: ClientData, batch_size: int, generator: torch.Generator
) -> Iterator[tuple[str, list[int]]]:
    """Batches of one task each, the tasks' batches in random order."""
    batches: list[tuple[str, list[int]]] = []
    for task in sorted(data):
        rows = data[task][0]
        order = torch.randperm(len(rows), generator=generator).tolist()
        batches += [
            (task, [rows[at] for at in order[start : start + batch_size]])
            for start in range(0, len(rows), batch_size)
        ]
    for at in torch.randperm(len(batches), generator=generator).tolist():
        yield batches[at]


def train_client(
    start: LocalModel, data: ClientData, settings: ClientTraining, *, seed: int, device: torch.device
) -> ClientUpdate:
    """Train a copy of the global model on one client's examples.

    Args:
        start: the global model; not changed.
        data: the client's examples by task.
        settings: its optimisation; with `proximal` > 0 the objective is L + (lambda/2) ||theta - theta*||^2 with the
            squared norm (Li et al. 2020, Eq. 2; FedKIM's FedProx backbone).
        seed: decides the order of the batches and dropout.
        device: where to train.
    """
    model = copy.deepcopy(start).to(device).train()
    anchor = [parameter.detach().clone() for parameter in model.parameters()]
    optimiser = torch.optim.Adam(model.parameters(), lr=settings.learning_rate)
    generator = torch.Generator().manual_seed(seed)
    losses: list[float] = []
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        for _ in range(settings.epochs):
            for task, rows in _batches(data, settings.batch_size, generator):
                examples = data[task][1](rows)
                loss = _loss(model, task, examples, device)
                losses.append(float(loss.detach()))
                if settings.proximal:
                    loss = loss + settings.proximal / 2 * _squared_distance(model, anchor)
                optimiser.zero_grad(set_to_none=True)
                loss.backward()  # type: ignore[no-untyped-call]
                nn.utils.clip_grad_norm_(model.parameters(), settings.clip)
                optimiser.step()
    state = {name: value.detach().cpu() for name, value in model.state_dict().items()}
    examples_used = sum(len(rows) for rows, _ in data.values())
    return ClientUpdate(state, examples_used, sum(losses) / len(losses) if losses else None)


def _loss(model: LocalModel, task: str, examples: Sequence[Labelled], device: torch.device) -> Tensor:
    targets = torch.tensor([float(one.target == "yes") for one in examples], device=device)
    logits = model(task, [one.inputs for one in examples])
    return nn.functional.binary_cross_entropy_with_logits(logits, targets)


def _squared_distance(model: LocalModel, anchor: Sequence[Tensor]) -> Tensor:
    pairs = zip(model.parameters(), anchor, strict=True)
    return torch.stack([(parameter - start).square().sum() for parameter, start in pairs]).sum()
