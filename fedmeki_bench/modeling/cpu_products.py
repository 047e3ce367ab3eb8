"""Float32 matrix products on a CPU by the library that uses all of it.

torch hands them to MKL, which on AMD's processors keeps to half of the vector width: products take twice as long as
they need. oneDNN comes with torch as well and uses the full width. torch has no switch that says so; it turns to oneDNN
when products *may* be rounded to bfloat16, which oneDNN then does only where the processor multiplies bfloat16 matrices
(AMX). So the permission is given, what comes of it is measured, and it is withdrawn at once if anything was rounded.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch

__all__ = ["ProductLibrary", "float32_products"]

ProductLibrary = Literal["default", "onednn"]
"""Who computes float32 products: torch's own choice, or oneDNN."""

LARGEST_ERROR = 1e-5
"""Relative to the exact product, in the Frobenius norm: float32 stays below 1e-6, bfloat16 is at 2e-3."""

PROBED = ((4, 64, 64), (64, 256, 96), (512, 512, 512))
"""Shapes (rows, inner, columns) of the products measured: kernels differ by size."""


@contextmanager
def float32_products(device: torch.device) -> Iterator[ProductLibrary]:
    """Use oneDNN inside the block if the device is a CPU with AVX-512 on which oneDNN keeps float32 exact.

    Whether it does follows from processor and torch, not from timings, so a machine always decides alike. Results of
    the two libraries differ in the last bits, as those of two machines do.
    """
    before = torch.get_float32_matmul_precision()
    if device.type != "cpu" or before != "highest" or torch.backends.cpu.get_cpu_capability() != "AVX512":
        yield "default"
        return
    try:
        torch.set_float32_matmul_precision("medium")
        exact = all(_relative_error(*shape) < LARGEST_ERROR for shape in PROBED)
        if not exact:
            torch.set_float32_matmul_precision(before)
        yield "onednn" if exact else "default"
    finally:
        torch.set_float32_matmul_precision(before)


def _relative_error(rows: int, inner: int, columns: int) -> float:
    generator = torch.Generator().manual_seed(0)
    left = torch.randn(rows, inner, generator=generator)
    right = torch.randn(inner, columns, generator=generator)
    exact = left.double() @ right.double()
    return float(((left @ right).double() - exact).norm() / exact.norm())
