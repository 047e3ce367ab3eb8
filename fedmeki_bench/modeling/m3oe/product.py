"""The experts of one layer as a single low-rank product (FedKIM, Eq. 5) whose backward pass keeps little.

    c = W h + s . sum_p alpha_p B_p A_p h  =  W h + [B_1 ... B_P] diag(s alpha (x) 1_r) [A_1; ...; A_P] h

alpha_p is a number, so the sum over experts is one product of rank P r whose inner columns are scaled;
nothing of size P x width exists. Against the same formula written with ordinary operations, the function
below keeps for the backward pass only the layer's input (one tensor for all layers that read it), the rank P
r middle, and the dropout mask at one byte an element, instead of a dropped copy and a float mask in every
layer.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

__all__ = ["expert_product"]


def expert_product(
    base: Tensor, x: Tensor, a: Tensor, b: Tensor, columns: Tensor, *, dropout: float = 0.0
) -> Tensor:
    """`base + (drop(x) A^T * columns) B^T`, differentiable in every tensor argument (first derivatives).

    Computed in the dtype of `base`, whatever that of the experts: float32 experts beside a bfloat16 model are
    rounded on use, and their gradients come back in float32.

    Args:
        base: output of the frozen layer, (..., out).
        x: input of the layer, (..., in).
        a: stacked A of all experts, (P r, in).
        b: stacked B of all experts, (out, P r).
        columns: factor of each inner column, `s alpha_p` repeated r times; (P r) for one task, or (rows, 1, P
            r) for a batch of `rows` examples of several tasks, where x is (rows, tokens, in).
        dropout: probability of dropping an element of `x`.

    Returns:
        (..., out), in the dtype of `base`.
    """
    keep, scale = _draw_mask(x, dropout) if dropout else (None, 1.0)
    arguments = (base, x, a, b, columns, keep, scale)
    result: Tensor = _ExpertProduct.apply(*arguments)  # type: ignore[no-untyped-call]
    return result


def _draw_mask(x: Tensor, dropout: float) -> tuple[Tensor, float]:
    """A mask shaped as `x`, True where an element stays, and the factor that keeps the mean exactly.

    Sixteen random bits decide an element, which is several times faster on a CPU than `bernoulli_`; the
    probability is rounded to a multiple of 2^-16, which the factor takes into account.
    """
    dropped = min(round(dropout * 2**16), 2**16 - 1)
    words = torch.empty(-(-x.numel() // 4), dtype=torch.int64, device=x.device).random_(-(2**63), None)
    keep = words.view(torch.int16)[: x.numel()].view(x.shape) >= dropped - 2**15
    return keep, 2**16 / (2**16 - dropped)


class _ExpertProduct(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        base: Tensor,
        x: Tensor,
        a: Tensor,
        b: Tensor,
        columns: Tensor,
        keep: Tensor | None,
        scale: float,
    ) -> Tensor:
        dtype = base.dtype
        dropped = x.to(dtype) if keep is None else x.to(dtype) * keep
        # The dropout's factor goes on the narrow middle, not on the wide input.
        middle = (dropped @ a.to(dtype).t()).mul_(scale)
        scaled = (middle * columns).to(dtype)
        ctx.save_for_backward(x, a, b, columns, keep, middle)
        ctx.scale, ctx.dtype = scale, dtype
        flat = torch.addmm(
            base.reshape(-1, base.shape[-1]), scaled.reshape(-1, scaled.shape[-1]), b.to(dtype).t()
        )
        return flat.view(base.shape)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, a, b, columns, keep, middle = ctx.saved_tensors
        _, need_x, need_a, need_b, need_columns, *_ = ctx.needs_input_grad
        grad_x = grad_a = grad_b = grad_columns = None
        flat_grad = grad.reshape(-1, grad.shape[-1])
        if need_b:
            scaled = (middle * columns).to(ctx.dtype)
            # Transposed after the product: reading the wide gradient row by row is faster.
            grad_b = (scaled.reshape(-1, scaled.shape[-1]).t() @ flat_grad).t().to(b.dtype)
        grad_scaled = grad @ b.to(ctx.dtype)
        if need_columns:
            grad_columns = (grad_scaled.to(columns.dtype) * middle).sum_to_size(columns.shape)
        if need_x or need_a:
            grad_middle = (grad_scaled * columns).to(ctx.dtype).mul_(ctx.scale)
            flat_middle = grad_middle.reshape(-1, grad_middle.shape[-1])
            if need_a:
                dropped = x.to(ctx.dtype) if keep is None else x.to(ctx.dtype) * keep
                grad_a = (flat_middle.t() @ dropped.reshape(-1, dropped.shape[-1])).to(a.dtype)
            if need_x:
                grad_x = grad_middle @ a.to(ctx.dtype)
                grad_x = (grad_x if keep is None else grad_x.mul_(keep)).to(x.dtype)
        return grad, grad_x, grad_a, grad_b, grad_columns, None, None
