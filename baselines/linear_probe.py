"""Linear probe: what the frozen model's own representation of the clients' knowledge already tells.

The aggregated encoders' tokens and the prompt go through the frozen model; a linear map on the last hidden state, the
place from which the model would answer, is fitted to the public examples. No weight of model or encoders is trained.
A method that trains more and scores less than this has injected nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from fedmeki_bench.data import Inputs, Labelled
from fedmeki_bench.methods import Answer, InjectionReport, Knowledge, MethodContext
from fedmeki_bench.methods.alignment import align
from fedmeki_bench.methods.answering import in_batches
from fedmeki_bench.methods.base import FoundationInjection
from fedmeki_bench.specs import TaskSpec

__all__ = ["LinearProbe"]

STEPS = 200
"""Most steps of L-BFGS; the problem is convex and small, it ends earlier."""


class LinearProbe(FoundationInjection):
    """One logistic regression for all yes/no tasks, on the last hidden state of the frozen model.

    The head is shared by the tasks, so it has an answer to tasks it was not fitted on; text tasks, which a probe cannot
    answer, are left to the frozen model. Options: `l2` (weight of the squared norm, as a share of the mean loss),
    `federated`.
    """

    name = "linear_probe"
    config_schema: ClassVar[Mapping[str, Any]] = {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "l2": {"type": "number", "exclusiveMinimum": 0, "default": 0.01},
            "federated": {"type": "boolean", "default": True},
        },
    }

    def setup(self, context: MethodContext) -> None:
        """Start with a head of zeros: every answer is as likely as the other."""
        self.context = context
        self.model = context.foundation.model
        context.encoders.to(context.device).eval()
        width = context.foundation.width
        self._mean, self._deviation = torch.zeros(width), torch.ones(width)
        self._weight, self._bias = torch.zeros(width), torch.zeros(1)

    def _features(self, task: TaskSpec, inputs: Sequence[Inputs]) -> Tensor:
        """Last hidden states at the prompts' ends, float32 (inputs, width), on the CPU."""
        with torch.inference_mode():
            sequences = align(self.context.foundation, self.context.encoders, [task] * len(inputs), inputs)
            out = self.model(
                inputs_embeds=sequences.embeds,
                attention_mask=sequences.mask,
                position_ids=sequences.positions,
                output_hidden_states=True,
                logits_to_keep=1,
                use_cache=False,
            )
        hidden: Tensor = out.hidden_states[-1][:, -1].float().cpu()
        return hidden.clone()

    def inject(
        self, knowledge: Knowledge, public: Mapping[str, Sequence[Labelled]], round_index: int
    ) -> InjectionReport:
        """Take the encoders over and fit the head anew to the public yes/no examples."""
        if knowledge.clients:
            self.context.encoders.load_state_dict(knowledge.encoder_state())
        rows, targets = [], []
        size = self.context.training.micro_batch_size
        for task in sorted(public):
            spec = self.context.tasks[task]
            if spec.kind != "yes_no":
                continue
            for start in range(0, len(public[task]), size):
                batch = public[task][start : start + size]
                rows.append(self._features(spec, [one.inputs for one in batch]))
                targets += [float(one.target == "yes") for one in batch]
        losses = [self._fit(torch.cat(rows), torch.tensor(targets))] if rows else []
        return InjectionReport(losses, {"head": self._weight.numel() + 1})

    def _fit(self, features: Tensor, targets: Tensor) -> float:
        """Logistic regression on standardised features by L-BFGS, from zero: the answer depends on the data alone."""
        self._mean = features.mean(dim=0)
        self._deviation = features.std(dim=0, correction=0).clamp(min=1e-6)
        inputs, truth = ((features - self._mean) / self._deviation).double(), targets.double()
        weight = torch.zeros(inputs.shape[1], dtype=torch.float64, requires_grad=True)
        bias = torch.zeros(1, dtype=torch.float64, requires_grad=True)
        optimiser = torch.optim.LBFGS([weight, bias], max_iter=STEPS, line_search_fn="strong_wolfe")

        def objective() -> Tensor:
            optimiser.zero_grad()
            loss = nn.functional.binary_cross_entropy_with_logits(inputs @ weight + bias, truth)
            penalised: Tensor = loss + self.config["l2"] * weight.square().sum()
            penalised.backward()  # type: ignore[no-untyped-call]
            return penalised

        optimiser.step(objective)  # type: ignore[no-untyped-call]
        self._weight, self._bias = weight.detach().float(), bias.detach().float()
        return float(objective().detach())

    def predict(self, task: TaskSpec, inputs: Sequence[Inputs]) -> list[Answer]:
        """Yes/no tasks by the head, text tasks by the frozen model's greedy decoding."""
        if task.kind != "yes_no":
            return super().predict(task, inputs)

        def answer(batch: Sequence[Inputs]) -> list[Answer]:
            features = (self._features(task, batch) - self._mean) / self._deviation
            scores = torch.sigmoid(features @ self._weight + self._bias).tolist()
            words = (task.answer.negative or "No", task.answer.positive or "Yes")
            return [Answer(words[score > 0.5], score) for score in scores]

        return in_batches(inputs, self.context, answer)

    def state_dict(self) -> dict[str, Any]:
        """The head, its scaling, and the encoders."""
        head = {"mean": self._mean, "deviation": self._deviation, "weight": self._weight, "bias": self._bias}
        return {
            "head": {name: value.clone() for name, value in head.items()},
            "encoders": dict(self.encoders()),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take the head and the encoders over."""
        head = {name: value.clone() for name, value in state["head"].items()}
        self._mean, self._deviation = head["mean"], head["deviation"]
        self._weight, self._bias = head["weight"], head["bias"]
        self.context.encoders.load_state_dict(state["encoders"])
