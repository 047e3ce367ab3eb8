"""The manifest: who, what, with which data and model; most of it follows from the runs' records.

A schema version, once released, is read for ever: a leaderboard outlives its code. `READERS` holds one
reader a version; each gives the manifest in the newest form.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

import fedmeki_bench.specs
from fedmeki_bench.submissions._faults import FaultLog

__all__ = [
    "MANIFEST",
    "SCHEMA_VERSION",
    "comparable_config",
    "derived_fields",
    "folded_name",
    "portable",
    "read_manifest",
    "visible_faults",
]

MANIFEST = "manifest.json"

SCHEMA_VERSION = 1
"""The newest manifest version this code reads, and the one it writes."""

TASK_FIELDS = (
    "source",
    "simulated",
    "spec_version",
    "spec_hash",
    "split_scheme",
    "split_hash",
    "counts",
    "corrupt_skipped",
)
"""What every run of a bundle must agree on for a task; `deal_hash` and `used` may follow the seed."""


@cache
def _validator() -> Draft202012Validator:
    path = Path(fedmeki_bench.specs.__file__).parent / "schemas" / "manifest.schema.json"
    return Draft202012Validator(json.loads(path.read_text(encoding="utf-8")))


def _schema_faults(error: ValidationError) -> Iterator[tuple[str, str, str]]:
    """(field, expected, found) for each thing one schema error is about."""
    field = ".".join(str(part) for part in error.absolute_path)
    schema: Any = error.schema
    wanted: Any = error.validator_value
    instance: Any = error.instance
    if error.validator == "additionalProperties":
        known = set(schema.get("properties", {}))
        for name in sorted(set(instance) - known):
            yield f"{field}.{name}".lstrip("."), "no such field", "an unknown field"
    elif error.validator == "required":
        for name in wanted:
            if name not in instance:
                yield f"{field}.{name}".lstrip("."), "a value", "nothing"
    else:
        yield (
            field,
            f"{error.validator} {json.dumps(wanted)}",
            json.dumps(instance)[:200],
        )


def _read_version_1(raw: Mapping[str, Any], log: FaultLog) -> dict[str, Any] | None:
    errors = list(_validator().iter_errors(raw))
    for error in errors:
        for field, expected, found in _schema_faults(error):
            log.add("FB032", MANIFEST, expected, found, field=field)
    return None if errors else dict(raw)


READERS: Mapping[int, Callable[[Mapping[str, Any], FaultLog], dict[str, Any] | None]] = {1: _read_version_1}
"""Schema version to the reader that checks it and gives the newest form. Entries are added, never removed."""


def read_manifest(raw: object, log: FaultLog) -> dict[str, Any] | None:
    """The manifest in its newest form, or None with every fault in `log`.

    Args:
        raw: the parsed `manifest.json`.
        log: takes the faults.
    """
    if not isinstance(raw, dict):
        log.add("FB032", MANIFEST, "a JSON object", type(raw).__name__)
        return None
    version = raw.get("schema_version")
    if isinstance(version, bool) or not isinstance(version, int) or version < 1:
        log.add(
            "FB031",
            MANIFEST,
            f"a whole number from 1 to {SCHEMA_VERSION}",
            json.dumps(version),
            field="schema_version",
        )
        return None
    if version > SCHEMA_VERSION:
        log.add("FB030", MANIFEST, f"at most {SCHEMA_VERSION}", version, field="schema_version")
        return None
    manifest = READERS[version](raw, log)
    if manifest is not None:
        visible_faults(manifest, log)
    return manifest


def visible_faults(manifest: Mapping[str, Any], log: FaultLog) -> None:
    """Names, authors and links must read as they are: no control, direction or other invisible characters.

    HTML and TeX are left alone: they are text, and whoever renders them escapes them.
    """
    texts = {"method.name": manifest["method"]["name"], "paper": manifest["paper"], "code": manifest["code"]}
    texts |= {f"authors.{index}": author for index, author in enumerate(manifest["authors"])}
    for field, text in texts.items():
        if text is None:
            continue
        bad = sorted({char for char in text if char != " " and unicodedata.category(char)[0] in "CZ"})
        if bad or text != text.strip() or not text:
            found = ", ".join(f"U+{ord(char):04X}" for char in bad) or "white space around it"
            log.add("FB040", MANIFEST, "visible characters", found, field=field)


def folded_name(name: str) -> str:
    """A method name as compared with others: two names that look alike in a table are one name."""
    folded = unicodedata.normalize("NFKC", name).casefold()
    return "".join(char for char in folded if char.isalnum())


def portable(value: Any) -> Any:
    """`value` with absolute paths cut to their last part: a bundle names no folder of its maker's machine."""
    if isinstance(value, Mapping):
        return {key: portable(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [portable(inner) for inner in value]
    if isinstance(value, str) and (value.startswith(("/", "~", "\\\\")) or value[1:3] in (":\\", ":/")):
        return value.replace("\\", "/").rstrip("/").rsplit("/", 1)[-1] or value
    return value


FREE_SETTINGS = frozenset({"seed", "device", "prediction_batch_size", "download"})
FREE_SERVER_SETTINGS = frozenset({"micro_batch_size", "gradient_checkpointing"})
"""Settings in which the runs of a bundle may differ: the seed, and what changes nothing but speed and memory."""


def comparable_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a run's configuration that all runs of a bundle share."""
    shared = {name: value for name, value in config.items() if name not in FREE_SETTINGS}
    if isinstance(shared.get("server"), Mapping):
        server = shared["server"]
        shared["server"] = {name: server[name] for name in server if name not in FREE_SERVER_SETTINGS}
    return shared


def _task_fields(results: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    tasks = {name: task for result in results for name, task in result["tasks"].items()}
    return {name: {field: task[field] for field in TASK_FIELDS} for name, task in sorted(tasks.items())}


def derived_fields(results: Sequence[Mapping[str, Any]], *, costs: bool) -> dict[str, Any]:
    """The part of the manifest that follows from the bundle's `scores.json` files, in the order of the seeds.

    Args:
        results: one result record a seed, at least one; they agree on what `submit` requires to agree.
        costs: False for predictions-only bundles, whose cost nobody measured.
    """
    first, ordered = results[0], sorted(results, key=lambda result: int(result["seed"]))
    return {
        "profile": first["profile"],
        "backbone": first["backbone"],
        "protocols": list(first["protocols"]),
        "foundation_model": first["foundation_model"],
        "encoders": first["encoders"],
        "tasks": _task_fields(results),
        "missing_tasks": first["missing_tasks"],
        "seeds": [result["seed"] for result in ordered],
        "runs": [
            {
                "seed": result["seed"],
                "run_id": result["run_id"],
                "folder": f"seed-{result['seed']}",
                "provenance": result["provenance"],
                "cost": result["cost"] if costs else None,
            }
            for result in ordered
        ],
    }
