"""Durable files and content hashes: what is on disk is whole, and equal content has equal names.

Writes go to a temporary file beside the target, are flushed to disk, then renamed over it. A crash leaves either
the old file or the new one, never a part; the cost is one extra file for the length of the write.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from fedmeki_bench.errors import BenchError

__all__ = [
    "atomic_writer",
    "canonical_json",
    "content_hash",
    "file_sha256",
    "package_folder",
    "read_json",
    "write_bytes",
    "write_json",
    "write_jsonl",
    "write_text",
]


@contextmanager
def atomic_writer(path: Path) -> Iterator[IO[bytes]]:
    """Open a binary file that takes the name `path` only if the block ends without an error.

    Raises:
        BenchError: the folder cannot be written or the disk is full; whatever stood at `path` is untouched.
    """
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as handle:
            temporary = Path(handle.name)
            yield handle
            handle.flush()
            os.fsync(handle.fileno())
        # Temporary files are private (0600); the final one follows the user's umask like any other file.
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        temporary.replace(path)
        temporary = None
    except OSError as error:
        raise BenchError(
            f"cannot write {path.name}: {error.strerror or error}",
            where=path,
            fix="free disk space or choose a folder you may write to; what was there before is untouched",
        ) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def write_bytes(path: Path, content: bytes) -> None:
    """Write `content` to `path`, whole or not at all."""
    with atomic_writer(path) as handle:
        handle.write(content)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 `text` to `path`, whole or not at all."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON, whole or not at all; NaN and infinity are refused (they are not JSON)."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def write_jsonl(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write one JSON object a line, whole or not at all."""
    with atomic_writer(path) as handle:
        for row in rows:
            handle.write(json.dumps(row, ensure_ascii=False, allow_nan=False).encode("utf-8") + b"\n")


def read_json(path: Path) -> Any:
    """The content of a JSON file.

    Raises:
        BenchError: the file is missing, unreadable, or not JSON (with line and column).
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise BenchError("not valid JSON", where=f"{path}:{error.lineno}", found=error.msg) from error
    except (OSError, UnicodeDecodeError) as error:
        raise BenchError("cannot read a JSON file", where=path, found=error) from error


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no spaces: equal values give equal text on every machine."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def content_hash(value: Any) -> str:
    """SHA-256 (hex) of a JSON-able value's canonical form."""
    return hashlib.sha256(canonical_json(value).encode("utf-8")).hexdigest()


def file_sha256(path: Path) -> str:
    """SHA-256 (hex) of a file's bytes, read in blocks."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def package_folder(name: str) -> Path:
    """A folder that ships with the package: `tasks`, `baselines` or `published`.

    It lies inside the installed package, or at its place in the repository for an editable installation.
    """
    package = Path(__file__).resolve().parent
    places = [package / name, package.parent / ("leaderboard/published" if name == "published" else name)]
    for place in places:
        if place.is_dir():
            return place
    raise BenchError(
        f"the installation is incomplete: no folder {name!r}",
        expected=f"one of {', '.join(map(str, places))}",
        fix="reinstall fedmeki-bench",
    )
