"""Running the simulators: the folder, the workers, and the record that says a simulation is whole."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from fedmeki_bench import __version__
from fedmeki_bench.errors import BenchError, Fault, FaultsError, UsageError, did_you_mean
from fedmeki_bench.files import write_json
from fedmeki_bench.simulate._files import unwritable
from fedmeki_bench.simulate._latent import DEFAULT_SIGNAL
from fedmeki_bench.simulate._source import Settings, SourceSimulator, TaskTruth
from fedmeki_bench.simulate._sources import NEEDS, SIMULATORS
from fedmeki_bench.simulate._workers import Run, runner

__all__ = ["RECORD", "SMALL", "UNFINISHED", "SimulationReport", "simulate"]

RECORD = "SIMULATED.json"
"""Written last; a folder without it holds no whole simulation."""

UNFINISHED = "SIMULATION_UNFINISHED"
"""Stands in the folder from the first write until `RECORD` is written."""

FORMAT_VERSION = 1
SMALL = 200
"""Items a task of `size="small"`."""

SMALLEST = 20
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class SimulationReport:
    """What was simulated; the content of `SIMULATED.json`.

    Attributes:
        out: the folder.
        size: items a task as asked for (`small`, `paper` or a number).
        seed: the seed.
        signal: distance of the class means of every latent, in standard deviations.
        sources: source to its folder's name under `out`.
        truths: what is known about each task.
    """

    out: Path
    size: int | str
    seed: int
    signal: float
    sources: Mapping[str, str]
    truths: Sequence[TaskTruth]

    def as_json(self) -> dict[str, Any]:
        """JSON-able content, without the folder's own place."""
        return {
            "format_version": FORMAT_VERSION,
            "code_version": __version__,
            "size": self.size,
            "seed": self.seed,
            "signal": self.signal,
            "sources": dict(self.sources),
            "tasks": {truth.task: {k: v for k, v in truth.as_json().items() if k != "task"} for truth in self.truths},
        }

    def render(self) -> str:
        """One line a task for people: items, positives, best possible accuracy."""
        settings = f"size {self.size}, seed {self.seed}, signal {self.signal:g}"
        lines = [f"simulated {len(self.sources)} sources in {self.out} ({settings})"]
        for truth in self.truths:
            positives = "" if truth.positives is None else f"{truth.positives:6d} positive"
            best = f"best accuracy {100 * truth.bayes_accuracy:.1f}%"
            lines.append(f"  {truth.task:40s} {truth.items:6d} items {positives:>16s}   {best}")
        return "\n".join(lines)


def simulate(
    out: Path,
    *,
    size: int | Literal["small", "paper"],
    seed: int,
    sources: Sequence[str] | None = None,
    signal: float = DEFAULT_SIGNAL,
    workers: int = 1,
    progress: Progress | None = None,
) -> SimulationReport:
    """Write simulated source data sets, each in its own folder layout and file formats.

    The same size, seed, sources and signal give the same bytes, whatever the number of workers.

    Args:
        out: a new or empty folder, or one that holds an earlier simulation, which is replaced.
        size: about this many items a task (20 or more); `small` is 200; `paper` the papers' counts.
        seed: any integer.
        sources: source names (default: all). ECG-QA asks about PTB-XL's records and brings them along.
        signal: distance of the two class means of every latent in standard deviations, 0 or more.
        workers: processes that write records.
        progress: called with (source, units done, units in all) from this process.

    Raises:
        UsageError: a size, signal or worker count out of range, or an unknown source.
        BenchError: the folder holds something else, or cannot be written.
    """
    chosen = _chosen(sources)
    settings = Settings(_items(size), seed, float(signal))
    _check(settings, workers)
    simulators = [SIMULATORS[name](settings) for name in chosen]
    with _folder(out):
        with runner(workers) as run:
            for simulator in simulators:
                _write_source(simulator, out / simulator.folder, run, progress)
        truths = [truth for simulator in simulators for truth in simulator.truths()]
        folders = {simulator.source: simulator.folder for simulator in simulators}
        report = SimulationReport(out, size, seed, settings.signal, folders, truths)
        write_json(out / RECORD, report.as_json())
    return report


def _chosen(sources: Sequence[str] | None) -> list[str]:
    if sources is None:
        return list(SIMULATORS)
    faults = [
        Fault("sources", "", "a known source", name, did_you_mean(name, SIMULATORS))
        for name in sources
        if name not in SIMULATORS
    ]
    if faults or not sources:
        raise FaultsError("no such source to simulate", faults or [Fault("sources", "", "at least one source", "none")])
    wanted = set(sources) | {need for name in sources for need in NEEDS.get(name, ())}
    return [name for name in SIMULATORS if name in wanted]


def _items(size: int | str) -> int | None:
    if size == "paper":
        return None
    if size == "small":
        return SMALL
    if isinstance(size, bool) or not isinstance(size, int) or size < SMALLEST:
        raise UsageError("no such size", expected=f"small, paper, or an integer of {SMALLEST} or more", found=size)
    return size


def _check(settings: Settings, workers: int) -> None:
    if not (settings.signal >= 0 and math.isfinite(settings.signal)):
        raise UsageError("the signal is out of range", expected="a finite number of 0 or more", found=settings.signal)
    if workers < 1:
        raise UsageError("the number of workers is out of range", expected="1 or more", found=workers)


@contextmanager
def _folder(out: Path) -> Iterator[None]:
    """An empty folder to write into, marked as unfinished until the block has ended without an error."""
    ours = {RECORD, UNFINISHED, *(Path(simulator.folder).parts[0] for simulator in SIMULATORS.values())}
    marker = out / UNFINISHED
    try:
        found = sorted(path.name for path in out.iterdir()) if out.exists() else []
        previous = RECORD in found or UNFINISHED in found
        others = found if not previous else [name for name in found if name not in ours]
        if others:
            raise BenchError(
                "the folder already holds other files",
                where=out,
                expected="a new or empty folder, or an earlier simulation",
                found=", ".join(others[:5]),
                fix="give another folder",
            )
        out.mkdir(parents=True, exist_ok=True)
        marker.touch()
        (out / RECORD).unlink(missing_ok=True)
        for name in found:
            if name not in (RECORD, UNFINISHED):
                shutil.rmtree(out / name)
        yield
        marker.unlink()
    except OSError as error:
        raise unwritable(out, error) from error


def _write_source(simulator: SourceSimulator, folder: Path, run: Run, progress: Progress | None) -> None:
    total, count = simulator.units(), 0

    def done(units: int) -> None:
        nonlocal count
        count += units
        if progress is not None:
            progress(simulator.source, count, total)

    folder.mkdir(parents=True, exist_ok=True)
    simulator.prepare(folder)
    run(simulator, folder, done)
    simulator.write_tables(folder)
