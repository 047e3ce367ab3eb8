"""Strict reading of JSON-lines files: every fault with its line number, none repaired, none dropped."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fedmeki_bench.errors import BenchError, Fault

__all__ = ["LIMIT", "FaultList", "read_objects"]

LIMIT = 20
"""Faults of one sort that are listed one by one; the rest are counted."""

_BYTE_ORDER_MARKS = {b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16", b"\x00\x00\xfe\xff": "UTF-32"}


class FaultList:
    """Gathers the faults of one file; of each sort the first `LIMIT` are kept, and the others counted."""

    def __init__(self, path: Path, unit: str = "") -> None:
        # Places read `file:12`; with a unit, `file:item 12`.
        self.path, self._unit = path, f"{unit} " if unit else ""
        self._kept: dict[str, list[Fault]] = {}
        self._more: dict[str, int] = {}

    def add(self, sort: str, line: int | None, field: str, expected: str, found: str, fix: str = "") -> None:
        """Record one fault of a sort, at a line (or item) of the file, or of the file as a whole."""
        kept = self._kept.setdefault(sort, [])
        if len(kept) < LIMIT:
            where = str(self.path) if line is None else f"{self.path}:{self._unit}{line}"
            kept.append(Fault(where, field, expected, found, fix))
        else:
            self._more[sort] = self._more.get(sort, 0) + 1

    def __len__(self) -> int:
        return sum(map(len, self._kept.values())) + sum(self._more.values())

    def all(self) -> list[Fault]:
        """The faults, with one line for those of each sort that are not listed."""
        faults = [fault for kept in self._kept.values() for fault in kept]
        for sort, count in self._more.items():
            faults.append(Fault(str(self.path), sort, "none", f"{count} more like the {LIMIT} listed"))
        return faults


class _RepeatedKey(ValueError):
    """An object that has one key twice: which of the two values was meant?"""


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    row = dict(pairs)
    if len(row) != len(pairs):
        names = [name for name, _ in pairs]
        raise _RepeatedKey(f"the key {next(name for name in names if names.count(name) > 1)!r} twice")
    return row


def read_objects(path: Path, faults: FaultList) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line number, object) of each line that holds a JSON object; everything else is added to `faults`.

    Lines are UTF-8; a byte-order mark at the start of the file and empty lines are passed over. NaN and
    Infinity, which are not JSON, are read as numbers, so that whoever knows the field can refuse them by
    name.

    Raises:
        BenchError: the file cannot be read at all.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise BenchError(f"cannot read the file: {error.strerror}", where=path) from error
    for mark, name in _BYTE_ORDER_MARKS.items():
        if content.startswith(mark):
            faults.add("encoding", None, "", "UTF-8 text", f"{name} text", "save the file as UTF-8")
            return
    if content.lstrip()[:1] == b"[":
        hint = "score it with --format released if it is a log of the public release"
        faults.add("layout", 1, "", "one JSON object a line", "one JSON list", hint)
        return
    lines = content.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        last = number == len(lines)
        try:
            row = json.loads(line.decode("utf-8"), object_pairs_hook=_unique_keys)
        except UnicodeDecodeError as error:
            found = f"byte 0x{error.object[error.start]:02x} at column {error.start + 1}"
            faults.add("encoding", number, "", "UTF-8 text", found, "another encoding is mixed in")
        except _RepeatedKey as error:
            faults.add("value", number, "", "each key once", str(error))
        except (ValueError, RecursionError) as error:
            # Besides broken JSON: numbers of thousands of digits and endless nesting.
            if last and isinstance(error, json.JSONDecodeError):
                faults.add("truncated", number, "", "a whole line", "the file ends in the middle of a line")
            else:
                faults.add("json", number, "", "one JSON object", str(error))
        else:
            if isinstance(row, dict):
                yield number, row
            else:
                faults.add("json", number, "", "one JSON object", f"a {type(row).__name__}")
