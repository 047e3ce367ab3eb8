"""The configuration of an M3OE adapter: everything needed to build, save and load it without a tokenizer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from peft import PeftConfig

from fedmeki_bench.errors import Fault, FaultsError
from fedmeki_bench.modeling.m3oe._peft_type import peft_type

__all__ = ["Descriptions", "M3OEConfig", "description_faults"]

Descriptions: TypeAlias = Mapping[str, Mapping[str, Sequence[int]]]
"""Token ids by task id: `{"task": [...], "modalities": [...]}`, the latter all modalities' joined."""

POOLINGS = ("mean", "max")
SIDES = {"task": "use_task_description", "modalities": "use_modality_descriptions"}


def description_faults(descriptions: Descriptions, config: M3OEConfig) -> list[Fault]:
    """Every fault of some descriptions: missing or empty where the router reads them, or not token ids."""
    faults = []
    for task, sides in descriptions.items():
        for unknown in sorted(set(sides) - set(SIDES)):
            faults.append(Fault(f"descriptions of {task}", unknown, " and ".join(SIDES), "another name"))
        for side, switch in SIDES.items():
            ids = sides.get(side, [])
            if not ids and getattr(config, switch):
                fix = f"give the description's token ids, or set {switch}=False for the ablation without it"
                faults.append(Fault(f"descriptions of {task}", side, "at least one token id", "none", fix))
            elif any(isinstance(item, bool) or not isinstance(item, int) or item < 0 for item in ids):
                faults.append(
                    Fault(
                        f"descriptions of {task}", side, "token ids (whole numbers from 0)", repr(list(ids))
                    )
                )
    return faults


@dataclass
class M3OEConfig(PeftConfig):  # type: ignore[misc]
    """Configuration of an M3OE adapter (FedKIM, Eq. 4 and 5).

    Args:
        r: rank of one expert.
        num_experts: P, the number of experts in every adapted layer.
        lora_alpha: the experts' output is scaled by `lora_alpha / r`, as in LoRA.
        lora_dropout: dropout on the experts' input while training.
        target_modules: names (or a regular expression) of the linear layers to adapt; None adapts every
            linear layer of attention and MLP, found by the name patterns of Llama, Qwen, InternLM2 and GPT
            style models.
        exclude_modules: names (or a regular expression) of layers left alone.
        router_dim: width of the router's query, key and value projections (d_k and d_v of Eq. 4).
        router_mlp_depth: number of linear layers of the MLP after pooling.
        pooling: how beta is pooled over the tokens of the modality descriptions, `mean` or `max`.
        attention_softmax: True takes a softmax over the attention scores, as the release does; the paper has
            none.
        use_task_description: False is the ablation T: the modality descriptions attend to themselves.
        use_modality_descriptions: False is the ablation M: the task description attends to itself.
        descriptions: token ids of every task's descriptions. A side that is switched off may be empty.
        init_seed: seed of all initial values; the global random state is neither read nor changed.
        base_model_shape: filled in on first use: what the adapter was made for, checked when it is loaded
            elsewhere.

    Raises:
        FaultsError: values out of range or descriptions missing; every fault at once.
    """

    r: int = 8
    num_experts: int = 12
    lora_alpha: float = 32
    lora_dropout: float = 0.1
    target_modules: list[str] | str | None = None
    exclude_modules: list[str] | str | None = None
    router_dim: int = 64
    router_mlp_depth: int = 2
    pooling: str = "mean"
    attention_softmax: bool = False
    use_task_description: bool = True
    use_modality_descriptions: bool = True
    descriptions: dict[str, dict[str, list[int]]] = field(default_factory=dict)
    init_seed: int = 0
    base_model_shape: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self.peft_type = peft_type()
        if isinstance(self.target_modules, set):
            self.target_modules = sorted(self.target_modules)
        self.descriptions = {
            task: {side: list(ids) for side, ids in sides.items()}
            for task, sides in self.descriptions.items()
        }
        faults = self._number_faults() + description_faults(self.descriptions, self)
        if not self.descriptions:
            faults.append(
                Fault("M3OEConfig", "descriptions", "the descriptions of at least one task", "none")
            )
        if not (self.use_task_description or self.use_modality_descriptions):
            fix = "without either, the router would give every task the same weights"
            faults.append(
                Fault("M3OEConfig", "use_task_description", "at least one kind of description", "none", fix)
            )
        if faults:
            raise FaultsError("wrong configuration of an M3OE adapter", faults)

    def _number_faults(self) -> list[Fault]:
        whole = {name: getattr(self, name) for name in ("r", "num_experts", "router_dim", "router_mlp_depth")}
        faults = [
            Fault("M3OEConfig", name, "a whole number from 1", repr(value))
            for name, value in whole.items()
            if isinstance(value, bool) or not isinstance(value, int) or value < 1
        ]
        if not self.lora_alpha > 0:
            faults.append(Fault("M3OEConfig", "lora_alpha", "a number above 0", repr(self.lora_alpha)))
        if not 0 <= self.lora_dropout < 1:
            faults.append(Fault("M3OEConfig", "lora_dropout", "0 <= dropout < 1", repr(self.lora_dropout)))
        if self.pooling not in POOLINGS:
            faults.append(Fault("M3OEConfig", "pooling", " or ".join(POOLINGS), repr(self.pooling)))
        return faults

    @property
    def scaling(self) -> float:
        """alpha / r of LoRA, applied to the experts' output."""
        return self.lora_alpha / self.r
