"""One adapted linear layer: the frozen layer, its P experts, and their folding into the weight."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from peft.tuners.tuners_utils import BaseTunerLayer, _get_in_out_features, check_adapters_to_merge
from peft.utils.quantization_utils import resolve_quantization_backend
from torch import Tensor, nn
from torch.nn import functional as F
from transformers.pytorch_utils import Conv1D

from fedmeki_bench.errors import BenchError
from fedmeki_bench.modeling.m3oe.config import M3OEConfig
from fedmeki_bench.modeling.m3oe.gate import Gate
from fedmeki_bench.modeling.m3oe.init import uniform_parameter
from fedmeki_bench.modeling.m3oe.product import expert_product
from fedmeki_bench.modeling.m3oe.targets import floating_dtype

__all__ = ["M3OELayer"]


class M3OELayer(nn.Module, BaseTunerLayer):  # type: ignore[misc]
    """A linear layer with experts: `c = W h + s . sum_p alpha_p B_p A_p h` (FedKIM, Eq. 5).

    Attributes:
        m3oe_A: by adapter, all A stacked, (P r, in).
        m3oe_B: by adapter, all B side by side, (out, P r).

    Args:
        base_layer: the frozen layer.
        gate: brings the weights of the current tasks.
        name: the layer's name in the model, for errors.
    """

    adapter_layer_names = ("m3oe_A", "m3oe_B")
    other_param_names = ("r", "num_experts", "scaling", "dropout")

    def __init__(self, base_layer: nn.Module, gate: Gate, name: str, adapter_name: str, config: M3OEConfig) -> None:
        super().__init__()
        self.base_layer = base_layer
        self.gate, self.name = gate, name
        self.quantization_backend = resolve_quantization_backend(base_layer, get_apply_tensor_subclass=lambda: None)
        self.in_features, self.out_features = _get_in_out_features(base_layer)
        self.r: dict[str, int] = {}
        self.num_experts: dict[str, int] = {}
        self.scaling: dict[str, float] = {}
        self.dropout: dict[str, float] = {}
        self.m3oe_A = nn.ParameterDict()
        self.m3oe_B = nn.ParameterDict()
        self.merged_adapters: list[str] = []
        self._disable_adapters = False
        self._active_adapter = [adapter_name]
        self._original: Tensor | None = None
        self._folded: dict[str, Tensor] = {}
        self.update_layer(adapter_name, config)

    def update_layer(self, adapter_name: str, config: M3OEConfig) -> None:
        """Add the experts of one more adapter: A as LoRA's, B zero, so the layer's output does not change."""
        weight = next(self.base_layer.parameters())
        dtype, rank = floating_dtype(self.base_layer, self.name), config.r * config.num_experts
        self.r[adapter_name], self.num_experts[adapter_name] = config.r, config.num_experts
        self.scaling[adapter_name], self.dropout[adapter_name] = config.scaling, config.lora_dropout
        self.m3oe_A[adapter_name] = uniform_parameter(
            (rank, self.in_features), seed=config.init_seed, name=f"{self.name}.A", device=weight.device, dtype=dtype
        )
        self.m3oe_B[adapter_name] = nn.Parameter(torch.zeros(self.out_features, rank, device=weight.device, dtype=dtype))
        self.set_adapter(self.active_adapters, inference_mode=config.inference_mode)

    def experts(self, adapter_name: str) -> tuple[Tensor, Tensor]:
        """The experts one by one, as views: A (P, r, in) and B (P, out, r)."""
        count, rank = self.num_experts[adapter_name], self.r[adapter_name]
        a = self.m3oe_A[adapter_name].view(count, rank, self.in_features)
        return a, self.m3oe_B[adapter_name].view(self.out_features, count, rank).transpose(0, 1)

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """(..., in) to (..., out); with several tasks in the batch x must be (rows, tokens, in)."""
        if self.disable_adapters and self.merged:
            self.unmerge()
        result: Tensor = self.base_layer(x, *args, **kwargs)
        if self.disable_adapters or self.merged:
            return result
        for adapter in self.active_adapters:
            if adapter in self._folded:
                result = result + self._folded_product(adapter, x, result.dtype)
            elif adapter in self.m3oe_A:
                columns = self.gate.columns(adapter, self.name).to(x.device)
                self._check_input(x, columns)
                a, b = self.m3oe_A[adapter], self.m3oe_B[adapter]
                dropout = self.dropout[adapter] if self.training else 0.0
                result = expert_product(result, x, a, b, columns, dropout=dropout)
        return result

    @property
    def has_folded(self) -> bool:
        """Whether `fold` is in force."""
        return bool(self._folded)

    def _folded_product(self, adapter: str, x: Tensor, dtype: torch.dtype) -> Tensor:
        middle = F.linear(x.to(dtype), self.m3oe_A[adapter].to(dtype))
        return F.linear(middle, self._folded[adapter].to(dtype))

    def _check_input(self, x: Tensor, columns: Tensor) -> None:
        if not x.is_floating_point():
            raise BenchError("wrong dtype of a layer's input", where=self.name, expected="floating point", found=x.dtype)
        rows = columns.shape[0]
        if rows > 1 and (x.ndim != 3 or x.shape[0] != rows):
            raise BenchError(
                "the batch does not fit the tasks of `route`",
                where=self.name,
                expected=f"({rows}, tokens, {self.in_features}): one row a task",
                found=tuple(x.shape),
            )

    def delta_weight(self, adapter_name: str, columns: Tensor) -> Tensor:
        """`s . sum_p alpha_p B_p A_p` for one task, in the shape of the base weight, in the experts' dtype.

        Args:
            columns: factors of the inner columns of that task, P r values.
        """
        with torch.no_grad():
            delta = (self.m3oe_B[adapter_name] * columns.reshape(-1)) @ self.m3oe_A[adapter_name]
        return delta.t() if isinstance(self.base_layer, Conv1D) else delta

    def merge(self, safe_merge: bool = False, adapter_names: list[str] | None = None) -> None:
        """Fold the experts of the routed task into the base weight; the original tensor is kept and put back later.

        Raises:
            BenchError: the layer is quantised, several tasks are routed, or (safe_merge) the result is not finite.
        """
        for adapter in check_adapters_to_merge(self, adapter_names):
            if adapter not in self.m3oe_A:
                continue
            if self.quantization_backend is not None:
                raise BenchError(
                    "experts cannot be merged into a quantised layer",
                    where=self.name,
                    found=type(self.base_layer).__name__,
                    fix='use `merged(task, into="pair")`, which leaves the weight alone',
                )
            columns = self._single_task(adapter)
            weight = self.base_layer.weight.data
            delta = self.delta_weight(adapter, columns)
            merged = (weight.to(delta.dtype) + delta).to(weight.dtype)
            if safe_merge and not bool(torch.isfinite(merged).all()):
                raise BenchError("the merged weight is not finite", where=self.name, fix=f"adapter {adapter!r} is broken")
            if self._original is None:
                self._original = weight
            self.base_layer.weight.data = merged
            self.merged_adapters.append(adapter)

    def unmerge(self) -> None:
        """Put the original weight tensor back: bit for bit what it was."""
        if self._original is None:
            warnings.warn("Already unmerged. Nothing to do.", stacklevel=2)
            return
        # The merged copy is dropped, so only a move to another device or dtype in between must be repeated.
        current = self.base_layer.weight.data
        self.base_layer.weight.data = self._original.to(device=current.device, dtype=current.dtype)
        self._original = None
        self.merged_adapters = []

    def fold(self, adapter_name: str) -> None:
        """Fold the routed task's weights into B: one rank P r pair beside an untouched weight, and no routing."""
        if adapter_name in self.m3oe_A:
            columns = self._single_task(adapter_name).reshape(-1)
            self._folded[adapter_name] = (self.m3oe_B[adapter_name] * columns).detach()

    def unfold(self) -> None:
        """Forget the pair of `fold`."""
        self._folded = {}

    def _single_task(self, adapter_name: str) -> Tensor:
        columns = self.gate.columns(adapter_name, self.name).detach()
        if columns.shape[0] != 1:
            raise BenchError(
                "experts are merged for one task at a time", where=self.name, found=f"{columns.shape[0]} tasks routed"
            )
        return columns

    def supports_lora_conversion(self, adapter_name: str = "default") -> bool:
        """False: without a task there is no single weight change to convert."""
        return False

    def __repr__(self) -> str:
        return f"m3oe.{super().__repr__()}"
