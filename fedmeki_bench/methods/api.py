"""The plug-in API: what a method receives, what it returns, and nothing else.

A method is a class with a `name`, built from a validated config and driven by the runner:

    method = MyMethod(config)
    method.setup(context)                                  # once a training
    for round_index in range(rounds):
        report = method.inject(knowledge, public, round_index)
        clients start the next round from method.encoders()
    answers = method.predict(task, inputs)                 # inputs carry no labels

Never in a method's hands: a test label, a development label, a zero-shot task before `predict`, a private example.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from jsonschema import Draft202012Validator

from fedmeki_bench.errors import BenchError, Fault, FaultsError, did_you_mean
from fedmeki_bench.specs import TaskSpec

if TYPE_CHECKING:
    import torch

    from fedmeki_bench.data import Inputs, Labelled
    from fedmeki_bench.modeling.encoders import Encoders
    from fedmeki_bench.modeling.foundation import FoundationModel

__all__ = ["Answer", "InjectionReport", "Knowledge", "Method", "MethodContext", "ServerTraining", "State"]

State = Mapping[str, "torch.Tensor"]
"""Parameters and buffers by name, as in `torch.nn.Module.state_dict()`."""


@dataclass(frozen=True)
class Answer:
    """A method's answer to one input.

    Attributes:
        text: the answer in words, as it goes into the prediction file.
        score: probability of the positive answer among a yes/no task's two answers, 0 to 1; None if there is none.
    """

    text: str
    score: float | None = None


@dataclass(frozen=True)
class Knowledge:
    """What the clients learned in one round, aggregated: the only thing that leaves the hospitals.

    Attributes:
        state: aggregated parameters and buffers of the local model; names start with `encoders.` or `heads.`.
        clients: number of clients aggregated; 0 before any round, and always for a method that is not federated.
    """

    state: State
    clients: int

    def encoder_state(self) -> dict[str, torch.Tensor]:
        """The encoders' part of the state, named as in `Encoders.state_dict()`."""
        return {
            name.removeprefix("encoders."): value for name, value in self.state.items() if name.startswith("encoders.")
        }


@dataclass(frozen=True)
class ServerTraining:
    """The server's optimisation (FedKIM, implementation details).

    Attributes:
        learning_rate: peak learning rate of Adam.
        betas: Adam's decay rates.
        weight_decay: decoupled weight decay.
        batch_size: examples an optimiser step, whatever the micro-batch (gradients are accumulated).
        micro_batch_size: examples held in memory at once; changes speed and memory, and the result by rounding only.
        epochs: passes over the public split a round.
        clip: largest gradient norm.
        warmup: share of all steps in which the learning rate rises; then it falls linearly to zero.
        rounds: number of rounds planned; the schedule spans all of them.
        gradient_checkpointing: recompute activations in the backward pass to save memory.
    """

    learning_rate: float = 5e-4
    betas: tuple[float, float] = (0.9, 0.95)
    weight_decay: float = 1e-4
    batch_size: int = 16
    micro_batch_size: int = 4
    epochs: int = 1
    clip: float = 1.0
    warmup: float = 0.1
    rounds: int = 10
    gradient_checkpointing: bool = False


@dataclass(frozen=True)
class MethodContext:
    """What a method may use for a training.

    Attributes:
        foundation_model: the frozen foundation model with its tokenizer; None for methods that use none.
        encoders: one a modality, as the clients have them before the first round; the method's to keep and train.
        tasks: specs of the training tasks, by id; no other task exists for the method before `predict`.
        training: the server's optimisation settings.
        device: where tensors live.
        seed: seed of this run; derive every random choice from it.
        prediction_batch_size: most inputs answered at once; None: `in_batches` finds out how many memory allows. It
            changes speed, never an answer.
        progress: tell the person watching: what is being done, steps done, steps in all, the last step's loss.
    """

    foundation_model: FoundationModel | None
    encoders: Encoders
    tasks: Mapping[str, TaskSpec]
    training: ServerTraining
    device: torch.device
    seed: int
    prediction_batch_size: int | None = None
    progress: Callable[[str, int, int, float | None], None] = lambda stage, done, total, loss: None

    @property
    def foundation(self) -> FoundationModel:
        """The foundation model.

        Raises:
            BenchError: the method said that it uses none.
        """
        if self.foundation_model is None:
            raise BenchError(
                "no foundation model was loaded",
                fix="leave uses_foundation_model at True in the method's class",
            )
        return self.foundation_model


@dataclass(frozen=True)
class InjectionReport:
    """What one round of injection did.

    Attributes:
        losses: training loss of each optimiser step.
        trainable_parameters: number of parameters trained, by part (`encoders`, `adapter`, `router` ...).
    """

    losses: Sequence[float] = ()
    trainable_parameters: Mapping[str, int] = field(default_factory=dict)

    @property
    def steps(self) -> int:
        """Number of optimiser steps."""
        return len(self.losses)

    @property
    def mean_loss(self) -> float | None:
        """Mean loss over the steps, None if there was none."""
        return sum(self.losses) / len(self.losses) if self.losses else None


class Method(ABC):
    """Base class of every method. Subclasses set `name` and `config_schema` and fill in the five calls.

    `config_schema` is a JSON Schema (draft 2020-12) of an object; unknown options are refused and the schema's
    `default` values are filled in, so that a run's record holds every option.
    """

    name: ClassVar[str]
    config_schema: ClassVar[Mapping[str, Any]] = {
        "type": "object",
        "additionalProperties": False,
        "properties": {},
    }
    uses_foundation_model: ClassVar[bool] = True
    """False for methods that answer without the model (constants): the runner then loads none."""

    def __init__(self, config: Mapping[str, Any] | None = None) -> None:
        properties: Mapping[str, Mapping[str, Any]] = self.config_schema.get("properties", {})
        defaults = {name: option["default"] for name, option in properties.items() if "default" in option}
        self.config: dict[str, Any] = {**defaults, **(config or {})}
        self._check_config(properties)

    def _check_config(self, properties: Mapping[str, Any]) -> None:
        faults = []
        for error in Draft202012Validator(dict(self.config_schema)).iter_errors(self.config):
            option = ".".join(map(str, error.absolute_path))
            if error.validator == "additionalProperties":
                unknown = sorted(set(self.config) - set(properties))
                faults += [
                    Fault(self.name, name, "no such option", "an unknown option", did_you_mean(name, properties))
                    for name in unknown
                ]
            else:
                faults.append(
                    Fault(self.name, option, f"{error.validator} {error.validator_value}", repr(error.instance))
                )
        if faults:
            raise FaultsError(f"wrong options for the method {self.name!r}", faults)

    @property
    def federated(self) -> bool:
        """Whether clients train at all; False skips them, and `inject` sees the encoders' initial state."""
        return True

    @abstractmethod
    def setup(self, context: MethodContext) -> None:
        """Build what the method trains; called once, before the first round."""

    @abstractmethod
    def inject(
        self, knowledge: Knowledge, public: Mapping[str, Sequence[Labelled]], round_index: int
    ) -> InjectionReport:
        """Take in what the clients learned, using the public examples of the training tasks (by task id)."""

    @abstractmethod
    def encoders(self) -> State:
        """The encoders' state, named as in `Encoders.state_dict()`: what goes back to the clients."""

    @abstractmethod
    def predict(self, task: TaskSpec, inputs: Sequence[Inputs]) -> list[Answer]:
        """One answer an input, in order. An input's answer must not depend on the other inputs."""

    @abstractmethod
    def state_dict(self) -> dict[str, Any]:
        """Everything that resuming needs: tensors, numbers, strings and containers of them only."""

    @abstractmethod
    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over a state that `state_dict` gave, after `setup`."""

    def expert_weights(self, task: TaskSpec) -> Sequence[float] | None:
        """The weights a router gives its experts for a task, which must sum to one; None for methods without one."""
        return None

    def close(self) -> None:  # noqa: B027  (most methods have nothing to give back)
        """Undo what `setup` did to the foundation model, so that another training can start from it."""
