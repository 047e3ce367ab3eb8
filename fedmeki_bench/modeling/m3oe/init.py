"""Initial values that depend on a seed and a name only: not on creation order, device or other layers."""

from __future__ import annotations

import hashlib
import math

import torch

__all__ = ["uniform_parameter"]


def uniform_parameter(
    shape: tuple[int, int], *, seed: int, name: str, device: torch.device, dtype: torch.dtype
) -> torch.nn.Parameter:
    """A (rows, inputs) weight, uniform in +-1/sqrt(inputs): `kaiming_uniform_(a=sqrt(5))`, as LoRA's A.

    The bound depends on the number of inputs alone, so stacked experts are drawn as each would be by itself.
    On the meta device nothing is drawn.
    """
    if device.type == "meta":
        return torch.nn.Parameter(torch.empty(shape, device=device, dtype=dtype))
    digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)
    bound = 1 / math.sqrt(shape[1])
    # Drawn in float32 on the CPU whatever the target: all devices and dtypes start from the same values.
    values = torch.empty(shape, dtype=torch.float32, device="cpu").uniform_(
        -bound, bound, generator=generator
    )
    return torch.nn.Parameter(values.to(device=device, dtype=dtype))
