"""A whole run: trainings, predictions, scores, tables, each stage from what the one before left on disk."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from fedmeki_bench import __version__
from fedmeki_bench.data import PreparedStore
from fedmeki_bench.errors import BenchError
from fedmeki_bench.files import content_hash, read_json, write_json, write_text
from fedmeki_bench.methods import Method, MethodContext, load_method
from fedmeki_bench.methods.optimisation import derived_seed
from fedmeki_bench.methods.processes import current_processes
from fedmeki_bench.metrics import check_meteor_resources
from fedmeki_bench.modeling.client import LocalModel
from fedmeki_bench.modeling.cpu_products import ProductLibrary, float32_products
from fedmeki_bench.modeling.encoders import EncoderOptions, Encoders, build_encoders
from fedmeki_bench.modeling.foundation import FoundationModel, load_foundation_model, model_revision
from fedmeki_bench.modeling.sharding import DeviceMap
from fedmeki_bench.runner.config import Protocol, RunConfig
from fedmeki_bench.runner.dataset import RunData, gather
from fedmeki_bench.runner.environment import StageClock, offline, pick_device, provenance, utc_now
from fedmeki_bench.runner.evaluation import predict_task, predictions_path, write_labels
from fedmeki_bench.runner.progress import Display, Events, open_display
from fedmeki_bench.runner.record import evaluation_record, reference_record
from fedmeki_bench.runner.training import SELECTION, TrainingRecord, train
from fedmeki_bench.specs import MODALITIES, TaskSpec, validate_result

__all__ = ["Finished", "run"]


@dataclass(frozen=True)
class Finished:
    """A finished run: its folder and the content of its `result.json`."""

    folder: Path
    result: Mapping[str, Any]


def run(
    config: RunConfig, specs: Mapping[str, TaskSpec], store: PreparedStore, out: Path, display: Display
) -> Finished:
    """Do what is left to do of a run; the same configuration on the same data continues the same folder.

    Where a launcher started several processes, each calls this with the same arguments. The main process alone writes
    and decides what is left to do; all must see the same folders.

    Args:
        config: the resolved configuration.
        specs: the tasks asked for.
        store: the prepared data.
        out: folder of runs; this one's is named by its id.
        display: shows progress.

    Raises:
        UsageError: the devices asked for do not go together.
        BenchError: data, model or method cannot do what the configuration asks; what was written stays valid.
    """
    processes = current_processes(config.device)
    data = gather(config, specs, store)
    uses_model = load_method(config.method, config.method_options).uses_foundation_model
    with processes.main_first():
        revision = model_revision(config.foundation_model, download=config.download) if uses_model else None
    folder = out / _run_id(config, data, revision)
    if processes.agreed((folder / "result.json").is_file()):
        display.note(f"already finished: {folder}")
        return Finished(folder, read_json(folder / "result.json"))
    if not processes.main:
        with Events.opened(Path(os.devnull), open_display("quiet")) as events, offline(config.download):
            _Run(config, data, folder, events, revision).train_and_predict()
        processes.wait()
        return Finished(folder, read_json(folder / "result.json"))
    write_text(folder / "run.yaml", yaml.safe_dump(config.record(), sort_keys=False))
    with Events.opened(folder / "events.jsonl", display) as events, offline(config.download):
        result = _Run(config, data, folder, events, revision).result()
    validate_result(result, str(folder / "result.json"))
    write_json(folder / "result.json", result)
    processes.wait()
    return Finished(folder, result)


def _run_id(config: RunConfig, data: RunData, revision: str | None) -> str:
    identity = {
        "config": config.identity(),
        "specs": {task: rows.prepared.spec_hash for task, rows in data.tasks.items()},
        "splits": {task: rows.prepared.split_hash for task, rows in data.tasks.items()},
        "foundation_model": revision,
        "version": __version__,
    }
    # A method may be named by a path or module; its folder's name keeps the readable end of it.
    name = re.sub(r"[^A-Za-z0-9_]+", "-", config.method).strip("-")[-40:].lstrip("-_")
    return f"{name}-{config.profile}-{content_hash(identity)[:12]}"


class _Run:
    """The stages of one run, in order; holds what they share."""

    def __init__(self, config: RunConfig, data: RunData, folder: Path, events: Events, revision: str | None) -> None:
        self.config, self.data, self.folder, self.events = config, data, folder, events
        self.processes = current_processes(config.device)
        self.started = utc_now()
        self.device, self.dtype = pick_device(self.processes.device(config.device), config.dtype)
        self.clock = StageClock(self.device)
        self.products: ProductLibrary = "default"
        self.foundation: FoundationModel | None = None
        if revision is not None:
            events.note(f"loading the foundation model {config.foundation_model}")
            sharding: DeviceMap = "auto" if self.processes.count == 1 else "processes"
            with self.clock.stage("load foundation model"):
                self.foundation = load_foundation_model(
                    config.foundation_model,
                    device=self.device,
                    dtype=self.dtype,
                    download=config.download,
                    device_map=sharding if config.shard else None,
                )
            # Of a sharded model, everything else lives where its first layer is.
            self.device = self.foundation.device
        self.encoder_names: dict[str, dict[str, str]] = {}
        self.trainings: list[tuple[str, list[str], TrainingRecord]] = []
        self.evaluations: list[dict[str, Any]] = []

    def result(self) -> dict[str, Any]:
        """Train, predict and score; the content of `result.json`."""
        if any(rows.spec.kind == "text" for rows in self.data.tasks.values()):
            # What scoring will need is looked for before hours of inference, not after.
            version = check_meteor_resources().version
            self.events.note(
                "METEOR matches words and stems only: no WordNet found"
                if version == "none"
                else f"METEOR uses WordNet {version}"
            )
        for task, why in self.data.missing.items():
            self.events.note(f"left out: {task}: {why}")
        for task, rows in self.data.tasks.items():
            write_labels(self.folder, task, rows.prepared, rows.used["test"])
        jobs = self.train_and_predict()
        with self.clock.stage("scoring"):
            for done, (protocol, name, spec, record, router) in enumerate(jobs, start=1):
                self.evaluations.append(
                    evaluation_record(
                        self.folder, protocol, name, spec, selected_round=record.selected_round, router=router
                    )
                )
                self.events.step("scoring", done, len(jobs), task=spec.id)
            references = {task: reference_record(self.folder, rows.spec) for task, rows in self.data.tasks.items()}
        return self._record(references)

    def train_and_predict(self) -> list[tuple[Protocol, str, TaskSpec, TrainingRecord, list[float] | None]]:
        """All trainings and their predictions; what is left to score. This is what several processes do together."""
        jobs: list[tuple[Protocol, str, TaskSpec, TrainingRecord, list[float] | None]] = []
        with float32_products(self.device) as self.products:
            for name, tasks, evaluated in self._plan():
                jobs += self._train_and_predict(name, tasks, evaluated)
        return jobs

    def _plan(self) -> list[tuple[str, list[str], list[tuple[Protocol, TaskSpec]]]]:
        """Trainings: name, tasks trained, and what each is evaluated on."""
        training, zero_shot = self.data.training_tasks(), self.data.zero_shot_tasks()
        plan: list[tuple[str, list[str], list[tuple[Protocol, TaskSpec]]]] = []
        if "single_task" in self.config.protocols:
            plan += [(f"single_task-{task}", [task], [("single_task", spec)]) for task, spec in training.items()]
        evaluated: list[tuple[Protocol, TaskSpec]] = []
        if "multi_task" in self.config.protocols:
            evaluated += [("multi_task", spec) for spec in training.values()]
        if "zero_shot" in self.config.protocols:
            evaluated += [("zero_shot", spec) for spec in zero_shot.values()]
        if evaluated:
            plan.append(("multi_task", list(training), evaluated))
        return plan

    def _train_and_predict(
        self, name: str, tasks: list[str], evaluated: list[tuple[Protocol, TaskSpec]]
    ) -> list[tuple[Protocol, str, TaskSpec, TrainingRecord, list[float] | None]]:
        config = self.config
        method = load_method(config.method, config.method_options)
        local = self._local_model(method, tasks)
        context = MethodContext(
            foundation_model=self.foundation,
            encoders=self._encoders(method),
            tasks={task: self.data.tasks[task].spec for task in tasks},
            training=config.server,
            device=self.device,
            seed=derived_seed(config.seed, name),
            prediction_batch_size=config.prediction_batch_size,
            progress=lambda stage, done, total, loss: self.events.step(f"{name}: {stage}", done, total, loss=loss),
        )
        with self.clock.stage("setup"):
            method.setup(context)
        record = train(
            name,
            self.data.training_data(tasks, config.clients),
            method,
            local,
            config,
            folder=self.folder / "rounds" / name,
            events=self.events,
            clock=self.clock,
            device=self.device,
        )
        self.trainings.append((name, tasks, record))
        jobs: list[tuple[Protocol, str, TaskSpec, TrainingRecord, list[float] | None]] = []
        with self.clock.stage("prediction"):
            for done, (protocol, spec) in enumerate(evaluated, start=1):
                rows = self.data.tasks[spec.id]
                predict_task(
                    method,
                    spec,
                    rows.prepared,
                    rows.used["test"],
                    predictions_path(self.folder, protocol, spec.id),
                )
                weights = method.expert_weights(spec)
                jobs.append((protocol, name, spec, record, None if weights is None else list(weights)))
                self.events.step(f"{name}: prediction", done, len(evaluated), task=spec.id)
        method.close()
        return jobs

    def _encoders(self, method: Method) -> Encoders:
        """Fresh encoders, the same for clients and method: their weights follow from the run's seed alone."""
        if self.foundation is None:
            return Encoders({})
        specs = [rows.spec for rows in self.data.tasks.values()]
        modalities = [name for name in MODALITIES if any(name in spec.encoded_modalities for spec in specs)]
        weights = Path(self.config.image_weights) if self.config.image_weights else None
        options = EncoderOptions(self.foundation.width, self.data.clinical_scales(), weights)
        encoders = build_encoders(modalities, options, seed=self.config.seed)
        self.encoder_names = {
            name: {"name": str(one.name), "weights": str(one.weights)} for name, one in encoders.items()
        }
        return encoders

    def _local_model(self, method: Method, tasks: list[str]) -> LocalModel:
        if self.foundation is None and method.federated:
            raise BenchError("a federated method needs a foundation model's width", where=method.name)
        width = self.foundation.width if self.foundation else 1
        return LocalModel(self._encoders(method), tasks, width=width, seed=self.config.seed)

    def _record(self, references: Mapping[str, Any]) -> dict[str, Any]:
        config, foundation = self.config, self.foundation
        return {
            "schema_version": 1,
            "run_id": self.folder.name,
            "seed": config.seed,
            "profile": config.profile,
            "backbone": config.backbone,
            "protocols": list(config.protocols),
            "method": {"name": config.method, "config": dict(config.method_options)},
            "foundation_model": foundation
            and {
                "name": foundation.name,
                "revision": foundation.revision,
                "random_weights": foundation.random_weights,
                "parameters": foundation.parameters,
                "width": foundation.width,
            },
            "encoders": self.encoder_names,
            "tasks": {task: rows.record() for task, rows in self.data.tasks.items()},
            "missing_tasks": dict(self.data.missing),
            "evaluations": self.evaluations,
            "references": references,
            "trainings": [_training_record(*training) for training in self.trainings],
            "cost": {
                "trainable_parameters": dict(self.trainings[-1][2].trainable_parameters) if self.trainings else {},
                "bytes_up": sum(record.traffic.up for _, _, record in self.trainings),
                "bytes_down": sum(record.traffic.down for _, _, record in self.trainings),
                "stages": self.clock.record(),
            },
            "provenance": self._provenance(),
            "config": config.record(),
        }

    def _provenance(self) -> dict[str, Any]:
        record = provenance(self.device, self.dtype, self.products, self.started)
        devices = self.processes.count
        if self.foundation is not None and self.foundation.sharded and not self.foundation.collective:
            devices = len({parameter.device for parameter in self.foundation.model.parameters()})
        return record if devices == 1 else {**record, "device": f"{devices} x {record['device']}"}


def _training_record(name: str, tasks: list[str], record: TrainingRecord) -> dict[str, Any]:
    shown = ("round", "client_loss", "injection_loss", "development")
    rounds = [{key: entry[key] for key in shown} for entry in record.rounds]
    return {
        "name": name,
        "tasks": tasks,
        "selection": SELECTION,
        "selected_round": record.selected_round,
        "rounds": rounds,
    }
