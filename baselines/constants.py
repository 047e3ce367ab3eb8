"""Answers that look at no input: what every method must beat."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from fedmeki_bench.data import Inputs, Labelled
from fedmeki_bench.methods import Answer, InjectionReport, Knowledge, Method, MethodContext, State
from fedmeki_bench.specs import TaskSpec

__all__ = ["AlwaysYes", "Majority"]


class _Constant(Method):
    """Shared part: no training, no encoders of its own, no foundation model."""

    uses_foundation_model = False

    @property
    def federated(self) -> bool:
        """Constants need no clients."""
        return False

    def setup(self, context: MethodContext) -> None:
        """Nothing to build."""

    def inject(
        self, knowledge: Knowledge, public: Mapping[str, Sequence[Labelled]], round_index: int
    ) -> InjectionReport:
        """Nothing to learn."""
        return InjectionReport()

    def encoders(self) -> State:
        """No encoders."""
        return {}

    def state_dict(self) -> dict[str, Any]:
        """Nothing to keep."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Nothing to take over."""


class AlwaysYes(_Constant):
    """Answers yes to everything."""

    name = "always-yes"

    def predict(self, task: TaskSpec, inputs: Sequence[Inputs]) -> list[Answer]:
        """The positive answer of a yes/no task, the word "yes" for a text task."""
        return [Answer(task.answer.positive or "yes") for _ in inputs]


class Majority(_Constant):
    """Answers what most public examples of the task have; of all public examples, for a task it has not seen."""

    name = "majority"

    def setup(self, context: MethodContext) -> None:
        """Start with no count."""
        self._counts: dict[str, Counter[str]] = {}

    def inject(
        self, knowledge: Knowledge, public: Mapping[str, Sequence[Labelled]], round_index: int
    ) -> InjectionReport:
        """Count the public targets."""
        self._counts = {task: Counter(one.target for one in examples) for task, examples in public.items()}
        return InjectionReport()

    def predict(self, task: TaskSpec, inputs: Sequence[Inputs]) -> list[Answer]:
        """The same answer for every input; ties go to no."""
        counts = self._counts.get(task.id) or sum(self._counts.values(), Counter())
        yes = counts["yes"] > counts["no"]
        chosen = task.answer.positive if yes else task.answer.negative
        return [Answer(chosen or ("yes" if yes else "no")) for _ in inputs]

    def state_dict(self) -> dict[str, Any]:
        """The counts."""
        return {task: dict(count) for task, count in self._counts.items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take the counts over."""
        self._counts = {task: Counter(count) for task, count in state.items()}
