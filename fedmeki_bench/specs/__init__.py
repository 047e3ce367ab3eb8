"""Task specifications: what each of the twelve tasks asks, of whom, and how it is split and scored."""

from fedmeki_bench.specs._load import find_task, load_task_file, load_tasks, select_tasks, spec_faults
from fedmeki_bench.specs._result import RESULT_SCHEMA_VERSION, result_faults, validate_result
from fedmeki_bench.specs._types import (
    ENCODED_MODALITIES,
    MODALITIES,
    PARTS,
    AnswerForm,
    Kind,
    Modality,
    PaperCounts,
    Part,
    Role,
    Selection,
    SplitSpec,
    TaskSpec,
)

__all__ = [
    "ENCODED_MODALITIES",
    "MODALITIES",
    "PARTS",
    "RESULT_SCHEMA_VERSION",
    "AnswerForm",
    "Kind",
    "Modality",
    "PaperCounts",
    "Part",
    "Role",
    "Selection",
    "SplitSpec",
    "TaskSpec",
    "find_task",
    "load_task_file",
    "load_tasks",
    "result_faults",
    "select_tasks",
    "spec_faults",
    "validate_result",
]
