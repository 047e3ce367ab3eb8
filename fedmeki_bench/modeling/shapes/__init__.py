"""Shapes of the benchmark's foundation models: their configurations, so that plans need no weights.

Each JSON file is a model's published `config.json`, reduced to what decides shapes and arithmetic.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fedmeki_bench.errors import UsageError, did_you_mean
from fedmeki_bench.files import read_json
from fedmeki_bench.modeling.internlm2 import is_internlm2, llama_config

__all__ = ["SHAPES", "foundation_config"]

SHAPES = {path.stem: path for path in sorted(Path(__file__).parent.glob("*.json"))}
"""Short name of a foundation model to the file of its shape."""


def foundation_config(name: str) -> Any:
    """The `transformers` configuration of a foundation model, without its weights.

    Args:
        name: a short name, or a folder with a config.json.

    Raises:
        UsageError: no such model, or one that `transformers` does not know without remote code.
    """
    from transformers import AutoConfig

    file = SHAPES.get(name, Path(name) / "config.json")
    if not file.is_file():
        fix = f"{did_you_mean(name, SHAPES)}; or give a folder with a config.json"
        raise UsageError(f"no shape of a foundation model {name!r}", fix=fix)
    values = read_json(file)
    if is_internlm2(values):
        return llama_config(values)
    try:
        return AutoConfig.for_model(**values)
    except (ValueError, TypeError) as error:
        raise UsageError("not a model that transformers knows", where=file, found=error) from error
