"""Decode the records that plans ask for, in this process or in several."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from concurrent.futures import as_completed
from pathlib import Path
from typing import Any

import pyarrow as pa

from fedmeki_bench.data._plan import TaskPlan
from fedmeki_bench.data._records import SHARD_RECORDS, Shard, record_schema, write_shard
from fedmeki_bench.sources import Source
from fedmeki_bench.workers import deaths_explained, worker_pool

__all__ = ["Progress", "decode"]

Progress = Callable[[str, int, int], None]
"""Called with (source, records done, records in all)."""


def decode(plans: Mapping[str, TaskPlan], out: Path, workers: int, progress: Progress | None) -> dict[str, list[Shard]]:
    """Shards of every record source, in the order of their keys.

    Raises:
        BenchError: a worker died.
    """
    jobs: list[tuple[str, Path, tuple[str, ...]]] = []
    total: dict[str, int] = {}
    schemas: dict[str, pa.Schema] = {}
    for source, (adapter, folder, keys) in _wanted(plans).items():
        total[source] = len(keys)
        schemas[source] = record_schema(adapter.modalities)
        jobs.extend(
            (adapter.name, folder, tuple(keys[at : at + SHARD_RECORDS])) for at in range(0, len(keys), SHARD_RECORDS)
        )
    done: dict[int, Shard] = {}
    counted: dict[str, int] = defaultdict(int)

    def finish(number: int, shard: Shard) -> None:
        source, _, keys = jobs[number]
        done[number] = shard
        counted[source] += len(keys)
        if progress is not None:
            progress(source, counted[source], total[source])

    def arguments(number: int) -> tuple[Any, ...]:
        source, folder, keys = jobs[number]
        return source, folder, keys, schemas[source], out / "records" / source

    if workers == 1:
        for number in range(len(jobs)):
            finish(number, write_shard(*arguments(number)))
    else:
        pool = worker_pool(workers)
        try:
            with deaths_explained(out / "records"):
                futures = {pool.submit(write_shard, *arguments(number)): number for number in range(len(jobs))}
                for future in as_completed(futures):
                    finish(futures[future], future.result())
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
    shards: dict[str, list[Shard]] = defaultdict(list)
    for number, (source, _, _) in enumerate(jobs):
        shards[source].append(done[number])
    return dict(shards)


def _wanted(plans: Mapping[str, TaskPlan]) -> dict[str, tuple[Source, Path, list[str]]]:
    """For each record source: its adapter, its folder, the sorted keys of all records some task refers to."""
    keys: dict[str, set[str]] = defaultdict(set)
    places: dict[str, tuple[Source, Path]] = {}
    for plan in plans.values():
        adapter, folder = plan.source.record_owner(plan.folder)
        places[adapter.name] = (adapter, folder)
        keys[adapter.name].update(item.record for item in plan.items.values())
    return {name: (*places[name], sorted(own)) for name, own in sorted(keys.items())}
