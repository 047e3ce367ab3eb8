"""Methods with one defect each, and the check that must find it."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from fedmeki_bench.baselines.constants import Majority
from fedmeki_bench.baselines.fedplug import FedPlug
from fedmeki_bench.baselines.fedplug_l import FedPlugL
from fedmeki_bench.baselines.linear_probe import LinearProbe
from torch import nn

from fedmeki_bench.data import Inputs, Labelled
from fedmeki_bench.methods import Answer, InjectionReport, Knowledge, Method, MethodContext, State
from fedmeki_bench.specs import TaskSpec, load_tasks

__all__ = ["DEFECTS"]

Public = Mapping[str, Sequence[Labelled]]
DEFECTS: list[tuple[str, type[Method]]] = []


def defect(check: str) -> Any:
    def register(method: type[Method]) -> type[Method]:
        DEFECTS.append((check, method))
        return method

    return register


@defect("contract")
class ForgetsAnInput(Majority):
    def predict(self, task: TaskSpec, inputs: Sequence[Inputs]) -> list[Answer]:
        return super().predict(task, inputs)[1:]


@defect("contract")
class ScoresInPerCent(Majority):
    def predict(self, task: TaskSpec, inputs: Sequence[Inputs]) -> list[Answer]:
        return [Answer("Yes", 93.0) for _ in inputs]


@defect("contract")
class OptionWithoutDefault(Majority):
    config_schema: ClassVar[Mapping[str, Any]] = {
        "type": "object",
        "additionalProperties": False,
        "properties": {"rank": {"type": "integer"}},
    }


@defect("contract")
class TakesAnyOption(Majority):
    config_schema: ClassVar[Mapping[str, Any]] = {"type": "object", "properties": {}}


@defect("contract")
class RenamesEncoders(LinearProbe):
    def encoders(self) -> State:
        return {f"my.{name}": value for name, value in super().encoders().items()}


@defect("contract")
class Breaks(Majority):
    def inject(self, knowledge: Knowledge, public: Public, round_index: int) -> InjectionReport:
        raise TypeError("unsupported operand\nand a second line")


@defect("determinism")
class DrawsFromTheGlobalGenerator(Majority):
    def predict(self, task: TaskSpec, inputs: Sequence[Inputs]) -> list[Answer]:
        return [Answer("Yes", random.random()) for _ in inputs]


@defect("determinism")
class InitialisesFromTheGlobalGenerator(LinearProbe):
    def setup(self, context: MethodContext) -> None:
        super().setup(context)
        self._bias = torch.randn(1)

    def inject(self, knowledge: Knowledge, public: Public, round_index: int) -> InjectionReport:
        return InjectionReport()


@defect("state")
class ForgetsItsCounts(Majority):
    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._counts = {}

    def predict(self, task: TaskSpec, inputs: Sequence[Inputs]) -> list[Answer]:
        return [Answer("Yes" if self._counts else "No") for _ in inputs]


@defect("state")
class SavesCode(Majority):
    def state_dict(self) -> dict[str, Any]:
        return {"self": self}


@defect("state")
class SavesAView(LinearProbe):
    def inject(self, knowledge: Knowledge, public: Public, round_index: int) -> InjectionReport:
        self._bias += 3.0 - 5.0 * round_index
        return InjectionReport()

    def state_dict(self) -> dict[str, Any]:
        return {"head": super().state_dict()["head"] | {"bias": self._bias}, "encoders": dict(self.encoders())}


@defect("resume")
class CountsItsCalls(Majority):
    def setup(self, context: MethodContext) -> None:
        super().setup(context)
        self._calls = 0

    def inject(self, knowledge: Knowledge, public: Public, round_index: int) -> InjectionReport:
        self._calls += 1
        return super().inject(knowledge, public, round_index)

    def predict(self, task: TaskSpec, inputs: Sequence[Inputs]) -> list[Answer]:
        return [Answer("Yes" if self._calls > 1 else "No") for _ in inputs]


@defect("frozen model")
class TrainsTheModel(LinearProbe):
    def inject(self, knowledge: Knowledge, public: Public, round_index: int) -> InjectionReport:
        with torch.no_grad():
            self.model.get_input_embeddings().weight.mul_(1.01)
        return super().inject(knowledge, public, round_index)


@defect("frozen model")
class LeavesItsAdapterOn(FedPlugL):
    def close(self) -> None:
        pass


@defect("frozen model")
class LeavesGradientsOn(LinearProbe):
    def close(self) -> None:
        self.model.requires_grad_(True)


@defect("no zero-shot data")
class AsksForAnUnseenTask(Majority):
    def setup(self, context: MethodContext) -> None:
        super().setup(context)
        context.tasks.get("ectopic_beats_detection")


@defect("no zero-shot data")
class ReadsAllSpecifications(Majority):
    def setup(self, context: MethodContext) -> None:
        super().setup(context)
        load_tasks()


@defect("no zero-shot data")
class LearnsFromUnseenQuestions(Majority):
    def setup(self, context: MethodContext) -> None:
        super().setup(context)
        self._met: set[str] = set()

    def predict(self, task: TaskSpec, inputs: Sequence[Inputs]) -> list[Answer]:
        self._met.add(task.id)
        return [Answer("Yes" if len(self._met) > 2 else "No") for _ in inputs]


@defect("no test labels")
class LooksForTheLabel(Majority):
    def predict(self, task: TaskSpec, inputs: Sequence[Inputs]) -> list[Answer]:
        return [Answer(str(getattr(one, "target", "No"))) for one in inputs]


@defect("no test labels")
class LearnsWhileAnswering(Majority):
    def predict(self, task: TaskSpec, inputs: Sequence[Inputs]) -> list[Answer]:
        answers = super().predict(task, inputs)
        for count in self._counts.values():
            count["yes"] += len(inputs)
        return answers


@defect("batch invariance")
class ComparesWithItsBatchMates(Majority):
    def setup(self, context: MethodContext) -> None:
        super().setup(context)
        self._size = context.prediction_batch_size

    def predict(self, task: TaskSpec, inputs: Sequence[Inputs]) -> list[Answer]:
        return [Answer("Yes", (index % self._size) / 10) for index in range(len(inputs))]


@defect("client isolation")
class ChangesWhatClientsSent(Majority):
    def inject(self, knowledge: Knowledge, public: Public, round_index: int) -> InjectionReport:
        for value in knowledge.state.values():
            value.add_(1)
        return InjectionReport()


@defect("client isolation")
class KeepsTheClientsTensors(LinearProbe):
    def inject(self, knowledge: Knowledge, public: Public, round_index: int) -> InjectionReport:
        self._weight = next(iter(knowledge.state.values())).flatten()[: len(self._weight)]
        return InjectionReport()


@defect("client isolation")
class GivesItsOwnTensorsAway(LinearProbe):
    def encoders(self) -> State:
        return dict(self.context.encoders.state_dict())


@defect("peak memory")
class TakesAllInputsAtOnce(LinearProbe):
    def predict(self, task: TaskSpec, inputs: Sequence[Inputs]) -> list[Answer]:
        if task.kind != "yes_no":
            return super().predict(task, inputs)
        scores = torch.sigmoid(self._features(task, inputs) @ self._weight + self._bias).tolist()
        return [Answer("Yes" if score > 0.5 else "No", score) for score in scores]


@defect("peak memory")
class TrainsOnAllExamplesAtOnce(FedPlug):
    def setup(self, context: MethodContext) -> None:
        object.__setattr__(context.training, "micro_batch_size", 10_000)
        object.__setattr__(context.training, "batch_size", 10_000)
        super().setup(context)


@defect("peak memory")
class KeepsEveryFeature(LinearProbe):
    def setup(self, context: MethodContext) -> None:
        super().setup(context)
        self._cache: list[nn.Module | torch.Tensor] = []

    def predict(self, task: TaskSpec, inputs: Sequence[Inputs]) -> list[Answer]:
        self._cache += [torch.zeros(100_000) for _ in inputs]
        return super().predict(task, inputs)
