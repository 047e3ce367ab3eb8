"""Which layers of a causal language model M3OE adapts by default: every linear layer of attention and MLP."""

from __future__ import annotations

import re

import torch
from peft.utils.quantization_utils import resolve_quantization_backend
from torch import nn
from transformers.pytorch_utils import Conv1D

from fedmeki_bench.errors import UsageError

__all__ = ["default_targets", "expert_dtype", "is_linear", "unwrapped_name"]

FAMILIES = {
    "Llama, Mistral, Qwen, Gemma, SmolLM": "q_proj k_proj v_proj o_proj gate_proj up_proj down_proj",
    "Phi-3 (fused)": "qkv_proj gate_up_proj",
    "InternLM2": "wqkv wo w1 w2 w3",
    "GPT-2, GPT-BigCode": "c_attn c_proj c_fc",
    "GPT-NeoX, Pythia, BLOOM, Falcon, Phi": "query_key_value dense dense_h_to_4h dense_4h_to_h",
    "OPT, GPT-Neo, GPT-J, CodeGen": "out_proj fc1 fc2 fc_in fc_out",
}
"""What the linear layers of attention and MLP are called, the last part of their names, by model family."""

LAYER_NAMES = frozenset(name for names in FAMILIES.values() for name in names.split())

_IN_A_BLOCK = re.compile(r"\.\d+\.")


def is_linear(module: nn.Module) -> bool:
    """Whether experts can be put beside a layer: linear, transposed (GPT-2's Conv1D) or quantised linear."""
    if isinstance(module, (nn.Linear, Conv1D)):
        return True
    backend = resolve_quantization_backend(module, get_apply_tensor_subclass=lambda: None)
    return backend is not None and backend.layer_type == "linear"


def unwrapped_name(name: str) -> str:
    """The name a layer had before an adapter wrapped it."""
    return name.replace(".base_layer", "")


def default_targets(model: nn.Module) -> list[str]:
    """Sorted last name parts of the linear layers of attention and MLP in the model's numbered blocks.

    Raises:
        UsageError: no layer has a known name; names the linear layers there are.
    """
    names = {unwrapped_name(name) for name, module in model.named_modules() if is_linear(module)}
    linear = {name.rpartition(".")[2] for name in names if _IN_A_BLOCK.search(f".{name}")}
    if not linear & LAYER_NAMES:
        raise UsageError(
            f"no attention or MLP layers with known names in {type(model).__name__}",
            expected=", ".join(sorted(LAYER_NAMES)),
            found=", ".join(sorted(linear)) or "no linear layer in a numbered block",
            fix="name them with target_modules",
        )
    return sorted(linear & LAYER_NAMES)


def expert_dtype(module: nn.Module, name: str) -> torch.dtype:
    """The dtype of experts beside a layer: float64 if its weight is, else float32, also beside bfloat16.

    Raises:
        UsageError: the weight holds whole numbers and PEFT knows no such quantised layer.
    """
    weight = getattr(module, "weight", None)
    dtype = weight.dtype if isinstance(weight, torch.Tensor) else None
    quantised = resolve_quantization_backend(module, get_apply_tensor_subclass=lambda: None) is not None
    if not quantised and (dtype is None or not dtype.is_floating_point):
        raise UsageError(
            "experts cannot be put beside a layer whose weight is not floating point",
            where=name,
            expected="float32, bfloat16, float16, float64, or a quantised layer that PEFT knows",
            found=dtype or "no weight",
        )
    return torch.float64 if dtype == torch.float64 else torch.float32
