"""Keeping the weights of a quantised base model in the form they are stored in."""

from __future__ import annotations

from torch import nn

from fedmeki_bench.errors import UsageError

__all__ = ["keep_stored_form"]


def keep_stored_form(model: nn.Module) -> None:
    """Turn off bitsandbytes' repacking of 4-bit weights, in all layers, adapted or not.

    On a CPU with AVX512-BF16 the first prediction repacks them in place for a faster kernel. That kernel passes no
    gradient on, so whatever is trained afterwards gets a wrong one and no error; and reading the model's state,
    which saving and loading an adapter do, undoes the repacking inexactly, or wrongly: scales that are not quantised
    themselves stay in the kernel's order.

    Raises:
        UsageError: a layer has been repacked already.
    """
    for name, module in model.named_modules():
        # So called by bitsandbytes since it repacks; nothing else has the attribute.
        if not hasattr(module, "support_avx512bf16_for_cpu"):
            continue
        state = getattr(module.weight, "quant_state", None)
        if getattr(state, "packing_format_for_cpu", False):
            raise UsageError(
                "bitsandbytes has repacked the base model's 4-bit weights, which then pass no gradient on",
                where=name,
                expected="the weights as they were loaded",
                fix="load the base model anew and adapt it before its first prediction on a CPU",
            )
        module.support_avx512bf16_for_cpu = False
