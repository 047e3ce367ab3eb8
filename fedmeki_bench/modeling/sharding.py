"""A model too large for one GPU, spread over several, in two ways.

One process drives all GPUs: accelerate places whole layers on them, and a batch passes through them one after the
other. That saves memory, not time. Or each GPU has a process: torch's fully sharded data parallelism gives each a part
of every layer, and they send each other the parts of a layer when it is its turn. That saves memory and time.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch

from fedmeki_bench.errors import BenchError, UsageError

__all__ = ["DeviceMap", "Placement", "shard", "shard_over_processes"]

Placement = Literal["auto"] | Mapping[str, str | int | torch.device]
"""Whole layers, all driven by one process: `auto` balances them over the GPUs; or module name to device."""

DeviceMap = Placement | Literal["processes"]
"""`processes`: a part of each layer in every process of torch's process group."""


def shard(model: Any, device_map: Placement) -> None:
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


def shard_over_processes(model: Any, device: torch.device) -> None:
    """Keep only this process's part of each decoder layer's frozen weights; embeddings and output layer stay whole.

    From here on a forward pass is one of all processes together: each must make as many as the others. What is added to
    the layers later (adapters) stays whole in every process. Each process reads the whole model into the computer's
    memory first; no GPU ever holds it.

    Args:
        model: a loaded `transformers` model, on the CPU and frozen: the processes exchange no gradients of it.
        device: this process's.

    Raises:
        BenchError: the model does not say which of its modules are its layers.
    """
    from torch.distributed import get_world_size
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    kinds = set(model._no_split_modules or ())
    layers = [module for module in model.modules() if type(module).__name__ in kinds]
    if not layers:
        raise BenchError(
            "the foundation model cannot be sharded",
            where=type(model).__name__,
            expected="the class of its decoder layers in `_no_split_modules`",
            found=", ".join(sorted(kinds)) or "nothing",
        )
    inside = {parameter for layer in layers for parameter in layer.parameters()}
    mesh = init_device_mesh(device.type, (get_world_size(),))
    for layer in layers:
        fully_shard(layer, mesh=mesh)
    # The whole model only comes into it so that the layers know of each other and fetch the next one ahead of time.
    fully_shard(model, mesh=mesh, ignored_params={one for one in model.parameters() if one not in inside})
    model.to(device)
    for layer in layers:
        # Room for the whole layer is made at its first use. Made under inference mode, it could not be trained through.
        layer.unshard()
        layer.reshard()


def _balanced(model: Any) -> dict[str, str | int | torch.device]:
    from accelerate import infer_auto_device_map
    from accelerate.utils import get_balanced_memory

    whole = list(model._no_split_modules or ())
    memory = get_balanced_memory(model, no_split_module_classes=whole)
    placed: dict[str, str | int | torch.device] = infer_auto_device_map(model, memory, no_split_module_classes=whole)
    return placed
