"""Writing a source's records in this process or in several."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from concurrent.futures import as_completed
from contextlib import contextmanager
from pathlib import Path

from fedmeki_bench.simulate._source import SourceSimulator
from fedmeki_bench.workers import deaths_explained, worker_pool

__all__ = ["Run", "runner"]

CHUNKS, LONGEST_CHUNK = 16, 64
"""Pieces that a worker's share of a source is cut into, and the most units in one: progress moves, no worker idles
at the end, and Ctrl-C is not long in taking effect."""

Run = Callable[[SourceSimulator, Path, Callable[[int], None]], None]
"""Writes all units of a source into a folder and reports, a few at a time, how many were written."""


@contextmanager
def runner(workers: int) -> Iterator[Run]:
    """What writes the units of one source after the other, with the same worker processes.

    Raises:
        BenchError: a worker died, or a file cannot be written.
    """
    if workers == 1:
        yield _run_here
        return
    with worker_pool(workers) as pool:

        def run(simulator: SourceSimulator, folder: Path, done: Callable[[int], None]) -> None:
            units = simulator.units()
            step = min(LONGEST_CHUNK, max(1, math.ceil(units / (workers * CHUNKS))))
            jobs = [
                pool.submit(_write_units, simulator, folder, range(i, min(i + step, units)))
                for i in range(0, units, step)
            ]
            try:
                with deaths_explained(folder):
                    for job in as_completed(jobs):
                        done(job.result())
            finally:
                for job in jobs:
                    job.cancel()

        yield run


def _run_here(simulator: SourceSimulator, folder: Path, done: Callable[[int], None]) -> None:
    for unit in range(simulator.units()):
        done(_write_units(simulator, folder, range(unit, unit + 1)))


def _write_units(simulator: SourceSimulator, folder: Path, units: range) -> int:
    for unit in units:
        simulator.write_unit(folder, unit)
    return len(units)
