"""Which examples of the prepared store a run uses, and who holds them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fedmeki_bench.data import Deal, Labelled, PreparedStore, PreparedTask, deal
from fedmeki_bench.errors import BenchError
from fedmeki_bench.modeling.encoders import ClinicalScale, clinical_scale
from fedmeki_bench.runner.config import RunConfig
from fedmeki_bench.runner.training import TrainingData
from fedmeki_bench.specs import PARTS, Modality, Part, TaskSpec

__all__ = ["RunData", "TaskRows", "gather"]

CLINICAL: tuple[Modality, ...] = ("vital_signs", "lab_events", "input", "output")


@dataclass(frozen=True)
class TaskRows:
    """One task in a run: its prepared data and the rows used of each part.

    Attributes:
        spec: the task.
        prepared: its data.
        used: rows by part, after the run's limits.
        deal: private rows by client; None for zero-shot tasks.
    """

    spec: TaskSpec
    prepared: PreparedTask
    used: Mapping[Part, Sequence[int]]
    deal: Deal | None

    def record(self) -> dict[str, Any]:
        """The task's entry in the result."""
        prepared = self.prepared
        return {
            "source": prepared.source,
            "simulated": prepared.simulated,
            "spec_version": prepared.spec_version,
            "spec_hash": prepared.spec_hash,
            "split_scheme": prepared.scheme,
            "split_hash": prepared.split_hash,
            "deal_hash": self.deal.hash if self.deal else None,
            "counts": dict(prepared.counts),
            "used": {part: len(rows) for part, rows in self.used.items()},
            "corrupt_skipped": prepared.skipped,
        }


@dataclass(frozen=True)
class RunData:
    """All tasks of a run that have data, and why the others have none."""

    tasks: Mapping[str, TaskRows]
    missing: Mapping[str, str]

    def training_tasks(self) -> dict[str, TaskSpec]:
        """Specs of the training tasks that have data."""
        return {task: rows.spec for task, rows in self.tasks.items() if rows.spec.role == "training"}

    def zero_shot_tasks(self) -> dict[str, TaskSpec]:
        """Specs of the zero-shot tasks that have data."""
        return {task: rows.spec for task, rows in self.tasks.items() if rows.spec.role == "zero_shot"}

    def training_data(self, tasks: Sequence[str], clients: int) -> TrainingData:
        """What a training of these tasks may see."""
        chosen = {task: self.tasks[task] for task in tasks}
        held = []
        for client in range(clients):
            held.append(
                {
                    task: (rows.deal.clients[client], rows.prepared.labelled)
                    for task, rows in chosen.items()
                    if rows.deal
                }
            )
        return TrainingData(
            tasks={task: rows.spec for task, rows in chosen.items()},
            clients=held,
            public=self._labelled(tasks, "public"),
            development=self._labelled(tasks, "development"),
        )

    def _labelled(self, tasks: Sequence[str], part: Part) -> dict[str, list[Labelled]]:
        return {task: self.tasks[task].prepared.labelled(self.tasks[task].used[part]) for task in tasks}

    def clinical_scales(self) -> dict[Modality, ClinicalScale]:
        """Scaling of each clinical modality, from the public examples of the training tasks that have it.

        Raises:
            BenchError: a zero-shot task needs a clinical modality that no training task of the run has.
        """
        public = self._labelled(list(self.training_tasks()), "public")
        scales: dict[Modality, ClinicalScale] = {}
        for modality in CLINICAL:
            arrays = [
                one.inputs.modalities[modality]
                for held in public.values()
                for one in held
                if modality in one.inputs.modalities
            ]
            if arrays:
                scales[modality] = clinical_scale(arrays)
        return scales


def gather(config: RunConfig, specs: Mapping[str, TaskSpec], store: PreparedStore) -> RunData:
    """Pick the rows of each task and deal the private ones to the clients, once for all rounds.

    A task without data is reported in `missing`, with the reason. So is a zero-shot task with a modality that no
    training task of the run has: no encoder would ever have been trained for it.

    Raises:
        BenchError: no training task has data, or a part of a task is empty.
    """
    tasks: dict[str, TaskRows] = {}
    missing: dict[str, str] = {}
    for task, spec in specs.items():
        if task not in store.tasks:
            missing[task] = store.unavailable.get(task, "not prepared")
            continue
        tasks[task] = _task_rows(config, spec, store.tasks[task])
    trained = {
        modality
        for rows in tasks.values()
        if rows.spec.role == "training"
        for modality in rows.spec.encoded_modalities
    }
    if not trained:
        raise BenchError(
            "no training task has data",
            where=store.path,
            found="; ".join(f"{task}: {why}" for task, why in missing.items()),
        )
    for task, rows in list(tasks.items()):
        untrained = set(rows.spec.encoded_modalities) - trained
        if untrained:
            missing[task] = f"no training task of this run has the modality {', '.join(sorted(untrained))}"
            del tasks[task]
    return RunData(tasks, missing)


def _task_rows(config: RunConfig, spec: TaskSpec, prepared: PreparedTask) -> TaskRows:
    parts = PARTS if spec.role == "training" else ("test",)
    used: dict[Part, Sequence[int]] = {}
    for part in parts:
        # Rows come in an order that follows from a content hash: the first N are a seeded sample.
        used[part] = list(prepared.rows(part))[: config.limit.get(part)]
        if not used[part]:
            raise BenchError(
                f"the {part} part of a task is empty",
                where=spec.id,
                fix="prepare more data, or leave the task out with --tasks",
            )
    dealt = None
    if spec.role == "training":
        dealt = deal(
            prepared,
            used["private"],
            clients=config.clients,
            seed=config.seed,
            scheme=config.deal,
            alpha=config.deal_alpha,
            field=config.deal_field,
        )
    return TaskRows(spec, prepared, used, dealt)
