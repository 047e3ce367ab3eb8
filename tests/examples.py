"""Small builders of inputs, examples and method contexts for tests of training and prediction."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from fedmeki_bench.data import Inputs, Labelled
from fedmeki_bench.methods import Knowledge, Method, MethodContext, ServerTraining, load_method
from fedmeki_bench.modeling.encoders import ClinicalScale, EncoderOptions, Encoders, build_encoders
from fedmeki_bench.modeling.foundation import FoundationModel, load_foundation_model
from fedmeki_bench.specs import ENCODED_MODALITIES, Modality, TaskSpec, load_tasks

FEATURES: dict[Modality, int] = {"vital_signs": 7, "lab_events": 39, "input": 1, "output": 1}
TASKS = load_tasks()


def make_inputs(task: str, number: int, *, hours: int | None = None) -> Inputs:
    """One input of a task; its content follows from the task and the number."""
    spec = TASKS[task]
    generator = np.random.default_rng([number, *task.encode()])
    arrays: dict[Modality, Any] = {}
    for modality in spec.encoded_modalities:
        if modality == "image":
            arrays[modality] = generator.integers(0, 256, (224, 224), dtype=np.uint8)
        elif modality == "signal":
            arrays[modality] = generator.normal(size=(12, 1000)).astype(np.float32)
        else:
            values = generator.normal(size=(hours or 4 + number % 3, FEATURES[modality])).astype(np.float32)
            values[generator.random(values.shape) < 0.8] = np.nan
            arrays[modality] = values
    question = f"Is there something number {'very ' * (number % 4)}odd?" if spec.kind == "text" else None
    return Inputs(f"{task}-{number}", arrays, question)


def make_examples(task: str, count: int, *, first: int = 0) -> list[Labelled]:
    """Labelled inputs, alternately positive and negative."""
    return [Labelled(make_inputs(task, first + at), "yes" if at % 2 else "no") for at in range(count)]


def make_encoders(
    width: int, *, modalities: Sequence[Modality] = ENCODED_MODALITIES, seed: int = 0
) -> Encoders:
    """Encoders of the modalities, with a neutral scaling."""
    scales = {name: ClinicalScale((0.0,) * count, (1.0,) * count) for name, count in FEATURES.items()}
    return build_encoders(modalities, EncoderOptions(width, scales), seed=seed)


def make_method(
    name: str,
    tasks: Sequence[str],
    *,
    foundation: FoundationModel | None = None,
    options: dict[str, Any] | None = None,
    seed: int = 0,
    prediction_batch_size: int = 8,
    **training: Any,
) -> Method:
    """A method set up on the tiny foundation model for some training tasks."""
    foundation = foundation or load_foundation_model("tiny", device=torch.device("cpu"))
    specs: dict[str, TaskSpec] = {task: TASKS[task] for task in tasks}
    modalities = sorted(
        {name for spec in TASKS.values() for name in spec.encoded_modalities} & _needed(tasks)
    )
    settings = {"learning_rate": 5e-3, "batch_size": 4, "micro_batch_size": 2, "rounds": 2} | training
    method = load_method(name, options)
    method.setup(
        MethodContext(
            foundation_model=foundation,
            encoders=make_encoders(foundation.width, modalities=modalities, seed=seed),
            tasks=specs,
            training=ServerTraining(**settings),
            device=torch.device("cpu"),
            seed=seed,
            prediction_batch_size=prediction_batch_size,
        )
    )
    return method


def _needed(tasks: Sequence[str]) -> set[Modality]:
    return {name for task in tasks for name in TASKS[task].encoded_modalities}


def no_knowledge() -> Knowledge:
    """What a method gets where no client took part."""
    return Knowledge({}, 0)


def tensor_hash(tensors: Any) -> str:
    """SHA-256 over named tensors, bit for bit."""
    digest = hashlib.sha256()
    for name, value in sorted(dict(tensors).items()):
        digest.update(name.encode())
        digest.update(value.detach().contiguous().cpu().numpy().tobytes())
    return digest.hexdigest()
