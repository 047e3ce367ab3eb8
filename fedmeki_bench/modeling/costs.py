"""What a pass through a model costs, counted on the meta device: no weights, no arithmetic, no device needed.

On the meta device torch runs every operation on shapes alone. Floating-point operations are then counted by
torch's own counter, and the activations kept for the backward pass are those that autograd asks to save.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

__all__ = ["PassCost", "forward_backward_cost", "forward_cost"]


@dataclass(frozen=True)
class PassCost:
    """Cost of one pass.

    Attributes:
        flops: floating-point operations of matrix products, convolutions and attention (one multiply-add is
            two).
        saved_bytes: activations kept from the forward to the backward pass, without parameters; 0 without a
            backward pass.
    """

    flops: int
    saved_bytes: int = 0

    def __add__(self, other: PassCost) -> PassCost:
        return PassCost(self.flops + other.flops, self.saved_bytes + other.saved_bytes)

    def __mul__(self, times: int) -> PassCost:
        return PassCost(self.flops * times, self.saved_bytes * times)

    def layers(self, two: PassCost, count: int) -> PassCost:
        """Cost of `count` equal layers, from that of a model of one (this one) and of two."""
        return self + PassCost(two.flops - self.flops, two.saved_bytes - self.saved_bytes) * (count - 1)


def forward_cost(run: Callable[[], object]) -> PassCost:
    """Cost of `run` without gradients."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        run()
    return PassCost(counter.get_total_flops())


def forward_backward_cost(run: Callable[[], Tensor], *modules: nn.Module) -> PassCost:
    """Cost of `run` and of the backward pass from what it returns.

    Args:
        run: a forward pass on the meta device.
        modules: their parameters, which would be in memory anyway, do not count as activations.
    """
    own = {_storage(p) for module in modules for p in [*module.parameters(), *module.buffers()]}
    kept: dict[int, torch.UntypedStorage] = {}

    def keep(tensor: Tensor) -> Tensor:
        if _storage(tensor) not in own:
            # The storage itself is held, or another could come to have its address.
            kept[_storage(tensor)] = tensor.untyped_storage()
        return tensor

    with FlopCounterMode(display=False) as counter:
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            total = run().float().sum()
        saved = sum(storage.nbytes() for storage in kept.values())
        total.backward()  # type: ignore[no-untyped-call]
    return PassCost(counter.get_total_flops(), saved)


def _storage(tensor: Tensor) -> int:
    address: int = tensor.untyped_storage()._cdata
    return address
