"""From raw files to the prepared store: plan, decode in parallel, write; resumable and idempotent."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fedmeki_bench.data._decode import Progress, decode
from fedmeki_bench.data._index import index_entry, index_table
from fedmeki_bench.data._plan import Planner, Scheme, TaskPlan, Unavailable, with_dependencies, without
from fedmeki_bench.data._records import Shard
from fedmeki_bench.data._report import PrepareReport, TaskReport, task_report
from fedmeki_bench.data._store import STORE_FORMAT
from fedmeki_bench.errors import BenchError, Fault, FaultsError
from fedmeki_bench.files import atomic_writer, file_sha256, read_json, write_json, write_jsonl
from fedmeki_bench.specs import TaskSpec

__all__ = ["prepare"]


def prepare(
    root: Path,
    out: Path,
    *,
    tasks: Mapping[str, TaskSpec],
    workers: int = 1,
    skip_corrupt: int = 0,
    scheme: Scheme | None = None,
    progress: Progress | None = None,
) -> PrepareReport:
    """Decode what the tasks need once, divide the items, and write the store.

    Killed at any moment and started again, it goes on where it stood; run twice, it writes the same files.
    Tasks that an earlier call prepared stay in the store.

    Args:
        root: folder with the raw data sets, each in its own layout.
        out: the store.
        tasks: specs by id; tasks they must be disjoint from are looked up among the package's own too.
        workers: processes that decode; the store does not depend on it.
        skip_corrupt: at most this many corrupt records are left out, listed and counted; one more is an
            error.
        scheme: overrides the specs' partition scheme; a training task whose released partition cannot be
            reproduced stays grouped, as the report shows.
        progress: told of records done.

    Raises:
        BenchError: nothing to prepare below the root, a full disk, or another prepare at work on `out`.
        FaultsError: faulty metadata, or more corrupt records than allowed (all of them listed).
    """
    started = time.monotonic()
    planner = Planner(root, with_dependencies(tasks), scheme)
    plans: dict[str, TaskPlan] = {}
    unavailable: dict[str, str] = {}
    for name in tasks:
        try:
            plans[name] = planner.plan(name)
        except Unavailable as reason:
            unavailable[name] = str(reason)
    if not plans:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in unavailable.items())
        raise BenchError(
            "nothing can be prepared",
            where=root,
            found=reasons,
            fix="see fedmeki-bench data ls for where to get the data",
        )
    with _locked(out):
        shards = decode(plans, out, workers, progress)
        corrupt = {
            f"{source}: {key}": why
            for source, done in shards.items()
            for shard in done
            for key, why in shard.corrupt.items()
        }
        if len(corrupt) > skip_corrupt:
            _raise_corrupt(corrupt, skip_corrupt)
        before = _existing(out)
        entries = dict(before["tasks"])
        reports: dict[str, TaskReport] = {}
        for name, plan in plans.items():
            own = shards[plan.source.record_source]
            entries[name] = _write_task(out / "tasks" / name, plan, own, planner.depends(plan.spec))
            reports[name] = task_report(plan, entries[name])
        gone = {**before["unavailable"], **unavailable}
        content = {
            "format": STORE_FORMAT,
            "tasks": {name: entry for name, entry in entries.items() if name not in unavailable},
            "unavailable": {name: reason for name, reason in gone.items() if name not in plans},
        }
        write_json(out / "store.json", content)
        _sweep(out, content)
    return PrepareReport(
        store=out,
        tasks=reports,
        unavailable=unavailable,
        decoded=sum(len(shard.records) for done in shards.values() for shard in done if not shard.reused),
        reused=sum(len(shard.records) for done in shards.values() for shard in done if shard.reused),
        corrupt=corrupt,
        seconds=time.monotonic() - started,
    )


@contextmanager
def _locked(out: Path) -> Iterator[None]:
    out.mkdir(parents=True, exist_ok=True)
    with (out / ".lock").open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BenchError(
                "another prepare is at work on this store",
                where=out,
                fix="wait for it, or choose another --out",
            ) from error
        yield


def _raise_corrupt(corrupt: Mapping[str, str], allowed: int) -> None:
    faults = [Fault(key, "", "a record that can be decoded", " ".join(why.split())) for key, why in corrupt.items()]
    hint = f"repair them, or leave them out with --skip-corrupt {len(corrupt)}"
    raise FaultsError(f"{len(corrupt)} corrupt records, {allowed} allowed; {hint}", faults, exit_code=1)


def _existing(out: Path) -> dict[str, Any]:
    """What an earlier call wrote; nothing if there is none or its format is another."""
    empty: dict[str, Any] = {"tasks": {}, "unavailable": {}}
    if not (out / "store.json").is_file():
        return empty
    content = read_json(out / "store.json")
    current = isinstance(content, dict) and content.get("format") == STORE_FORMAT
    return content if current else empty


def _write_task(folder: Path, plan: TaskPlan, shards: Sequence[Shard], depends: Mapping[str, str]) -> dict[str, Any]:
    """Write a task's index and list of left-out records; returns its entry in store.json."""
    import pyarrow.parquet as pq

    corrupt = {key for shard in shards for key in shard.corrupt}
    bad = frozenset(name for name, item in plan.items.items() if item.record in corrupt)
    partition = without(plan.partition, bad)
    with atomic_writer(folder / "index.parquet") as handle:
        pq.write_table(index_table(plan, partition), handle)
    lost: list[dict[str, str | None]] = [
        {"record": key, "reason": "missing", "file": file} for key, file in sorted(plan.missing.items())
    ]
    broken = sorted({plan.items[name].record for name in bad})
    lost += [{"record": key, "reason": "corrupt", "file": None} for key in broken]
    write_jsonl(folder / "left_out.jsonl", lost)
    entry = index_entry(plan, partition, depends, skipped=len(bad))
    # Each task keeps its own list of shards: a later call may prepare other tasks from another copy of the source.
    names = [shard.file for shard in shards]
    return {**entry, "shards": names, "index_sha256": file_sha256(folder / "index.parquet")}


def _sweep(out: Path, content: Mapping[str, Any]) -> None:
    """Remove what nothing in the store refers to any more, and what a killed run left half written."""
    used = {Path(name).stem for entry in content["tasks"].values() for name in entry["shards"]}
    for folder in sorted((out / "records").iterdir()):
        for file in folder.iterdir():
            if file.stem not in used:
                file.unlink()
    for folder in sorted((out / "tasks").iterdir()):
        known = ("index.parquet", "left_out.jsonl") if folder.name in content["tasks"] else ()
        for file in folder.iterdir():
            if file.name not in known:
                file.unlink()
        if not known:
            folder.rmdir()
