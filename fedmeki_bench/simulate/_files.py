"""Writing a simulation's files. Records need no flush to disk: nothing counts before SIMULATED.json."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from fedmeki_bench.errors import BenchError
from fedmeki_bench.files import write_text

__all__ = ["unwritable", "write_csv", "write_record"]


def write_record(path: Path, content: bytes) -> None:
    """Write one record's file.

    Raises:
        BenchError: the folder cannot be written or the disk is full.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    except OSError as error:
        raise unwritable(path, error) from error


def unwritable(path: Path, error: OSError) -> BenchError:
    """The error for a file that cannot be written."""
    return BenchError(
        f"cannot write {path.name}: {error.strerror or error}",
        where=path,
        fix="free disk space or choose a folder you may write to; the simulation stays marked as unfinished",
    )


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Write a CSV table with a header line; None becomes an empty field."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, buffer.getvalue())
