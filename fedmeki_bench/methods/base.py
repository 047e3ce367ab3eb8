"""Base class of methods that inject client knowledge into a frozen language model.

It does the alignment, the autoregressive loss on the answer's tokens, batching and decoding. A method then says what
it adds to the model: nothing (FedPlug), low-rank adapters (FedPlug_L), routed experts (FedKIM).
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from fedmeki_bench.data import Inputs, Labelled
from fedmeki_bench.methods.alignment import TokenSource, align, answer_ids, length_key, prompt_text
from fedmeki_bench.methods.answering import answer_by_generation, answer_by_likelihood, in_batches
from fedmeki_bench.methods.api import Answer, InjectionReport, Knowledge, Method, MethodContext, State
from fedmeki_bench.methods.frozen import FrozenTokens
from fedmeki_bench.methods.optimisation import ServerOptimiser, derived_seed, seeded
from fedmeki_bench.methods.processes import current_processes
from fedmeki_bench.specs import TaskSpec

__all__ = ["INJECTION_OPTIONS", "FoundationInjection"]

INJECTION_OPTIONS: Mapping[str, Any] = {
    "train_encoders": {"type": "boolean", "default": True},
    "answering": {"enum": ["likelihood", "generation"], "default": "likelihood"},
    "federated": {"type": "boolean", "default": True},
}
"""Options every injection method has; put them among a subclass's `properties`."""

Pair = tuple[TaskSpec, Labelled]


class FoundationInjection(Method):
    """Injection into a frozen foundation model; subclasses override `adapt` and, if they route by task, the two routes.

    Options: `train_encoders` (the server trains the aggregated encoders too), `answering` of yes/no tasks
    (`likelihood` of the two answers, or greedy `generation`), `federated` (False is the ablation `pub`: no clients).
    """

    config_schema: ClassVar[Mapping[str, Any]] = {
        "type": "object",
        "additionalProperties": False,
        "properties": dict(INJECTION_OPTIONS),
    }

    context: MethodContext
    model: Any
    """What answers: the foundation model, wrapped if the method adapts it."""

    @property
    def federated(self) -> bool:
        """False for the ablation without clients."""
        return bool(self.config["federated"])

    def adapt(self, context: MethodContext) -> nn.Module:
        """The model that answers, built on the frozen one; what it adds requires gradients. Default: nothing added."""
        model: nn.Module = context.foundation.model
        return model

    def training_route(self, tasks: Sequence[TaskSpec]) -> AbstractContextManager[Any]:
        """In force during a training pass over inputs of these tasks, one a row."""
        return nullcontext()

    def answering_route(self, task: TaskSpec) -> AbstractContextManager[Any]:
        """In force while this task is answered."""
        return nullcontext()

    def setup(self, context: MethodContext) -> None:
        """Adapt the model; the adapter's initial weights follow from the run's seed."""
        self.context = context
        with seeded(context.device, context.seed, "adapter"), warnings.catch_warnings():
            # PEFT reads an attribute that transformers has renamed; nothing a user could act on.
            warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing", category=FutureWarning)
            self.model = self.adapt(context)
        if not context.foundation.sharded:
            # Adapters of a sharded model are already where their layers are.
            self.model.to(context.device)
        # The encoders stay in evaluation mode in injection too: batch statistics stay the clients', and a row's tokens
        # do not depend on how the batch was cut. The language model is put in training mode for each pass (dropout).
        context.encoders.to(context.device).eval()
        self._optimiser: ServerOptimiser | None = None
        self._frozen: FrozenTokens | None = None
        if context.training.gradient_checkpointing:
            self.model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})

    def trainable(self) -> dict[str, nn.Parameter]:
        """The parameters that injection trains, by name: the adapter's, and the encoders' if they are trained."""
        found = {f"adapter.{name}": value for name, value in self.model.named_parameters() if value.requires_grad}
        if self.config["train_encoders"]:
            found |= {f"encoders.{name}": value for name, value in self.context.encoders.named_parameters()}
        return found

    def inject(
        self, knowledge: Knowledge, public: Mapping[str, Sequence[Labelled]], round_index: int
    ) -> InjectionReport:
        """Put the aggregated encoders in place, then train on the public examples of all training tasks together."""
        if knowledge.clients:
            self.context.encoders.load_state_dict(knowledge.encoder_state())
            self._frozen = None
        pairs = [(self.context.tasks[task], one) for task in sorted(public) for one in public[task]]
        trainable = self.trainable()
        losses: list[float] = []
        # A method with nothing to train (frozen encoders, no adapter) only takes the encoders over.
        if trainable and pairs:
            if self._optimiser is None:
                self._optimiser = ServerOptimiser(trainable, self.context.training, len(pairs))
            self.model.train()
            # Each process draws its own dropout masks: the shares of a batch must not all be masked alike.
            rank = current_processes().rank
            with seeded(self.context.device, self.context.seed, "injection", round_index, *([rank] if rank else [])):
                epochs, size = self.context.training.epochs, self.context.training.batch_size
                steps = epochs * math.ceil(len(pairs) / size)
                for epoch in range(epochs):
                    for batch in self._batches(pairs, round_index, epoch):
                        losses.append(self._optimiser.step(self._losses(batch)))
                        self.context.progress("injection", len(losses), steps, losses[-1])
            self.model.eval()
        return InjectionReport(losses, self._trainable_counts(trainable))

    def _trainable_counts(self, trainable: Mapping[str, nn.Parameter]) -> dict[str, int]:
        counts: dict[str, int] = {}
        for name, value in trainable.items():
            part = "router" if "router." in name else name.partition(".")[0]
            counts[part] = counts.get(part, 0) + value.numel()
        return counts

    def _batches(self, pairs: Sequence[Pair], round_index: int, epoch: int) -> Iterator[list[Pair]]:
        seed = derived_seed(self.context.seed, "order", round_index, epoch)
        order = torch.randperm(len(pairs), generator=torch.Generator().manual_seed(seed)).tolist()
        size = self.context.training.batch_size
        for start in range(0, len(order), size):
            yield [pairs[row] for row in order[start : start + size]]

    def _losses(self, batch: Sequence[Pair]) -> Iterator[Tensor]:
        """Losses of the micro-batches; their sum is the mean over all answer tokens of the batch, however it is cut.

        Where several processes run together, these are the micro-batches of this one's share, cut smaller if there
        would not be one for each; all shares together sum to the same.
        """
        batch = sorted(batch, key=lambda pair: (length_key(pair[1].inputs), pair[0].id, pair[1].inputs.id))
        answers = [self._answer_ids(task, one) for task, one in batch]
        count = sum(map(len, answers))
        processes = current_processes()
        size = min(self.context.training.micro_batch_size, processes.turns(len(batch)))
        starts = range(0, len(batch), size)
        mine = processes.share(starts)
        for start in mine:
            yield self._loss(batch[start : start + size], answers[start : start + size]) / count
        if self.context.foundation.collective and len(mine) < processes.turns(len(starts)):
            # Others have one more, and cannot pass it through a shared model alone: the main process's first one again,
            # whose gradients exist anyway, with no weight.
            yield self._loss(batch[:size], answers[:size]) * 0.0

    def _answer_ids(self, task: TaskSpec, one: Labelled) -> list[int]:
        words = one.target
        if task.kind == "yes_no":
            chosen = task.answer.positive if one.target == "yes" else task.answer.negative
            assert chosen is not None
            words = chosen
        foundation = self.context.foundation
        return [*answer_ids(foundation, prompt_text(task, one.inputs), words), foundation.end()]

    def _loss(self, batch: Sequence[Pair], answers: Sequence[Sequence[int]]) -> Tensor:
        """Summed cross-entropy of the answers' tokens; logits are computed at the answers only (FedKIM, Eq. 6)."""
        tasks = [task for task, _ in batch]
        sequences = align(self.context.foundation, self._tokens(), tasks, [one.inputs for _, one in batch], answers)
        longest = max(map(len, answers))
        ignored = -100
        targets = torch.tensor(
            [[ignored] * (longest - len(ids)) + list(ids) for ids in answers], device=sequences.embeds.device
        )
        with self.training_route(tasks):
            out = self.model(
                inputs_embeds=sequences.embeds,
                attention_mask=sequences.mask,
                position_ids=sequences.positions,
                logits_to_keep=longest + 1,
                use_cache=False,
            )
        logits = out.logits[:, :-1].float()
        return nn.functional.cross_entropy(
            logits.flatten(0, 1), targets.flatten(), ignore_index=ignored, reduction="sum"
        )

    def _tokens(self) -> TokenSource:
        """The encoders, or, where they are not trained, their tokens: kept until aggregated encoders replace them."""
        if self.config["train_encoders"]:
            return self.context.encoders
        if self._frozen is None:
            again = self.context.training.epochs > 1 or not self.federated
            self._frozen = FrozenTokens(self.context.encoders, self.context.foundation, keep=again)
        return self._frozen

    def encoders(self) -> State:
        """The encoders as they stand after injection."""
        return {name: value.detach().cpu().clone() for name, value in self.context.encoders.state_dict().items()}

    def predict(self, task: TaskSpec, inputs: Sequence[Inputs]) -> list[Answer]:
        """Yes/no tasks by likelihood (or generation, if configured), text tasks by greedy decoding."""
        self.model.eval()

        def answer(batch: Sequence[Inputs]) -> list[Answer]:
            with torch.inference_mode():
                sequences = align(self.context.foundation, self.context.encoders, [task] * len(batch), batch)
            if task.kind == "yes_no" and self.config["answering"] == "likelihood":
                return answer_by_likelihood(self.model, self.context.foundation, task, batch, sequences)
            return answer_by_generation(self.model, self.context.foundation, task, sequences)

        with self.answering_route(task):
            return in_batches(inputs, self.context, answer)

    def state_dict(self) -> dict[str, Any]:
        """Adapter, encoders, and the optimiser once it has stepped."""
        adapter = {
            name: value.detach().cpu().clone() for name, value in self.model.named_parameters() if value.requires_grad
        }
        optimiser = self._optimiser.state_dict() if self._optimiser else None
        return {"adapter": adapter, "encoders": dict(self.encoders()), "optimiser": optimiser}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over adapter, encoders and optimiser."""
        parameters = dict(self.model.named_parameters())
        with torch.no_grad():
            for name, value in state["adapter"].items():
                parameters[name].copy_(value)
        self.context.encoders.load_state_dict(state["encoders"])
        self._frozen = None
        if state["optimiser"] is not None:
            self._optimiser = ServerOptimiser(self.trainable(), self.context.training, state["optimiser"]["examples"])
            self._optimiser.load_state_dict(state["optimiser"])

    def close(self) -> None:
        """Give the foundation model back as it was, without the adapter."""
        if self.model is not self.context.foundation.model:
            self.model.unload()
