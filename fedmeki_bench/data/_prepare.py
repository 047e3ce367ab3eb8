"""From raw files to the prepared store: plan, decode in parallel, write; resumable and idempotent."""

from __future__ import annotations

import fcntl
import json
import multiprocessing
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fedmeki_bench.data._plan import Planner, TaskPlan, Unavailable, part_counts, without
from fedmeki_bench.data._records import SHARD_RECORDS, Shard, record_schema, write_shard
from fedmeki_bench.data._split import ASSIGNMENTS
from fedmeki_bench.data._store import STORE_FORMAT
from fedmeki_bench.errors import BenchError, Fault, FaultsError
from fedmeki_bench.files import atomic_writer, read_json, write_json, write_jsonl
from fedmeki_bench.sources import Source
from fedmeki_bench.specs import TaskSpec

__all__ = ["PrepareReport", "TaskReport", "prepare"]

Progress = Callable[[str, int, int], None]
"""Called with (source, records done, records in all)."""


@dataclass(frozen=True)
class TaskReport:
    """What became of one task.

    Attributes:
        counts: items by part.
        source: source adapter.
        simulated: the raw files were simulated.
        scheme: partition scheme in force.
        missing: records with an absent file, and the items that refer to them.
        missing_first: the first absent file.
        skipped: items left out because their record is corrupt.
        left_out: rows that are no item, by reason.
        unused: why items are in no part, by reason.
    """

    counts: Mapping[str, int]
    source: str
    simulated: bool
    scheme: str
    missing: tuple[int, int]
    missing_first: str | None
    skipped: int
    left_out: Mapping[str, int]
    unused: Mapping[str, int]


@dataclass(frozen=True)
class PrepareReport:
    """What `prepare` did.

    Attributes:
        store: the folder written.
        tasks: by id, the tasks prepared now.
        unavailable: by id, why a task could not be prepared.
        decoded: records decoded now.
        reused: records that were decoded by an earlier run.
        corrupt: records left out, by key, with the reason.
        seconds: wall time.
    """

    store: Path
    tasks: Mapping[str, TaskReport]
    unavailable: Mapping[str, str]
    decoded: int
    reused: int
    corrupt: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 0.0

    def render(self) -> str:
        """A table of the tasks and a line for everything that was left out."""
        from tabulate import tabulate

        rows = [
            [name, task.source + (" (simulated)" if task.simulated else ""), task.scheme, *(task.counts[part] for part in ASSIGNMENTS)]
            for name, task in self.tasks.items()
        ]
        lines = [tabulate(rows, headers=["task", "source", "scheme", *ASSIGNMENTS]), ""]
        for name, task in self.tasks.items():
            if task.missing[0]:
                lines.append(
                    f"{name}: {task.missing[1]:,} items left out, the files of {task.missing[0]:,} records are missing "
                    f"(first: {task.missing_first}; all in tasks/{name}/left_out.jsonl)"
                )
            if task.skipped:
                lines.append(f"{name}: {task.skipped:,} items left out, their records are corrupt")
            lines.extend(f"{name}: {count:,} {reason}" for reason, count in task.left_out.items())
            lines.extend(f"{name}: {count:,} unused: {reason}" for reason, count in task.unused.items())
        lines.extend(f"{name}: not available: {reason}" for name, reason in self.unavailable.items())
        lines.extend(f"corrupt: {key}: {reason}" for key, reason in self.corrupt.items())
        lines.append(f"{self.decoded:,} records decoded, {self.reused:,} reused, {self.seconds:.1f} s: {self.store}")
        return "\n".join(lines)


def prepare(
    root: Path,
    out: Path,
    *,
    tasks: Mapping[str, TaskSpec],
    workers: int = 1,
    skip_corrupt: int = 0,
    progress: Progress | None = None,
) -> PrepareReport:
    """Decode what the tasks need once, divide the items, and write the store.

    Killed at any moment and started again, it goes on where it stood; run twice, it writes the same files. Tasks that
    an earlier call prepared stay in the store.

    Args:
        root: folder with the raw data sets, each in its own layout.
        out: the store.
        tasks: specs by id; tasks they must be disjoint from are looked up among the package's own too.
        workers: processes that decode; the store does not depend on it.
        skip_corrupt: at most this many corrupt records are left out, listed and counted; one more is an error.
        progress: told of records done.

    Raises:
        BenchError: nothing to prepare below the root, a full disk, or another prepare at work on `out`.
        FaultsError: faulty metadata, or more corrupt records than allowed (all of them listed).
    """
    started = time.monotonic()
    planner = Planner(root, _with_dependencies(tasks))
    plans: dict[str, TaskPlan] = {}
    unavailable: dict[str, str] = {}
    for name in tasks:
        try:
            plans[name] = planner.plan(name)
        except Unavailable as reason:
            unavailable[name] = str(reason)
    if not plans:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in unavailable.items())
        raise BenchError("nothing can be prepared", where=root, found=reasons, fix="see fedmeki-bench data ls for where to get the data")
    with _locked(out):
        shards = _decode(plans, out, workers, progress)
        corrupt = {f"{source}: {key}": why for source, done in shards.items() for shard in done for key, why in shard.corrupt.items()}
        if len(corrupt) > skip_corrupt:
            _raise_corrupt(corrupt, skip_corrupt)
        before = _existing(out)
        records = {**before["records"]}
        for source, done in shards.items():
            records[source] = {"shards": _merge_shards(out / "records" / source, records.get(source, {}).get("shards", []), done)}
        entries = dict(before["tasks"])
        reports = {}
        for name, plan in plans.items():
            bad = frozenset(key for shard in shards[plan.source.record_source] for key in shard.corrupt)
            entries[name] = _write_task(out / "tasks" / name, plan, bad, planner.depends(plan.spec))
            reports[name] = _report(plan, entries[name])
        gone = {**before["unavailable"], **unavailable}
        content = {
            "format": STORE_FORMAT,
            "records": records,
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


def _with_dependencies(tasks: Mapping[str, TaskSpec]) -> dict[str, TaskSpec]:
    wanted = {other for spec in tasks.values() for other in spec.split.disjoint_from} - set(tasks)
    if not wanted:
        return dict(tasks)
    from fedmeki_bench.specs import load_tasks

    known = load_tasks()
    return {**{name: known[name] for name in wanted if name in known}, **tasks}


@contextmanager
def _locked(out: Path) -> Iterator[None]:
    out.mkdir(parents=True, exist_ok=True)
    with (out / ".lock").open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BenchError("another prepare is at work on this store", where=out, fix="wait for it, or choose another --out") from error
        yield


def _decode(plans: Mapping[str, TaskPlan], out: Path, workers: int, progress: Progress | None) -> dict[str, list[Shard]]:
    """Shards of every record source, in the order of their keys."""
    jobs: list[tuple[str, Path, tuple[str, ...]]] = []
    total: dict[str, int] = {}
    for source, (adapter, folder, keys) in _wanted(plans).items():
        total[source] = len(keys)
        jobs.extend((adapter.name, folder, tuple(keys[at : at + SHARD_RECORDS])) for at in range(0, len(keys), SHARD_RECORDS))
    schemas = {source: record_schema(_wanted(plans)[source][0].modalities) for source in total}
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
        # Fresh interpreters: a forked child would inherit locks held by the parent's threads (Arrow, progress bar).
        pool = ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"))
        try:
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


def _raise_corrupt(corrupt: Mapping[str, str], allowed: int) -> None:
    faults = [Fault(key, "", "a record that can be decoded", " ".join(why.split())) for key, why in corrupt.items()]
    hint = f"repair them, or leave them out with --skip-corrupt {len(corrupt)}"
    raise FaultsError(f"{len(corrupt)} corrupt records, {allowed} allowed; {hint}", faults, exit_code=1)


def _existing(out: Path) -> dict[str, Any]:
    """What an earlier call wrote; nothing if there is none or its format is another."""
    empty: dict[str, Any] = {"records": {}, "tasks": {}, "unavailable": {}}
    if not (out / "store.json").is_file():
        return empty
    content = read_json(out / "store.json")
    current = isinstance(content, dict) and content.get("format") == STORE_FORMAT
    return content if current else empty


def _merge_shards(folder: Path, before: Sequence[str], now: Sequence[Shard]) -> list[str]:
    """Shard names in reading order: older ones that hold a record no new one has, then the new ones."""
    fresh = {shard.file for shard in now}
    keys = {key for shard in now for key in (*shard.records, *shard.corrupt)}
    kept = []
    for name in before:
        manifest = folder / f"{Path(name).stem}.json"
        if name not in fresh and manifest.is_file() and not keys.issuperset(read_json(manifest)["records"]):
            kept.append(name)
    return [*kept, *(shard.file for shard in now)]


def _write_task(folder: Path, plan: TaskPlan, corrupt: frozenset[str], depends: Mapping[str, str]) -> dict[str, Any]:
    """Write a task's index and list of left-out records; returns its entry in store.json."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    bad = frozenset(name for name, item in plan.items.items() if item.record in corrupt)
    partition = without(plan.partition, bad)
    rows = [(plan.items[name], part) for name, part in partition.parts.items()]
    text = ("id", "group", "target", "record", "question", "question_type", "site")
    columns = {name: pa.array([getattr(item, name) for item, _ in rows], pa.string()) for name in text}
    columns["demographics"] = pa.array([json.dumps(dict(item.demographics), sort_keys=True) for item, _ in rows], pa.string())
    columns["part"] = pa.array([part for _, part in rows], pa.string())
    with atomic_writer(folder / "index.parquet") as handle:
        pq.write_table(pa.table(columns), handle)
    lost = [{"record": key, "reason": "missing", "file": file} for key, file in sorted(plan.missing.items())]
    lost += [{"record": key, "reason": "corrupt", "file": None} for key in sorted({plan.items[name].record for name in bad})]
    write_jsonl(folder / "left_out.jsonl", lost)
    counts = part_counts(partition)
    spec = plan.spec
    return {
        "source": spec.source,
        "record_source": plan.source.record_source,
        "simulated": plan.simulated,
        "spec_version": spec.version,
        "spec_hash": spec.hash,
        "scheme": spec.split.scheme,
        "split_hash": partition.hash,
        "partition_hash": plan.partition.hash,
        "depends": dict(depends),
        "modalities": list(spec.encoded_modalities),
        "hours": spec.selection.hours,
        "counts": {part: counts[part] for part in ASSIGNMENTS},
        "skipped": len(bad),
        "missing": {"records": len(plan.missing), "items": plan.missing_items},
        "left_out": dict(plan.left_out),
        "unused": dict(partition.reasons),
    }


def _report(plan: TaskPlan, entry: Mapping[str, Any]) -> TaskReport:
    return TaskReport(
        counts=entry["counts"],
        source=entry["source"],
        simulated=entry["simulated"],
        scheme=entry["scheme"],
        missing=(entry["missing"]["records"], entry["missing"]["items"]),
        missing_first=next(iter(plan.missing.values()), None),
        skipped=entry["skipped"],
        left_out=entry["left_out"],
        unused=entry["unused"],
    )


def _sweep(out: Path, content: Mapping[str, Any]) -> None:
    """Remove record files that no task refers to any more, and what a killed run left half written."""
    for folder in sorted((out / "records").iterdir()):
        used = {Path(name).stem for name in content["records"].get(folder.name, {"shards": []})["shards"]}
        for file in folder.iterdir():
            if file.stem not in used:
                file.unlink()
