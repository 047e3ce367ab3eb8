"""Where things lie in a bundle, and which files may lie beside them."""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["PredictionPath", "is_source", "prediction_path", "scores_path", "scores_seed"]

_SEED = r"seed-(0|[1-9][0-9]{0,9})"
_SCORES = re.compile(rf"{_SEED}/scores\.json")
_PREDICTIONS = re.compile(rf"{_SEED}/predictions/(multi_task|single_task|zero_shot)/([a-z][a-z0-9_]*)\.jsonl")
_SOURCE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*\.(py|md|toml|yaml|txt)|LICENSE|config\.schema\.json")


@dataclass(frozen=True, order=True)
class PredictionPath:
    """What the path of a prediction file says: `seed-<seed>/predictions/<protocol>/<task>.jsonl`."""

    seed: int
    protocol: str
    task: str

    @property
    def inner(self) -> str:
        """The path inside the seed's folder, which is the path in the run's folder too."""
        return f"predictions/{self.protocol}/{self.task}.jsonl"

    @property
    def path(self) -> str:
        """The path inside the bundle."""
        return f"seed-{self.seed}/{self.inner}"


def prediction_path(path: str) -> PredictionPath | None:
    """The parts of a prediction file's path, None if it is none."""
    match = _PREDICTIONS.fullmatch(path)
    return PredictionPath(int(match[1]), match[2], match[3]) if match else None


def scores_path(seed: int) -> str:
    """Where a seed's scores lie."""
    return f"seed-{seed}/scores.json"


def scores_seed(path: str) -> int | None:
    """The seed of a scores file, None if the path is none."""
    match = _SCORES.fullmatch(path)
    return int(match[1]) if match else None


def is_source(path: str) -> bool:
    """Whether the file may be the method's source, kept beside the manifest to be read; it is never run."""
    return _SOURCE.fullmatch(path) is not None
