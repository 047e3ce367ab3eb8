"""FedPlug_L: FedPlug with low-rank adapters in the frozen model (FedKIM, section 4, baselines)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from torch import nn

from fedmeki_bench.methods import MethodContext
from fedmeki_bench.methods.base import INJECTION_OPTIONS, FoundationInjection

__all__ = ["FedPlugL"]


class FedPlugL(FoundationInjection):
    """LoRA (Hu et al. 2022) on every linear layer of attention and MLP: rank 8, alpha 32, dropout 0.1."""

    name = "fedplug_l"
    config_schema: ClassVar[Mapping[str, Any]] = {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            **INJECTION_OPTIONS,
            "rank": {"type": "integer", "minimum": 1, "default": 8},
            "alpha": {"type": "number", "exclusiveMinimum": 0, "default": 32},
            "dropout": {"type": "number", "minimum": 0, "exclusiveMaximum": 1, "default": 0.1},
        },
    }

    def adapt(self, context: MethodContext) -> nn.Module:
        """The foundation model with PEFT's LoRA in every linear layer but the output layer."""
        from peft import LoraConfig, get_peft_model

        config = LoraConfig(
            r=self.config["rank"],
            lora_alpha=self.config["alpha"],
            lora_dropout=self.config["dropout"],
            target_modules="all-linear",
            bias="none",
        )
        model: nn.Module = get_peft_model(context.foundation.model, config)
        return model
