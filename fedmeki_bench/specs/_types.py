"""What a task is, as frozen values: the typed form of one `tasks/*.yaml`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Literal, get_args

from fedmeki_bench.files import content_hash

__all__ = [
    "ENCODED_MODALITIES",
    "MODALITIES",
    "PARTS",
    "AnswerForm",
    "Kind",
    "Modality",
    "PaperCounts",
    "Part",
    "Role",
    "Selection",
    "SplitSpec",
    "TaskSpec",
]

Modality = Literal["image", "signal", "vital_signs", "lab_events", "input", "output", "text"]
Role = Literal["training", "zero_shot"]
Kind = Literal["yes_no", "text"]
Part = Literal["private", "public", "development", "test"]

MODALITIES: tuple[Modality, ...] = get_args(Modality)
"""The seven modalities, in the order in which their tokens stand before the prompt."""

ENCODED_MODALITIES: tuple[Modality, ...] = tuple(name for name in MODALITIES if name != "text")
"""The modalities that need an encoder; text goes through the language model's own embedding layer."""

PARTS: tuple[Part, ...] = get_args(Part)
"""Who holds an example: the clients, the server, checkpoint selection, the final test."""


@dataclass(frozen=True)
class AnswerForm:
    """How a task is answered.

    Attributes:
        form: `yes_no` compares the likelihood of two fixed answers; `free_text` is decoded greedily.
        positive: the answer that means the positive label (yes/no tasks only).
        negative: the answer that means the negative label (yes/no tasks only).
        max_new_tokens: longest answer decoded, in tokens (text tasks only).
    """

    form: Literal["yes_no", "free_text"]
    positive: str | None = None
    negative: str | None = None
    max_new_tokens: int | None = None


@dataclass(frozen=True)
class Selection:
    """Which items and labels of a source belong to the task; each source reads only its own fields.

    Attributes:
        label: which PTB-XL label rule applies.
        column: the CheXpert column that holds the label.
        hours: hourly rows kept for a stay, counted from admission.
        language: SLAKE questions in this language (`q_lang`).
        attribute_type: ECG-QA items with this attribute.
    """

    label: Literal["abnormal", "ectopic_beats"] | None = None
    column: str | None = None
    hours: int | None = None
    language: Literal["en", "zh", "all"] | None = None
    attribute_type: str | None = None


@dataclass(frozen=True)
class SplitSpec:
    """How examples are divided among the parts.

    Attributes:
        scheme: `grouped` (group-disjoint, stratified, by content hash) or `released` (as the public release does).
        seed: seed of the split; part of the spec, so that everybody has the same split whatever seed a run uses.
        group: what never stands on two sides.
        stratify: `label` keeps each part's share of positives; `none` does not look at labels.
        ratio: relative sizes by part; zero-shot tasks have a test part only.
        disjoint_from: tasks whose private, public and development groups are kept out of this task.
        test_size: zero-shot tasks: at most this many test items (the papers' size); the rest stays unused.
        balanced: zero-shot yes/no tasks: as many negatives as positives.
        allowed_leaks: leak kinds the audit reports but tolerates, in writing.
    """

    scheme: Literal["grouped", "released"]
    seed: int
    group: Literal["patient", "image", "record", "stay"]
    stratify: Literal["label", "none"]
    ratio: Mapping[Part, int]
    disjoint_from: tuple[str, ...] = ()
    test_size: int | None = None
    balanced: bool = False
    allowed_leaks: tuple[str, ...] = ()


@dataclass(frozen=True)
class PaperCounts:
    """Items by part as the papers print them (FedKIM Table 6, FedMeKI Table 1)."""

    test: int
    total: int | None = None
    private: int | None = None
    public: int | None = None
    development: int | None = None


@dataclass(frozen=True)
class TaskSpec:
    """One task of the benchmark: one file of `tasks/`, validated by `schemas/task.schema.json`.

    Attributes:
        id: name used in files and on the command line.
        version: raised whenever a change could change a score.
        name: readable name.
        short: abbreviation used in table headers.
        role: `training` (four tasks) or `zero_shot` (eight tasks, test only).
        kind: `yes_no` (classification metrics) or `text` (generation metrics).
        source: adapter that reads the raw files.
        modalities: what an example holds, in prompt order.
        prompt: text put before the answer; `{question}` stands for a text task's question.
        answer: form of the answer.
        label_rule: how the label follows from the source, in words.
        task_description: read by the M3OE router as T (FedKIM Eq. 4).
        modality_descriptions: by modality, joined in prompt order and read by the router as M (FedKIM Eq. 4).
        split: how examples are divided.
        metrics: what the papers report for the task, in their order.
        paper: the papers' counts.
        citation: whom to cite.
        licence: the source's licence or terms.
        access: where and how the source is obtained.
        selection: which items of the source belong to the task.
    """

    id: str
    version: int
    name: str
    short: str
    role: Role
    kind: Kind
    source: str
    modalities: tuple[Modality, ...]
    prompt: str
    answer: AnswerForm
    label_rule: str
    task_description: str
    modality_descriptions: Mapping[Modality, str]
    split: SplitSpec
    metrics: tuple[str, ...]
    paper: PaperCounts
    citation: str
    licence: str
    access: str
    selection: Selection = field(default_factory=Selection)

    @property
    def hash(self) -> str:
        """SHA-256 of the whole spec: two runs are comparable only where it agrees."""
        return content_hash(asdict(self))

    @property
    def encoded_modalities(self) -> tuple[Modality, ...]:
        """The task's modalities that go through an encoder, in prompt order."""
        return tuple(name for name in self.modalities if name != "text")
