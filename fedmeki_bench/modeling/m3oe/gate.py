"""The gate: how the weights of the tasks in a batch reach every adapted layer, computed once a forward pass.

The layers cannot receive the weights as an argument without changing the base model's code, so all of them
hold one `Gate`. The model opens it at the start of a forward pass and closes it at the end. Gradient
checkpointing runs layers again later, within the backward pass, when the gate has long been closed, or opened
for another batch; `Gate.replay` then says which forward pass is being repeated.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from fedmeki_bench.errors import BenchError

__all__ = ["Gate", "OpenGate", "in_backward", "pass_gradient_on"]


def in_backward() -> bool:
    """Whether this thread is inside a backward pass, which for a layer means: recomputed by checkpointing."""
    # torch.utils.checkpoint asks the same way; there is no public call for it.
    return torch._C._current_graph_task_id() != -1


@dataclass
class OpenGate:
    """The columns' factors of one forward pass.

    Attributes:
        columns: by adapter, `s alpha_p` repeated r times: (1, 1, P r), or (rows, 1, P r) for several tasks.
        leaves: the same values cut off from the router. Reentrant checkpointing runs a backward pass of its
            own for each block; on the real columns each would run through the router again, whose graph the
            first has freed. So a recomputed block uses the leaf, which gathers the gradients, and
            `pass_gradient_on` hands them over.
    """

    columns: Mapping[str, Tensor]
    leaves: dict[str, Tensor] = field(init=False)

    def __post_init__(self) -> None:
        self.leaves = {
            name: value.detach().requires_grad_(value.requires_grad) for name, value in self.columns.items()
        }


@dataclass
class Gate:
    """Shared by the adapted layers of one model.

    Attributes:
        now: open during a forward pass.
        replay: the forward pass that the running backward pass belongs to.
    """

    now: OpenGate | None = None
    replay: OpenGate | None = None

    def columns(self, adapter: str, layer: str) -> Tensor:
        """The factors for `layer` now.

        Raises:
            BenchError: no task was named for this forward pass.
        """
        opened = self.replay if in_backward() and self.now is None else self.now
        if opened is None or adapter not in opened.columns:
            raise BenchError(
                "an M3OE layer was run without a task",
                where=layer,
                expected="the model called inside `with model.base_model.route(tasks):`",
                fix="name the task of each row, merge one task (`merged(task)`), or disable the adapter",
            )
        return (opened.leaves if opened is self.replay else opened.columns)[adapter]

    def __deepcopy__(self, memo: dict[int, Any]) -> Gate:
        # What is open belongs to the forward pass of the original; a copied model starts closed.
        copied = Gate()
        memo[id(self)] = copied
        return copied


class _PassGradientOn(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, embeddings: Tensor, opened: OpenGate, *columns: Tensor) -> Tensor:
        ctx.opened = opened
        return embeddings.view_as(embeddings)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        leaves = list(ctx.opened.leaves.values())
        gathered = [leaf.grad for leaf in leaves]
        for leaf in leaves:
            leaf.grad = None
        return grad, None, *gathered


def pass_gradient_on(embeddings: Tensor, opened: OpenGate) -> Tensor:
    """The input embeddings, unchanged, but tied to the gate: what its leaves gathered goes to the router.

    Every layer reads the embeddings, directly or not, so this node is the last that a backward pass reaches.
    """
    arguments = (embeddings, opened, *opened.columns.values())
    result: Tensor = _PassGradientOn.apply(*arguments)  # type: ignore[no-untyped-call]
    return result
