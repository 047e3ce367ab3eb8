"""What several verbs read in the same way."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fedmeki_bench.errors import UsageError

__all__ = ["method_options"]


def method_options(pairs: Sequence[str]) -> dict[str, Any]:
    """`--set name=value` pairs; values are read as YAML (true, 12, 0.1, text)."""
    import yaml

    options = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise UsageError("an option of a method is given as name=value", found=pair)
        options[name] = yaml.safe_load(value)
    return options
