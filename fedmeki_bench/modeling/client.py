"""The clients' local model: the encoders and one yes/no head a task (FedKIM, section 3.1)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from fedmeki_bench.data import Inputs
from fedmeki_bench.modeling.encoders import Encoders

__all__ = ["LocalModel"]


class LocalModel(nn.Module):
    """Encoders shared by all tasks, one linear head a task over the mean of an input's tokens."""

    def __init__(self, encoders: Encoders, tasks: Sequence[str], *, width: int, seed: int) -> None:
        super().__init__()
        self.encoders = encoders
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            self.heads = nn.ModuleDict({task: nn.Linear(width, 1) for task in tasks})

    def forward(self, task: str, inputs: Sequence[Inputs]) -> Tensor:
        """Logits of the positive label, shape (batch,); threshold 0, not 0.5."""
        pooled = torch.stack([tokens.mean(dim=0) for tokens in self.encoders.encode(inputs)])
        logits: Tensor = self.heads[task](pooled)
        return logits.squeeze(-1)
