"""Which layers of a causal language model M3OE adapts by default: every linear layer of attention and MLP."""

from __future__ import annotations

import re

import torch
from peft.utils.quantization_utils import resolve_quantization_backend
from torch import nn
from transformers.pytorch_utils import Conv1D

from fedmeki_bench.errors import UsageError

__all__ = ["default_targets", "floating_dtype", "is_linear"]

LAYER_NAMES = frozenset(
    # Llama, Mistral, Qwen, Gemma, SmolLM
    ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    # Phi-3: fused projections
    + ["qkv_proj", "gate_up_proj"]
    # InternLM2
    + ["wqkv", "wo", "w1", "w2", "w3"]
    # GPT-2, GPT-BigCode
    + ["c_attn", "c_proj", "c_fc"]
    # GPT-NeoX, Pythia, BLOOM, Falcon, Phi
    + ["query_key_value", "dense", "dense_h_to_4h", "dense_4h_to_h"]
    # OPT, GPT-Neo, GPT-J, CodeGen
    + ["out_proj", "fc1", "fc2", "fc_in", "fc_out"]
)
"""Last part of the names that linear layers of attention and MLP have in the model families named beside them."""

_IN_A_BLOCK = re.compile(r"\.\d+\.")


def is_linear(module: nn.Module) -> bool:
    """Whether experts can be put beside this layer: linear, transposed linear (GPT-2), or a quantised linear."""
    if isinstance(module, (nn.Linear, Conv1D)):
        return True
    backend = resolve_quantization_backend(module, get_apply_tensor_subclass=lambda: None)
    return backend is not None and backend.layer_type == "linear"


def default_targets(model: nn.Module) -> list[str]:
    """Sorted last name parts of the linear layers of attention and MLP in the model's numbered blocks.

    Raises:
        UsageError: no layer has a known name; names the linear layers there are.
    """
    # A layer that another adapter wraps is found under the name it had before.
    linear = [
        name.removesuffix(".base_layer")
        for name, module in model.named_modules()
        if _IN_A_BLOCK.search(f".{name}") and is_linear(module)
    ]
    found = sorted({name.rpartition(".")[2] for name in linear} & LAYER_NAMES)
    if not found:
        raise UsageError(
            f"no attention or MLP layers with known names in {type(model).__name__}",
            expected=", ".join(sorted(LAYER_NAMES)),
            found=", ".join(sorted({name.rpartition(".")[2] for name in linear})) or "no linear layer in a numbered block",
            fix="name them with target_modules",
        )
    return found


def floating_dtype(module: nn.Module, name: str) -> torch.dtype:
    """The dtype experts beside `module` get: float64 if its weight is, else float32."""
    weight = getattr(module, "weight", None)
    if isinstance(weight, torch.Tensor) and weight.dtype == torch.float64:
        return torch.float64
    if isinstance(module, (nn.Linear, Conv1D)) and not (isinstance(weight, torch.Tensor) and weight.is_floating_point()):
        raise UsageError(
            "experts cannot be put beside a layer whose weight is not floating point",
            where=name,
            expected="float32, bfloat16, float16 or float64, or a quantised layer that PEFT knows",
            found=getattr(weight, "dtype", "no weight"),
        )
    return torch.float32
