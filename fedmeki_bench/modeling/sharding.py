"""A model too large for one GPU, its layers spread over several: accelerate's device map and hooks.

One process drives all GPUs; a batch passes through them one after the other, so sharding saves memory, not time.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch

from fedmeki_bench.errors import BenchError, UsageError

__all__ = ["DeviceMap", "shard"]

DeviceMap = Literal["auto"] | Mapping[str, str | int | torch.device]
"""`auto`, or module name to device."""


def shard(model: Any, device_map: DeviceMap) -> None:
    """Move each layer of a loaded `transformers` model to its device; hooks then move what passes between them.

    The model is read into the computer's memory first, so that is where it must fit as a whole.

    Raises:
        UsageError: `auto` without a GPU.
        BenchError: layers would have to stay in the computer's memory or on disk. Such layers are empty between their
            uses, while adapters are made from, trained beside and folded into their weights.
    """
    from accelerate import dispatch_model

    if device_map == "auto":
        if not torch.cuda.is_available():
            raise UsageError("sharding spreads a model over GPUs", found="no CUDA device", fix="leave --shard away")
        device_map = _balanced(model)
    outside = sorted(name for name, device in device_map.items() if device in ("cpu", "disk"))
    if outside:
        raise BenchError(
            "the foundation model does not fit the GPUs together",
            expected="every layer on a device of its own; layers left in the computer's memory cannot be adapted",
            found=f"{len(outside)} modules left over: {', '.join(outside[:3])}{' ...' if len(outside) > 3 else ''}",
            fix="use more or larger GPUs, or a smaller model",
        )
    # Caches of keys and values stay with their layers.
    dispatch_model(
        model, dict(device_map), skip_keys=getattr(model, "_skip_keys_device_placement", None), force_hooks=True
    )


def _balanced(model: Any) -> dict[str, str | int | torch.device]:
    from accelerate import infer_auto_device_map
    from accelerate.utils import get_balanced_memory

    whole = list(model._no_split_modules or ())
    memory = get_balanced_memory(model, no_split_module_classes=whole)
    placed: dict[str, str | int | torch.device] = infer_auto_device_map(model, memory, no_split_module_classes=whole)
    return placed
