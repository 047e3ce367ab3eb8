"""Does the manifest agree with the specs, the store and the runs' records, and they with each other?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from fedmeki_bench.specs import TaskSpec
from fedmeki_bench.submissions._faults import FaultLog
from fedmeki_bench.submissions._labels import Labels
from fedmeki_bench.submissions._layout import scores_path
from fedmeki_bench.submissions._manifest import MANIFEST, comparable_config, derived_fields

__all__ = ["check_against_runs", "check_against_specs"]


def check_against_specs(
    tasks: Mapping[str, Mapping[str, Any]],
    specs: Mapping[str, TaskSpec],
    labels: Labels | None,
    log: FaultLog,
) -> None:
    """The bundle's specs are those installed here and, where a store is given, its splits are the store's.

    Args:
        tasks: the manifest's.
        specs: the installed ones.
        labels: where test labels come from; only a store knows its splits.
        log: takes the faults.
    """
    for task, facts in tasks.items():
        field, spec = f"tasks.{task}", specs.get(task)
        if spec is None:
            log.add("FB033", MANIFEST, "a task of the benchmark", task, field=field)
            continue
        if facts["spec_version"] != spec.version:
            log.add("FB034", MANIFEST, spec.version, facts["spec_version"], field=f"{field}.spec_version")
        elif facts["spec_hash"] != spec.hash:
            log.add("FB035", MANIFEST, spec.hash, facts["spec_hash"], field=f"{field}.spec_hash")
        elif facts["source"] != spec.source:
            log.add("FB035", MANIFEST, spec.source, facts["source"], field=f"{field}.source")
        if facts["split_scheme"] != spec.split.scheme:
            log.add("FB036", MANIFEST, spec.split.scheme, facts["split_scheme"], field=f"{field}.split_scheme")
        known = labels.split_hash(task) if labels else None
        if known is not None and facts["split_hash"] != known:
            wanted = f"{known}, as in the store"
            log.add("FB036", MANIFEST, wanted, facts["split_hash"], field=f"{field}.split_hash")


def check_against_runs(
    manifest: Mapping[str, Any], folders: set[int], results: Mapping[int, Mapping[str, Any]], log: FaultLog
) -> None:
    """The manifest says of the runs what their records say themselves, and the runs agree with each other.

    Args:
        manifest: a valid manifest.
        folders: seeds that have a scores file.
        results: the valid records among them, by seed.
        log: takes the faults.
    """
    seeds = manifest["seeds"]
    if set(seeds) != folders or len(set(seeds)) != len(seeds):
        found = ", ".join(map(str, sorted(folders))) or "none"
        log.add("FB038", MANIFEST, f"the seeds of the folders, {found}", seeds, field="seeds")
    identities = {result["run_id"] for result in results.values()}
    if len(identities) != len(results):
        log.add("FB042", MANIFEST, "one run a seed", "the same run under two seeds", field="runs")
    if not results or set(results) != set(seeds):
        return
    costs = manifest["kind"] == "run"
    for name, expected in derived_fields(list(results.values()), costs=costs).items():
        for field, wanted, found in _differences(expected, manifest[name], name):
            log.add("FB038", MANIFEST, f"{wanted}, as in the scores", found, field=field)
    method = {name: manifest["method"][name] for name in ("name", "config")}
    shared = {name: manifest[name] for name in ("profile", "backbone", "protocols", "foundation_model", "encoders")}
    config = comparable_config(results[seeds[0]]["config"])
    for seed, result in sorted(results.items()):
        for field, wanted, found in _differences(config, comparable_config(result["config"]), "config"):
            log.add("FB042", scores_path(seed), f"{wanted}, as in seed {seeds[0]}", found, field=field)
        for name, expected in {"method": method, **shared}.items():
            for field, wanted, found in _differences(expected, result[name], name):
                log.add("FB042", scores_path(seed), f"{wanted}, as in the manifest", found, field=field)


def _differences(expected: Any, found: Any, field: str) -> Iterator[tuple[str, Any, Any]]:
    """(field, expected, found) of every leaf in which two JSON values differ; 1 is not true."""
    if isinstance(expected, Mapping) and isinstance(found, Mapping):
        for name in sorted(set(expected) | set(found)):
            yield from _differences(expected.get(name, "nothing"), found.get(name, "nothing"), f"{field}.{name}")
    elif isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        for index, (one, other) in enumerate(zip(expected, found, strict=True)):
            yield from _differences(one, other, f"{field}.{index}")
    elif expected != found or isinstance(expected, bool) != isinstance(found, bool):
        yield field, expected, found
