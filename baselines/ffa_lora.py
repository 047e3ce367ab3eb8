"""FFA-LoRA: low-rank adapters whose random half is frozen (Sun et al., ICLR 2024, "Improving LoRA in Privacy-
preserving Federated Learning").

With A fixed, the update B A is linear in what is trained: half the parameters, and a mean of adapters is the adapter
of the mean, which does not hold when A and B are both trained. Shows how little a variant of a method needs.
"""

from __future__ import annotations

from torch import nn

from fedmeki_bench.methods import MethodContext

from .fedplug_l import FedPlugL

__all__ = ["FFALoRA"]


class FFALoRA(FedPlugL):
    """FedPlug_L with A frozen at its initial value, which follows from the run's seed; only B is trained."""

    name = "ffa_lora"

    def adapt(self, context: MethodContext) -> nn.Module:
        """The foundation model with LoRA in every linear layer, A without gradient."""
        model = super().adapt(context)
        for name, parameter in model.named_parameters():
            if ".lora_A." in name:
                parameter.requires_grad_(False)
        return model
