"""The metrics as modules of Hugging Face `evaluate`: thin, loaded by path from the installed package.

    import evaluate
    from fedmeki_bench.metrics.evaluate_modules import module_path

    metric = evaluate.load(module_path("yes_no"), "sepsis_prediction")
    metric.compute(predictions=["Yes, it does.", "No"], references=["yes", "no"])

The configuration is the id of a task. Nothing of this project imports these modules.
"""

from __future__ import annotations

from pathlib import Path

from fedmeki_bench.specs import Kind

__all__ = ["module_path"]


def module_path(kind: Kind) -> str:
    """Path for `evaluate.load` of the module for tasks of a kind: `yes_no` or `text`."""
    return str(Path(__file__).parent / f"fedmeki_{kind}")
