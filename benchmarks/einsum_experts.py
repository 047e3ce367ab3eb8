"""The reference of M3OE's benchmark: Eq. 5 as it is written, every expert's output in full."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

EXPERTS, RANK, ALPHA, DROPOUT = 12, 8, 32, 0.1


class EinsumExperts(nn.Module):
    """Eq. 5 as it is written, and as the release computes it: every expert's output in full, then their mixture."""

    def __init__(self, base: nn.Linear, columns: Tensor, a: Tensor, b: Tensor) -> None:
        super().__init__()
        self.base, self.dropout, self.scaling = base, nn.Dropout(DROPOUT), ALPHA / RANK
        self.a = nn.Parameter(a.view(EXPERTS, RANK, -1).clone())
        self.b = nn.Parameter(b.view(-1, EXPERTS, RANK).transpose(0, 1).contiguous())
        self.alpha = columns

    def forward(self, x: Tensor) -> Tensor:
        """(rows, tokens, in) to (rows, tokens, out), with a (rows, tokens, P, out) tensor in between."""
        dropped = self.dropout(x)
        down = torch.einsum("nti,pri->ntpr", dropped, self.a.to(x.dtype))
        up = torch.einsum("ntpr,por->ntpo", down, self.b.to(x.dtype))
        mixed = torch.einsum("ntpo,np->nto", up, self.alpha.to(x.dtype))
        result: Tensor = self.base(x) + self.scaling * mixed
        return result


def with_einsum_experts(model: Any, rows: int) -> Any:
    """The model with experts as the release computes them in every linear layer of attention and MLP."""
    generator = torch.Generator().manual_seed(0)
    weights = torch.softmax(torch.randn(1, EXPERTS, generator=generator), dim=1)
    for parent in list(model.modules()):
        for name, layer in list(parent.named_children()):
            if isinstance(layer, nn.Linear) and name != "lm_head":
                a = torch.randn(EXPERTS * RANK, layer.in_features, generator=generator) * layer.in_features**-0.5
                b = torch.zeros(layer.out_features, EXPERTS * RANK)
                experts = EinsumExperts(layer, weights.expand(rows, -1), a, b)
                setattr(parent, name, experts.to(layer.weight.device, layer.weight.dtype))
    return model.eval()
