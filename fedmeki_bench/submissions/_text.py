"""Reading what a bundle holds: strict UTF-8, strict JSON, bounded lines; one pass, constant memory."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any

from fedmeki_bench.submissions._container import BundleFiles
from fedmeki_bench.submissions._faults import FaultLog

__all__ = ["MAX_LINE_BYTES", "MAX_ROWS", "Digest", "parse_json", "read_document", "read_lines"]

MAX_LINE_BYTES = 16_384
MAX_DOCUMENT_BYTES = 8 * 2**20
MAX_ROWS = 200_000
"""Rows read of one prediction file; the largest test part of the benchmark has 3,813."""


class _Refused(ValueError):
    """JSON that Python's reader would take but the standard, or we, do not; carries the fault's code."""

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        super().__init__(message)


def _constant(name: str) -> Any:
    raise _Refused("FB027", name)


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        keys = [key for key, _ in pairs]
        raise _Refused("FB028", f"{next(key for key in keys if keys.count(key) > 1)!r} more than once")
    return value


def _number(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise _Refused("FB027", text)
    return value


_DECODER = json.JSONDecoder(parse_constant=_constant, object_pairs_hook=_pairs, parse_float=_number)


def parse_json(text: str) -> Any:
    """The value of strict JSON: no NaN or infinity, no repeated key.

    Raises:
        ValueError: not such JSON, nested too deeply, or with a number too long to hold.
    """
    try:
        value = _DECODER.decode(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if "\\u" in text:
        _refuse_surrogates(value)
    return value


def _refuse_surrogates(value: Any) -> None:
    """JSON can escape half a surrogate pair; such a string is no text and could not be written again."""
    try:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError as error:
        raise _Refused("FB020", f"half a surrogate pair, {error.object[error.start : error.end]!a}") from error


def _log_json(log: FaultLog, error: ValueError, file: str, line: int | None) -> None:
    if isinstance(error, _Refused):
        log.add(error.code, file, "strict JSON", error, line=line)
    elif isinstance(error, json.JSONDecodeError):
        log.add(
            "FB026",
            file,
            "JSON",
            f"{error.msg} at column {error.colno}",
            line=line if line is not None else error.lineno,
        )
    else:
        log.add("FB026", file, "JSON", error, line=line)


@dataclass
class Digest:
    """What a whole pass over a file gives beside its lines: SHA-256 (hex), bytes, lines."""

    sha256: str = ""
    size: int = 0
    lines: int = 0


def read_document(files: BundleFiles, path: str, log: FaultLog) -> tuple[Any, Digest] | None:
    """One JSON document, whole; None (and a fault) if it is too large, not UTF-8 or not strict JSON."""
    if files.entries[path].size > MAX_DOCUMENT_BYTES:
        log.add("FB006", path, f"at most {MAX_DOCUMENT_BYTES:,} bytes", f"{files.entries[path].size:,} bytes")
        return None
    with files.open(path) as handle:
        content = handle.read(MAX_DOCUMENT_BYTES + 1)
    if content.startswith(b"\xef\xbb\xbf"):
        log.add("FB021", path, "no byte-order mark", "one", line=1)
        return None
    if b"\r" in content:
        log.add(
            "FB022",
            path,
            "lines that end in LF",
            "carriage returns",
            line=content[: content.index(b"\r")].count(b"\n") + 1,
        )
    try:
        value = parse_json(content.decode("utf-8"))
    except UnicodeDecodeError as error:
        log.add("FB020", path, "UTF-8", error.reason, line=content[: error.start].count(b"\n") + 1)
        return None
    except ValueError as error:
        _log_json(log, error, path, None)
        return None
    return value, Digest(hashlib.sha256(content).hexdigest(), len(content), content.count(b"\n"))


def _raw_lines(handle: IO[bytes], digest: Digest) -> Iterator[bytes]:
    """Lines of up to `MAX_LINE_BYTES` + 1 bytes, up to `MAX_ROWS` + 1 of them; the hash covers the file."""
    sha = hashlib.sha256()
    while digest.lines <= MAX_ROWS:
        line = handle.readline(MAX_LINE_BYTES + 1)
        if not line:
            break
        sha.update(line)
        digest.size += len(line)
        digest.lines += 1
        yield line
        while len(line) > MAX_LINE_BYTES and not line.endswith(b"\n"):
            line = handle.readline(MAX_LINE_BYTES + 1)
            sha.update(line)
            digest.size += len(line)
    while block := handle.read(2**16):
        sha.update(block)
        digest.size += len(block)
    digest.sha256 = sha.hexdigest()


def read_lines(files: BundleFiles, path: str, digest: Digest, log: FaultLog) -> Iterator[tuple[int, Any]]:
    """(line number from 1, JSON value) of each good line; faults of the others go to `log`; fills `digest`.

    A byte-order mark and CRLF are named once a file; its lines still count.
    """
    carriage_returns = False
    with files.open(path) as handle:
        for line in _raw_lines(handle, digest):
            number = digest.lines
            if number > MAX_ROWS:
                log.add("FB060", path, f"at most {MAX_ROWS:,} lines", "more", line=number)
                continue
            if len(line) > MAX_LINE_BYTES:
                log.add("FB025", path, f"lines of at most {MAX_LINE_BYTES:,} bytes", "a longer one", line=number)
                continue
            if number == 1 and line.startswith(b"\xef\xbb\xbf"):
                log.add("FB021", path, "no byte-order mark", "one", line=1)
                line = line[3:]
            if not line.endswith(b"\n"):
                log.add("FB023", path, "a line feed at the end of the last line", "none", line=number)
            if b"\r" in line and not carriage_returns:
                carriage_returns = True
                log.add("FB022", path, "lines that end in LF", "a carriage return", line=number)
            if not line.strip():
                log.add("FB024", path, "a JSON object", "an empty line", line=number)
                continue
            try:
                yield number, parse_json(line.decode("utf-8"))
            except UnicodeDecodeError as error:
                log.add("FB020", path, "UTF-8", error.reason, line=number)
            except ValueError as error:
                _log_json(log, error, path, number)
