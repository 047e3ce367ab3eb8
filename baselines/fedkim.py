"""FedKIM: FedPlug with M3OE, experts in the frozen model mixed by a router that reads the task's descriptions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, ClassVar

from torch import nn

from fedmeki_bench.methods import MethodContext
from fedmeki_bench.methods.base import INJECTION_OPTIONS, FoundationInjection
from fedmeki_bench.modeling.foundation import FoundationModel
from fedmeki_bench.specs import TaskSpec

__all__ = ["FedKIM"]


class FedKIM(FoundationInjection):
    """M3OE (FedKIM, Eq. 4 and 5): 12 experts of rank 8 in every linear layer of attention and MLP.

    Options beside those of every injection method: `experts`, `rank`, `alpha`, `dropout`, `attention_softmax` (True:
    as the release does it), `task_description` and `modality_description` (False: the ablations T and M).
    """

    name = "fedkim"
    config_schema: ClassVar[Mapping[str, Any]] = {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            **INJECTION_OPTIONS,
            "experts": {"type": "integer", "minimum": 1, "default": 12},
            "rank": {"type": "integer", "minimum": 1, "default": 8},
            "alpha": {"type": "number", "exclusiveMinimum": 0, "default": 32},
            "dropout": {"type": "number", "minimum": 0, "exclusiveMaximum": 1, "default": 0.1},
            "attention_softmax": {"type": "boolean", "default": False},
            "task_description": {"type": "boolean", "default": True},
            "modality_description": {"type": "boolean", "default": True},
        },
    }

    def adapt(self, context: MethodContext) -> nn.Module:
        """The foundation model with M3OE in every linear layer of attention and MLP."""
        from peft import get_peft_model

        from fedmeki_bench.modeling.m3oe import M3OEConfig

        config = M3OEConfig(
            r=self.config["rank"],
            num_experts=self.config["experts"],
            lora_alpha=self.config["alpha"],
            lora_dropout=self.config["dropout"],
            attention_softmax=self.config["attention_softmax"],
            use_task_description=self.config["task_description"],
            use_modality_descriptions=self.config["modality_description"],
            descriptions={
                task: _descriptions(context.foundation, spec) for task, spec in context.tasks.items()
            },
            init_seed=context.seed,
        )
        model: nn.Module = get_peft_model(context.foundation.model, config)
        return model

    def training_route(self, tasks: Sequence[TaskSpec]) -> AbstractContextManager[Any]:
        """Each row of the batch is mixed by its own task's expert weights."""
        route: AbstractContextManager[Any] = self.model.base_model.route([task.id for task in tasks])
        return route

    def answering_route(self, task: TaskSpec) -> AbstractContextManager[Any]:
        """The task's experts are folded into the weights while it is answered: no cost over the bare model."""
        self._introduce(task)
        merged: AbstractContextManager[Any] = self.model.base_model.merged(task.id)
        return merged

    def expert_weights(self, task: TaskSpec) -> list[float]:
        """The router's alpha for a task (Eq. 4), one number an expert."""
        self._introduce(task)
        weights: list[float] = self.model.base_model.expert_weights([task.id])[0].tolist()
        return weights

    def _introduce(self, task: TaskSpec) -> None:
        """A zero-shot task is known to the router only from here on, by its descriptions."""
        if task.id not in self.context.tasks:
            self.model.base_model.add_descriptions({task.id: _descriptions(self.context.foundation, task)})


def _descriptions(foundation: FoundationModel, task: TaskSpec) -> dict[str, list[int]]:
    """Token ids of what the router reads: the task's description T, and its modalities' descriptions M, joined."""
    modalities = " ".join(task.modality_descriptions[name] for name in task.modalities)
    return {"task": foundation.tokenize(task.task_description), "modalities": foundation.tokenize(modalities)}
