"""One training: communication rounds of clients and injection, a checkpoint after each, the best by development data.

The best round is the one with the lowest mean Brier score over the training tasks' development examples (the squared
distance between the answer's score and the truth; an answer without a score counts as certain, an unreadable one as
wrong). Test data never take part.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from fedmeki_bench.data import Labelled
from fedmeki_bench.errors import BenchError
from fedmeki_bench.federation import ClientData, RoundReport, Traffic, federated_round
from fedmeki_bench.methods import Answer, Knowledge, Method
from fedmeki_bench.methods.optimisation import derived_seed
from fedmeki_bench.methods.processes import current_processes
from fedmeki_bench.metrics import read_yes_no
from fedmeki_bench.modeling.client import LocalModel
from fedmeki_bench.runner.checkpoint import last_complete, load_checkpoint, prune, save_checkpoint
from fedmeki_bench.runner.config import RunConfig
from fedmeki_bench.runner.environment import StageClock
from fedmeki_bench.runner.progress import Events
from fedmeki_bench.specs import TaskSpec

__all__ = ["SELECTION", "TrainingData", "TrainingRecord", "brier_score", "train"]

SELECTION = "lowest mean development Brier score"


@dataclass(frozen=True)
class TrainingData:
    """What a training may see: training tasks only, and no test example.

    Attributes:
        tasks: specs of the training tasks.
        clients: each client's private examples.
        public: the server's examples by task.
        development: examples for choosing the round, by task; only their inputs reach the method.
    """

    tasks: Mapping[str, TaskSpec]
    clients: Sequence[ClientData]
    public: Mapping[str, Sequence[Labelled]]
    development: Mapping[str, Sequence[Labelled]]

    def __post_init__(self) -> None:
        for spec in self.tasks.values():
            if spec.role != "training":
                raise BenchError(
                    "a zero-shot task may never be trained on",
                    where=spec.id,
                    expected="role training",
                    found=spec.role,
                )
        for name, held in (("public", self.public), ("development", self.development)):
            if set(held) - set(self.tasks):
                raise BenchError(
                    f"{name} data of a task that is not trained", found=sorted(set(held) - set(self.tasks))
                )


@dataclass(frozen=True)
class TrainingRecord:
    """How a training went: one entry a round, the round chosen, what travelled, what was trained."""

    rounds: Sequence[Mapping[str, Any]]
    selected_round: int
    traffic: Traffic
    trainable_parameters: Mapping[str, int]


def brier_score(spec: TaskSpec, examples: Sequence[Labelled], answers: Sequence[Answer]) -> float:
    """Mean squared distance between score and truth, 0 (best) to 1."""
    total = 0.0
    for example, answer in zip(examples, answers, strict=True):
        truth = float(example.target == "yes")
        if answer.score is not None:
            total += (answer.score - truth) ** 2
        else:
            said = read_yes_no(
                answer.text, positive=spec.answer.positive or "", negative=spec.answer.negative or ""
            )
            total += 1.0 if said is None else (float(said) - truth) ** 2
    return total / len(examples)


def train(
    name: str,
    data: TrainingData,
    method: Method,
    local: LocalModel,
    config: RunConfig,
    *,
    folder: Path,
    events: Events,
    clock: StageClock,
    device: torch.device,
) -> TrainingRecord:
    """Run all rounds, or those left after the newest checkpoint, and leave the method in its best round's state.

    Where several processes run together, each repeats the clients' training for itself, and all go on with the main
    process's outcome; injection and answering are shared out; checkpoints are the main process's.

    Args:
        name: the training, e.g. `multi_task`.
        data: what it may see.
        method: set up for these tasks.
        local: the clients' model; its encoders start as the method's do.
        config: the run's configuration.
        folder: for the checkpoints, one numbered folder a round.
        events: told of every step.
        clock: measures the stages.
        device: where clients train.
    """
    processes = current_processes()
    history: list[dict[str, Any]] = []
    newest = processes.agreed(last_complete(folder))
    if newest is not None:
        history = _resume(newest, method, local)
        # The next checkpoint may delete this one.
        processes.wait()
        events.note(f"{name}: resumed after round {len(history)} of {config.rounds}")
    for round_index in range(len(history), config.rounds):
        report = None
        if method.federated:
            with clock.stage("clients"):
                report = _client_round(name, data, method, local, config, round_index, events, device)
                processes.copy_from_main(local.state_dict().values())
        knowledge = Knowledge(
            {key: value.detach().clone() for key, value in local.state_dict().items()},
            len(data.clients) if report else 0,
        )
        with clock.stage("injection"):
            injection = method.inject(knowledge, data.public, round_index)
        with clock.stage("development"):
            development = _development(data, method)
        history.append(
            {
                "round": round_index,
                "client_loss": report.mean_loss if report else None,
                "injection_loss": injection.mean_loss,
                "development": development,
                "bytes_up": report.traffic.up if report else 0,
                "bytes_down": report.traffic.down if report else 0,
                "trainable_parameters": dict(injection.trainable_parameters),
            }
        )
        events.step(
            f"{name}: rounds",
            round_index + 1,
            config.rounds,
            injection=injection.mean_loss,
            development=_mean(development),
        )
        with clock.stage("checkpoint"):
            if processes.main:
                state = {"method": method.state_dict(), "local": local.state_dict()}
                save_checkpoint(folder / str(round_index), state, {"history": history})
                prune(folder, {round_index, _best(history)})
            # Nobody reads a checkpoint before it is whole.
            processes.wait()
    selected = processes.agreed(_best(history))
    if selected != len(history) - 1:
        state, _ = load_checkpoint(folder / str(selected))
        method.load_state_dict(state["method"])
    traffic = Traffic(
        sum(entry["bytes_up"] for entry in history), sum(entry["bytes_down"] for entry in history)
    )
    return TrainingRecord(history, selected, traffic, history[-1]["trainable_parameters"])


def _client_round(
    name: str,
    data: TrainingData,
    method: Method,
    local: LocalModel,
    config: RunConfig,
    round_index: int,
    events: Events,
    device: torch.device,
) -> RoundReport:
    local.encoders.load_state_dict(dict(method.encoders()))
    total = config.rounds * len(data.clients)

    def seed(client: int) -> int:
        return derived_seed(config.seed, name, "client", round_index, client)

    def progress(client: int, loss: float | None) -> None:
        done = round_index * len(data.clients) + client + 1
        events.step(f"{name}: clients", done, total, round=round_index + 1, client=client + 1, loss=loss)

    return federated_round(
        local,
        data.clients,
        config.client,
        weighting=config.weighting,
        seed=seed,
        device=device,
        progress=progress,
    )


def _development(data: TrainingData, method: Method) -> dict[str, float]:
    scores = {}
    for task, examples in data.development.items():
        answers = method.predict(data.tasks[task], [one.inputs for one in examples])
        check_answers(method, data.tasks[task], answers, len(examples))
        scores[task] = brier_score(data.tasks[task], examples, answers)
    return scores


def check_answers(method: Method, spec: TaskSpec, answers: Sequence[Answer], expected: int) -> None:
    """Refuse a wrong number of answers, or a score outside 0 to 1, before anything is made of them.

    Raises:
        BenchError: names the method and task.
    """
    where = f"{method.name}, {spec.id}"
    if len(answers) != expected:
        raise BenchError(
            "a method must answer every input once",
            where=where,
            expected=f"{expected} answers",
            found=len(answers),
        )
    for answer in answers:
        if answer.score is not None and not 0.0 <= answer.score <= 1.0:
            raise BenchError(
                "a score must be a probability", where=where, expected="0 to 1", found=answer.score
            )


def _resume(newest: Path, method: Method, local: LocalModel) -> list[dict[str, Any]]:
    state, manifest = load_checkpoint(newest)
    method.load_state_dict(state["method"])
    local.load_state_dict(state["local"])
    history: list[dict[str, Any]] = manifest["history"]
    return history


def _mean(values: Mapping[str, float]) -> float:
    return sum(values.values()) / len(values) if values else 1.0


def _best(history: Sequence[Mapping[str, Any]]) -> int:
    """The earliest of the rounds with the lowest score."""
    return min(range(len(history)), key=lambda at: _mean(history[at]["development"]))
