"""Noticing what a method looks at: attributes that inputs do not have, tasks it is not told of, files of the store."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from functools import cache
from pathlib import PurePath
from typing import Any

from fedmeki_bench.data import Inputs
from fedmeki_bench.specs import TaskSpec

__all__ = ["WatchedInputs", "WatchedTasks", "watching"]

_seen: list[list[str]] = []
"""One list for each `watching` block that is open; the innermost takes what is noticed."""


def _note(text: str) -> None:
    if _seen and text not in _seen[-1]:
        _seen[-1].append(text)


@contextmanager
def watching() -> Iterator[list[str]]:
    """Gather what is noticed inside the block, each thing once."""
    _install_hook()
    _seen.append([])
    try:
        yield _seen[-1]
    finally:
        _seen.pop()


@cache
def _install_hook() -> None:
    """Python's audit hooks cannot be taken away again; outside a `watching` block this one does nothing."""
    sys.addaudithook(_audit)


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if not _seen:
        return
    if event == "open" and isinstance(arguments[0], str):
        path = PurePath(arguments[0])
        if path.name in ("index.parquet", "store.json") or (path.suffix == ".jsonl" and path.parent.name == "labels"):
            _note(f"it opened {path.name} in {path.parent.name}/")
        elif path.suffix == ".yaml" and path.parent.name == "tasks":
            _note(f"it opened the task specification {path.name}")
    elif event == "socket.connect":
        _note("it opened a network connection")


@dataclass(frozen=True)
class WatchedInputs(Inputs):
    """Inputs that note every attribute asked for that inputs do not have, such as a label."""

    @staticmethod
    def of(inputs: Inputs) -> WatchedInputs:
        """The same inputs, watched."""
        return WatchedInputs(**{field.name: getattr(inputs, field.name) for field in fields(inputs)})

    def __getattr__(self, name: str) -> Any:
        # Only reached for attributes that do not exist; names with underscores are Python's own probing.
        if not name.startswith("_"):
            _note(f"it asked an input for {name!r}")
        raise AttributeError(f"inputs have no {name!r}: only id, modalities and question")


class WatchedTasks(dict[str, TaskSpec]):
    """Training tasks that note every question for another task."""

    def __init__(self, tasks: Mapping[str, TaskSpec]) -> None:
        super().__init__(tasks)

    def __missing__(self, task: str) -> TaskSpec:
        _note(f"it asked for the task {task!r}, which is not trained")
        raise KeyError(task)

    def get(self, task: str, default: Any = None) -> Any:
        """As of a dict, but noted."""
        if task not in self:
            _note(f"it asked for the task {task!r}, which is not trained")
        return super().get(task, default)
