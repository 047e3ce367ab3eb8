"""The router (FedKIM, Eq. 4): from the descriptions of a task to one weight an expert.

    beta  = (W_q E(M)) (W_k E(T))^T / sqrt(d_k) . W_v E(T)        one row a token of M
    alpha = softmax(MLP(pool(beta)))                              P weights

E is the base model's frozen embedding layer, M the joined modality descriptions, T the task description.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from contextlib import nullcontext

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fedmeki_bench.modeling.m3oe.config import M3OEConfig
from fedmeki_bench.modeling.m3oe.init import uniform_parameter

__all__ = ["Router", "pad_ids"]


def pad_ids(sequences: Sequence[Sequence[int]], device: torch.device) -> tuple[Tensor, Tensor]:
    """Token ids of several descriptions, padded at the end, with their mask.

    Returns:
        ids (tasks, longest) and mask (tasks, longest), True where there is a token. Padding holds id 0.
    """
    longest = max(map(len, sequences))
    ids = torch.tensor(
        [[*sequence, *[0] * (longest - len(sequence))] for sequence in sequences], device=device
    )
    lengths = torch.tensor([len(sequence) for sequence in sequences], device=device)
    return ids, torch.arange(longest, device=device) < lengths[:, None]


class Router(nn.Module):
    """Trainable part of Eq. 4: W_q, W_k, W_v and the MLP. Computes in float32 (float64 if its weights are).

    Args:
        config: dimensions and switches.
        width: width of the base model's embeddings.
    """

    def __init__(self, config: M3OEConfig, width: int, *, device: torch.device, dtype: torch.dtype) -> None:
        super().__init__()
        self.attention_softmax = config.attention_softmax
        self.pooling = config.pooling
        self.use_task, self.use_modalities = config.use_task_description, config.use_modality_descriptions
        self.head_dim = config.router_dim

        def parameter(name: str, rows: int, columns: int) -> nn.Parameter:
            return uniform_parameter(
                (rows, columns), seed=config.init_seed, name=name, device=device, dtype=dtype
            )

        dim = config.router_dim
        self.query = parameter("router.query", dim, width)
        self.key = parameter("router.key", dim, width)
        self.value = parameter("router.value", dim, width)
        sizes = [dim] * config.router_mlp_depth + [config.num_experts]
        pairs = list(itertools.pairwise(sizes))
        self.mlp_weights = nn.ParameterList(
            [parameter(f"router.mlp.{index}", rows, columns) for index, (columns, rows) in enumerate(pairs)]
        )
        self.mlp_biases = nn.ParameterList(
            [torch.zeros(rows, device=device, dtype=dtype) for _, rows in pairs]
        )

    def forward(
        self,
        task_ids: Sequence[Sequence[int]],
        modality_ids: Sequence[Sequence[int]],
        embed: Callable[[Tensor], Tensor],
    ) -> Tensor:
        """Expert weights alpha of some tasks, (tasks, P), each row summing to 1.

        Args:
            task_ids: token ids of T, one sequence a task.
            modality_ids: token ids of M, one sequence a task.
            embed: the base model's embedding layer; no gradient goes into it.
        """
        task = self._embedded(task_ids if self.use_task else modality_ids, embed)
        modalities = self._embedded(modality_ids if self.use_modalities else task_ids, embed)
        device_type = self.query.device.type
        # The meta device, on which models are planned, knows no autocast.
        available = torch.amp.is_autocast_available(device_type)
        with torch.autocast(device_type, enabled=False) if available else nullcontext():
            return self._weights(*modalities, *task)

    def _embedded(
        self, sequences: Sequence[Sequence[int]], embed: Callable[[Tensor], Tensor]
    ) -> tuple[Tensor, Tensor]:
        ids, mask = pad_ids(sequences, self.query.device)
        with torch.no_grad():
            embedded = embed(ids)
        return embedded.to(device=self.query.device, dtype=self._dtype), mask

    @property
    def _dtype(self) -> torch.dtype:
        return torch.promote_types(self.query.dtype, torch.float32)

    def _weights(self, modalities: Tensor, modality_mask: Tensor, task: Tensor, task_mask: Tensor) -> Tensor:
        dtype = self._dtype
        query = F.linear(modalities, self.query.to(dtype))
        key = F.linear(task, self.key.to(dtype))
        value = F.linear(task, self.value.to(dtype))
        scores = query @ key.mT / math.sqrt(self.head_dim)
        padding = ~task_mask[:, None, :]
        if self.attention_softmax:
            scores = scores.masked_fill(padding, -torch.inf).softmax(dim=-1)
        else:
            scores = scores.masked_fill(padding, 0.0)
        hidden = self._pool(scores @ value, modality_mask)
        for index, (weight, bias) in enumerate(zip(self.mlp_weights, self.mlp_biases, strict=True)):
            hidden = F.linear(F.relu(hidden) if index else hidden, weight.to(dtype), bias.to(dtype))
        return hidden.softmax(dim=-1)

    def _pool(self, beta: Tensor, mask: Tensor) -> Tensor:
        if self.pooling == "max":
            return beta.masked_fill(~mask[..., None], -torch.inf).amax(dim=1)
        return beta.masked_fill(~mask[..., None], 0.0).sum(dim=1) / mask.sum(dim=1, keepdim=True)
