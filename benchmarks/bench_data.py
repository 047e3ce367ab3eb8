"""Speed of the prepared store against decoding raw files anew in every epoch, which is the public release's
way.

One run measures both on the same records of one simulated corpus (`--root` takes real data instead), so the
ratios do not depend on what else the machine is doing as much as two separate runs would. For each of image,
ECG and clinical records it times one epoch over the training items in a fixed shuffled order, with every
array summed so that mapped pages are really read:

- store: `PreparedTask.labelled`, a batch at a time;
- raw: the adapter's `decode` for images and ECG; for stays one `.pt` file of tensors each, loaded anew,
which is how
  the release keeps them (reading the cohort's parquet table for every stay would be slower still).

Both sides run in one process, are warmed up, and the best of several repeats counts. `prepare` is timed with
one and two workers into fresh folders.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from fedmeki_bench.data import PreparedStore, PreparedTask, prepare
from fedmeki_bench.data._split import hash_order
from fedmeki_bench.sources import Array, Record, find_source
from fedmeki_bench.specs import PARTS, TaskSpec, load_tasks

TASKS = {
    "image": "lung_opacity_detection",
    "ecg": "ecg_abnormal_detection",
    "clinical": "mortality_prediction",
}
BATCH = 16
GOALS = {"image": 10.0, "ecg": 5.0, "clinical": 5.0}


def main() -> None:
    """Run the benchmark and print a table, or one JSON object with `--json`."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--root", type=Path, help="raw data (default: a simulated corpus made for the run)")
    parser.add_argument("--size", type=int, default=300, help="items a task of the simulated corpus")
    parser.add_argument("--repeats", type=int, default=3, help="epochs timed; the best counts")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench_data_") as scratch:
        result = run(Path(scratch), options.root, options.size, options.repeats)
    print(json.dumps(result, indent=1) if options.json else render(result))


def run(scratch: Path, root: Path | None, size: int, repeats: int) -> dict[str, object]:
    """Measure everything; returns the JSON object."""
    if root is None:
        from fedmeki_bench.simulate import simulate

        root = scratch / "raw"
        simulate(root, size=size, seed=0, sources=["rsna_pneumonia", "ptb_xl", "yaib_mortality24"])
    specs = {name: spec for name, spec in load_tasks().items() if name in TASKS.values()}
    result: dict[str, object] = {
        "python": platform.python_version(),
        "cpus": os.cpu_count(),
        "repeats": repeats,
    }
    result |= _prepare_throughput(scratch, root, specs)
    store = PreparedStore.open(scratch / "prepared-1")
    for kind, name in TASKS.items():
        if name not in store.tasks:
            # Real data may lack a source; a missing kind is reported as null, never as a number.
            result |= {f"{kind}_{part}": None for part in ("epoch_speedup", "store_per_s", "raw_per_s", "items")}
            continue
        result |= _epochs(kind, store.tasks[name], specs[name], root, scratch, repeats)
    return result


def _prepare_throughput(scratch: Path, root: Path, specs: dict[str, TaskSpec]) -> dict[str, object]:
    """Whole seconds, and records a second once the workers have started: their start-up is paid once."""
    found: dict[str, object] = {}
    for workers in (1, 2):
        finished: list[tuple[float, int]] = []
        counts: dict[str, int] = {}

        def tell(source: str, done: int, total: int, finished: Any = finished, counts: Any = counts) -> None:
            counts[source] = done
            finished.append((time.perf_counter(), sum(counts.values())))

        started = time.perf_counter()
        report = prepare(root, scratch / f"prepared-{workers}", tasks=specs, workers=workers, progress=tell)
        (first_s, first), (last_s, last) = finished[workers - 1], finished[-1]
        found[f"prepare_{workers}_worker_seconds"] = time.perf_counter() - started
        found[f"prepare_{workers}_worker_records_per_s"] = (last - first) / (last_s - first_s)
        found["prepare_records"] = report.decoded
    return found


def _epochs(
    kind: str, task: PreparedTask, spec: TaskSpec, root: Path, scratch: Path, repeats: int
) -> dict[str, object]:
    rows = [row for part in PARTS for row in task.rows(part)]
    order = [int(name) for name in hash_order(0, map(str, rows))]
    records = task.records(order)
    source = find_source(spec.source)
    folder = source.find(root)
    assert folder is not None
    place = folder

    def from_store() -> int:
        total = 0
        for start in range(0, len(order), BATCH):
            for item in task.labelled(order[start : start + BATCH]):
                total += _touch(item.inputs.modalities.values())
        return total

    decode: Callable[[str], Record] = lambda key: source.decode(place, key)  # noqa: E731
    if kind == "clinical":
        stays = _one_file_a_stay(scratch / "stays", {key: source.decode(place, key) for key in records})
        decode = lambda key: _read_stay(stays[key])  # noqa: E731

    def from_raw() -> int:
        hours = spec.selection.hours
        return sum(_touch([array[:hours] for array in decode(key).values()]) for key in records)

    if from_store() != from_raw():
        raise SystemExit(f"{kind}: the store and the raw files do not hold the same values")
    store_s, raw_s = _best(from_store, repeats), _best(from_raw, repeats)
    return {
        f"{kind}_epoch_speedup": raw_s / store_s,
        f"{kind}_store_per_s": len(order) / store_s,
        f"{kind}_raw_per_s": len(order) / raw_s,
        f"{kind}_items": len(order),
    }


def _touch(arrays: Iterable[Array]) -> int:
    """Read every byte, as stacking into a batch would."""
    return sum(int(np.add.reduce(array.ravel().view(np.uint8), dtype=np.uint64)) for array in arrays)


def _best(epoch: Callable[[], int], repeats: int) -> float:
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        epoch()
        times.append(time.perf_counter() - started)
    return min(times)


def _one_file_a_stay(folder: Path, records: dict[str, Record]) -> dict[str, Path]:
    import torch  # here and below, not above: the workers of `prepare` import this file again

    folder.mkdir()
    paths = {}
    for number, (key, record) in enumerate(records.items()):
        paths[key] = folder / f"{number}.pt"
        torch.save({name: torch.from_numpy(array.copy()) for name, array in record.items()}, paths[key])
    return paths


def _read_stay(path: Path) -> Record:
    import torch

    tensors = torch.load(path, weights_only=True)
    return {name: tensor.numpy() for name, tensor in tensors.items()}


def render(result: dict[str, object]) -> str:
    """The result as text: a line a kind with its goal, then prepare."""
    lines = []
    for kind, goal in GOALS.items():
        speedup = result[f"{kind}_epoch_speedup"]
        if not isinstance(speedup, float):
            lines.append(f"{kind:9s} not there")
            continue
        store, raw = result[f"{kind}_store_per_s"], result[f"{kind}_raw_per_s"]
        lines.append(f"{kind:9s} store {store:9,.0f}/s   raw {raw:8,.0f}/s   {speedup:6.1f}x   (goal {goal:.0f}x)")
    for workers in (1, 2):
        rate, whole = (result[f"prepare_{workers}_worker_{what}"] for what in ("records_per_s", "seconds"))
        lines.append(f"prepare   {workers} worker(s): {rate:,.0f} records/s, {whole:.1f} s with start-up")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
