"""Writing a source's records in this process or in several."""

from __future__ import annotations

import math
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context, parent_process
from pathlib import Path

from fedmeki_bench.errors import BenchError
from fedmeki_bench.simulate._source import SourceSimulator

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
    # Spawned, not forked: the caller may run threads, and a lock they hold while forking never opens again.
    with ProcessPoolExecutor(workers, get_context("spawn"), _start_worker) as pool:

        def run(simulator: SourceSimulator, folder: Path, done: Callable[[int], None]) -> None:
            units = simulator.units()
            step = min(LONGEST_CHUNK, max(1, math.ceil(units / (workers * CHUNKS))))
            jobs = [
                pool.submit(_write_units, simulator, folder, range(i, min(i + step, units)))
                for i in range(0, units, step)
            ]
            try:
                for job in as_completed(jobs):
                    done(job.result())
            except BrokenProcessPool as error:
                raise BenchError(
                    "a process that writes records has died",
                    where=folder,
                    fix="it may have been killed for want of memory: use fewer workers",
                ) from error
            finally:
                for job in jobs:
                    job.cancel()

        yield run


def _start_worker() -> None:
    """Leave Ctrl-C to the parent, which then lets its workers end; and do not outlive a parent that was killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = parent_process()
    assert parent is not None
    parent.join()
    # The pool would wait for work for ever; there is nothing to clean up that a kill would not have left as well.
    os._exit(1)


def _run_here(simulator: SourceSimulator, folder: Path, done: Callable[[int], None]) -> None:
    for unit in range(simulator.units()):
        done(_write_units(simulator, folder, range(unit, unit + 1)))


def _write_units(simulator: SourceSimulator, folder: Path, units: range) -> int:
    for unit in units:
        simulator.write_unit(folder, unit)
    return len(units)
