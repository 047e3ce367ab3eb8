"""One adapted linear layer: the frozen layer, its P experts, and their folding into the weight."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from itertools import chain
from typing import Any

import torch
from peft.tuners.tuners_utils import BaseTunerLayer, _get_in_out_features, check_adapters_to_merge
from peft.utils.quantization_utils import resolve_quantization_backend
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torch.nn import functional as F
from transformers.pytorch_utils import Conv1D

from fedmeki_bench.errors import BenchError
from fedmeki_bench.modeling.m3oe.config import M3OEConfig
from fedmeki_bench.modeling.m3oe.gate import Gate
from fedmeki_bench.modeling.m3oe.init import uniform_parameter
from fedmeki_bench.modeling.m3oe.product import expert_product
from fedmeki_bench.modeling.m3oe.targets import expert_dtype

__all__ = ["M3OELayer"]


class M3OELayer(nn.Module, BaseTunerLayer):  # type: ignore[misc]
    """A linear layer with experts: `c = W h + s . sum_p alpha_p B_p A_p h` (FedKIM, Eq. 5).

    Attributes:
        m3oe_A: by adapter, the A of all experts stacked, (P r, in).
        m3oe_B: by adapter, the B of all experts side by side, (out, P r).

    Args:
        base_layer: the frozen layer.
        gate: brings the expert weights of the current tasks.
        name: the layer's name in the model; its initial values and its errors are known by it.
    """

    adapter_layer_names = ("m3oe_A", "m3oe_B")
    other_param_names = ("r", "num_experts", "dropout")
    # Given by BaseTunerLayer, whose types are not read.
    active_adapters: list[str]
    disable_adapters: bool
    merged: bool
    set_adapter: Callable[..., None]

    def __init__(
        self, base_layer: nn.Module, gate: Gate, name: str, adapter_name: str, config: M3OEConfig
    ) -> None:
        super().__init__()
        self.base_layer = base_layer
        self.gate, self.name = gate, name
        self.quantization_backend = resolve_quantization_backend(
            base_layer, get_apply_tensor_subclass=lambda: None
        )
        self.in_features, self.out_features = _get_in_out_features(base_layer)
        self.r: dict[str, int] = {}
        self.num_experts: dict[str, int] = {}
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
        """Add the experts of one more adapter: A as LoRA's, B zero, so the layer's output stays as it is."""
        # Some quantised layers, such as GPTQ's, have buffers only.
        device = next(chain(self.base_layer.parameters(), self.base_layer.buffers())).device
        dtype, rank = expert_dtype(self.base_layer, self.name), config.r * config.num_experts
        self.r[adapter_name], self.num_experts[adapter_name] = config.r, config.num_experts
        self.dropout[adapter_name] = config.lora_dropout
        shape, name = (rank, self.in_features), f"{self.name}.A"
        self.m3oe_A[adapter_name] = uniform_parameter(
            shape, seed=config.init_seed, name=name, device=device, dtype=dtype
        )
        zeros = torch.zeros(self.out_features, rank, device=device, dtype=dtype)
        self.m3oe_B[adapter_name] = nn.Parameter(zeros)
        self.set_adapter(self.active_adapters, inference_mode=config.inference_mode)

    def experts(self, adapter_name: str) -> tuple[Tensor, Tensor]:
        """The experts one by one, as views: A (P, r, in) and B (P, out, r)."""
        count, rank = self.num_experts[adapter_name], self.r[adapter_name]
        a = self.m3oe_A[adapter_name].view(count, rank, self.in_features)
        return a, self.m3oe_B[adapter_name].view(self.out_features, count, rank).transpose(0, 1)

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """(..., in) to (..., out); with several tasks in the batch x must be (rows, tokens, in).

        Raises:
            BenchError: no task was named, or the input fits neither the layer nor the tasks.
        """
        if self.disable_adapters and self.merged:
            self.unmerge()
        if self.disable_adapters or self.merged:
            result: Tensor = self.base_layer(x, *args, **kwargs)
            return result
        self._check_dtype(x)
        result = self.base_layer(x, *args, **kwargs)
        for adapter in self.active_adapters:
            if adapter in self._folded:
                result = result + self._folded_product(adapter, x, result.dtype)
            elif adapter in self.m3oe_A:
                columns = self.gate.columns(adapter, self.name).to(x.device)
                self._check_rows(x, columns)
                a, b = self.m3oe_A[adapter], self.m3oe_B[adapter]
                dropout = self.dropout[adapter] if self.training else 0.0
                result = expert_product(result, x, a, b, columns, dropout=dropout)
        return result

    def _check_dtype(self, x: Tensor) -> None:
        # A quantised layer converts its input itself, and so does every layer under autocast.
        kind = x.device.type
        autocast = torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind)
        if self.quantization_backend is not None or autocast:
            return
        dtype = self._base_weight.dtype
        if x.dtype != dtype:
            raise BenchError(
                "wrong dtype of a layer's input",
                where=self.name,
                expected=dtype,
                found=x.dtype,
                fix="convert the embeddings to the base model's dtype, or run under torch.autocast",
            )

    def _check_rows(self, x: Tensor, columns: Tensor) -> None:
        rows = columns.shape[0]
        if rows > 1 and (x.ndim != 3 or x.shape[0] != rows):
            raise BenchError(
                "the batch does not fit the tasks of `route`",
                where=self.name,
                expected=f"({rows}, tokens, {self.in_features}): one row a task",
                found=tuple(x.shape),
                fix="a model that flattens its rows before this layer takes one task at a time",
            )

    @property
    def _base_weight(self) -> nn.Parameter:
        weight = self.base_layer.weight
        assert isinstance(weight, nn.Parameter)
        return weight

    def delta_weight(self, adapter_name: str, columns: Tensor) -> Tensor:
        """`s . sum_p alpha_p B_p A_p` for one task, shaped as the base weight, in the experts' dtype.

        Args:
            columns: factors of the inner columns for that task, P r values.
        """
        with torch.no_grad():
            delta: Tensor = (self.m3oe_B[adapter_name] * columns.reshape(-1)) @ self.m3oe_A[adapter_name]
        return delta.t() if isinstance(self.base_layer, Conv1D) else delta

    def merge(self, safe_merge: bool = False, adapter_names: list[str] | None = None) -> None:
        """Fold the routed task's experts into the weight; the original tensor is kept and put back later.

        Raises:
            BenchError: the layer is quantised or sharded over processes, no single task is routed, or
                (safe_merge) the merged weight is not finite.
        """
        for adapter in check_adapters_to_merge(self, adapter_names):
            if adapter not in self.m3oe_A:
                continue
            self.check_mergeable()
            weight = self._base_weight.data
            delta = self.delta_weight(adapter, self._single_task(adapter))
            merged = (weight.to(delta.dtype) + delta).to(weight.dtype)
            if safe_merge and not bool(torch.isfinite(merged).all()):
                raise BenchError(
                    "the merged weight is not finite", where=self.name, found=f"adapter {adapter!r} is broken"
                )
            if self._original is None:
                self._original = weight
            self._base_weight.data = merged
            self.merged_adapters.append(adapter)

    @property
    def merge_obstacle(self) -> str | None:
        """Why nothing can be added to the layer's weight: `quantised`, or `sharded` over processes; None if it can."""
        if self.quantization_backend is not None:
            return "quantised"
        return "sharded" if isinstance(self._base_weight, DTensor) else None

    def check_mergeable(self) -> None:
        """Raise a BenchError if the layer is quantised or sharded over processes."""
        if self.merge_obstacle is not None:
            raise BenchError(
                f"experts cannot be merged into a {self.merge_obstacle} layer",
                where=self.name,
                found=type(self.base_layer).__name__,
                fix='use `merged(task, into="pair")`, which leaves the weight alone',
            )

    def unmerge(self) -> None:
        """Put the original weight tensor back: bit for bit what it was."""
        if self._original is None:
            warnings.warn("Already unmerged. Nothing to do.", stacklevel=2)
            return
        # The model may have been moved or converted in between, which does not reach a tensor kept aside.
        current = self._base_weight.data
        self._base_weight.data = self._original.to(device=current.device, dtype=current.dtype)
        self._original = None
        self.merged_adapters = []

    def fold(self, adapter_name: str) -> None:
        """Fold the routed task's weights into B: one rank P r pair beside an untouched weight, no routing."""
        if adapter_name in self.m3oe_A:
            columns = self._single_task(adapter_name).reshape(-1)
            self._folded[adapter_name] = (self.m3oe_B[adapter_name] * columns).detach()

    def unfold(self) -> None:
        """Forget the pair of `fold`."""
        self._folded = {}

    @property
    def is_folded(self) -> bool:
        """Whether `fold` is in force."""
        return bool(self._folded)

    def _folded_product(self, adapter: str, x: Tensor, dtype: torch.dtype) -> Tensor:
        middle = F.linear(x.to(dtype), self.m3oe_A[adapter].to(dtype))
        return F.linear(middle, self._folded[adapter].to(dtype))

    def _single_task(self, adapter_name: str) -> Tensor:
        columns = self.gate.columns(adapter_name, self.name).detach()
        if columns.shape[0] != 1:
            found = f"{columns.shape[0]} tasks routed"
            raise BenchError("experts are merged for one task at a time", where=self.name, found=found)
        return columns.to(self.m3oe_B[adapter_name].device)

    def supports_lora_conversion(self, adapter_name: str = "default") -> bool:
        """False: without a task there is no single change of the weight to convert."""
        return False

    def __repr__(self) -> str:
        return f"m3oe.{super().__repr__()}"
