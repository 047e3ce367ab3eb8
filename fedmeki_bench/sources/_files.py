"""Finding a source's folder, reading its tables with line numbers, and keeping every path inside the root."""

from __future__ import annotations

import csv
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from fedmeki_bench.errors import BenchError, Fault, FaultsError, did_you_mean

__all__ = [
    "demographics",
    "find_folder",
    "inside",
    "path_fault",
    "raise_faults",
    "read_json_list",
    "read_table",
    "repeated_id_faults",
]

DEPTH = 5
"""Folders below the root that are searched for a source's layout."""

NOT_SEARCHED = re.compile(r"(patient|xmlab|p)?\d+|images|imgs|records\d+|stage_2_\w+_images|train|valid|\..*")
"""Folders that hold records by the ten thousand and never a source's own root."""


def find_folder(root: Path, is_source: Callable[[Path], bool], what: str) -> Path | None:
    """The one folder at or below `root` for which `is_source` holds; None if there is none.

    The nearest level wins; links to folders are followed, so that data sets can be linked together under one
    root.

    Raises:
        BenchError: `root` is no folder, or two folders on one level hold the source: nothing says which is
            meant.
    """
    if not root.is_dir():
        raise BenchError("the data folder does not exist", where=root, fix="give an existing folder as --root")
    level = [root]
    for _ in range(DEPTH + 1):
        found = [folder for folder in level if is_source(folder)]
        if len(found) > 1:
            raise BenchError(
                f"{what} is there more than once; nothing says which copy is meant",
                where=root,
                found=", ".join(str(folder) for folder in found),
                fix="give a --root that holds one copy",
            )
        if found:
            return found[0]
        level = [
            child
            for folder in level
            for child in sorted(folder.iterdir())
            if not NOT_SEARCHED.fullmatch(child.name) and child.is_dir()
        ]
    return None


def inside(folder: Path, relative: str) -> Path:
    """`folder / relative`, checked to lie inside `folder` after following links.

    Raises:
        BenchError: the path, or the link it goes through, leaves the folder.
    """
    path = folder / relative
    # A file that is not there leads nowhere; most of a large table's files may be absent, and links cost
    # time.
    if ".." not in path.parts and not os.path.lexists(path):
        return path
    if not path.resolve().is_relative_to(folder.resolve()):
        raise BenchError(
            "a record's file lies outside its data set",
            where=path,
            expected=f"a file inside {folder}",
            found=path.resolve(),
            fix="replace the link or path by the file itself",
        )
    return path


def path_fault(where: str, field: str, relative: str) -> Fault | None:
    """A fault if a table names an absolute path or one that climbs out of the data set."""
    parts = relative.replace("\\", "/").split("/")
    if not relative.strip() or not parts[0] or ".." in parts:
        return Fault(where, field, "a path inside the data set", repr(relative))
    return None


def read_table(path: Path, columns: Sequence[str]) -> Iterator[tuple[str, dict[str, str]]]:
    """Rows of a CSV file as (place, row), place being `file:line`; a byte-order mark is accepted.

    Raises:
        FaultsError: a column is missing, the table is empty, or rows have too few or too many fields.
    """
    faults: list[Fault] = []
    rows = 0
    try:
        with path.open(encoding="utf-8-sig", newline="") as handle:
            reader = csv.DictReader(handle)
            names = reader.fieldnames or []
            for column in columns:
                if column not in names:
                    faults.append(
                        Fault(f"{path}:1", column, "a column of this name", "none", did_you_mean(column, names))
                    )
            raise_faults(path, faults)
            for row in reader:
                rows += 1
                place = f"{path}:{reader.line_num}"
                if None in row or None in row.values():
                    width = len([value for value in row.values() if value is not None])
                    faults.append(Fault(place, "", f"{len(names)} fields", "more" if None in row else f"{width}"))
                else:
                    yield place, row
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BenchError("cannot read a table", where=path, expected="a UTF-8 CSV file", found=error) from error
    if not rows:
        faults.append(Fault(str(path), "", "at least one row", "an empty table"))
    raise_faults(path, faults)


def read_json_list(path: Path, fields: Sequence[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Objects of a JSON list as (place, object), place being `file[index]`.

    Raises:
        FaultsError: the list is empty, holds something else than objects, or an object lacks a field.
        BenchError: the file cannot be read or is not JSON.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8-sig"))
    except json.JSONDecodeError as error:
        raise BenchError("not valid JSON", where=f"{path}:{error.lineno}", found=error.msg) from error
    except (OSError, UnicodeDecodeError) as error:
        raise BenchError("cannot read a JSON file", where=path, found=error) from error
    if not isinstance(values, list) or not values:
        raise_faults(
            path,
            [
                Fault(
                    str(path),
                    "",
                    "a list of objects",
                    "an empty list" if values == [] else type(values).__name__,
                )
            ],
        )
    faults: list[Fault] = []
    for index, value in enumerate(values):
        place = f"{path}[{index}]"
        if not isinstance(value, dict):
            faults.append(Fault(place, "", "an object", type(value).__name__))
            continue
        faults.extend(Fault(place, field, "a value", "none") for field in fields if value.get(field) is None)
    raise_faults(path, faults)
    for index, value in enumerate(values):
        yield f"{path}[{index}]", value


def repeated_id_faults(places: Iterable[tuple[str, str]], field: str) -> list[Fault]:
    """One fault for each id that stands twice, from (place, id) pairs."""
    seen: dict[str, str] = {}
    faults = []
    for place, name in places:
        if name in seen:
            faults.append(Fault(place, field, f"an id of its own (first at {seen[name]})", name))
        else:
            seen[name] = place
    return faults


def raise_faults(path: Path, faults: Iterable[Fault]) -> None:
    """Raise all faults of a source's metadata together, exit code 1; nothing if there are none."""
    found = list(faults)
    if found:
        noun = "fault" if len(found) == 1 else "faults"
        raise FaultsError(f"{len(found)} {noun} in the metadata {path.name}", found, exit_code=1)


def demographics(**values: str | float | None) -> Mapping[str, str | float]:
    """The known values only: unknown ages are absent, never a number that stands for unknown."""
    return {name: value for name, value in values.items() if value is not None and value != ""}
