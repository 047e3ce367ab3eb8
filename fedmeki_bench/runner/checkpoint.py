"""Checkpoints of a training: complete only if the manifest is there and its hash agrees."""

from __future__ import annotations

import io
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from fedmeki_bench.errors import BenchError
from fedmeki_bench.files import file_sha256, read_json, write_bytes, write_json

__all__ = ["last_complete", "load_checkpoint", "prune", "save_checkpoint"]

STATE, MANIFEST = "state.pt", "manifest.json"


def save_checkpoint(folder: Path, state: Mapping[str, Any], record: Mapping[str, Any]) -> None:
    """Write the state, then the manifest that makes it count: `record` and the state's hash."""
    buffer = io.BytesIO()
    torch.save(dict(state), buffer)
    write_bytes(folder / STATE, buffer.getvalue())
    write_json(folder / MANIFEST, {"sha256": file_sha256(folder / STATE), **record})


def load_checkpoint(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """State and manifest.

    Raises:
        BenchError: the state does not have the hash its manifest gives.
    """
    manifest = read_json(folder / MANIFEST)
    if file_sha256(folder / STATE) != manifest["sha256"]:
        raise BenchError(
            "a checkpoint was altered",
            where=folder / STATE,
            fix="delete this folder; the run resumes from the one before",
        )
    # weights_only: tensors and plain containers, never code.
    state: dict[str, Any] = torch.load(folder / STATE, map_location="cpu", weights_only=True)
    return state, manifest


def last_complete(training: Path) -> Path | None:
    """The newest checkpoint folder of a training that has its manifest, or None."""
    complete = [
        folder for folder in training.glob("*") if folder.name.isdigit() and (folder / MANIFEST).is_file()
    ]
    return max(complete, key=lambda folder: int(folder.name), default=None)


def prune(training: Path, keep: set[int]) -> None:
    """Delete all rounds but those to keep (the newest and the best): a checkpoint may hold gigabytes."""
    for folder in training.glob("*"):
        if folder.name.isdigit() and int(folder.name) not in keep:
            shutil.rmtree(folder)
