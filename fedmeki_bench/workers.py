"""Worker processes that end when they should."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path

from fedmeki_bench.errors import BenchError

__all__ = ["deaths_explained", "worker_pool"]


def worker_pool(workers: int) -> ProcessPoolExecutor:
    """A pool of fresh processes that leave Ctrl-C to their parent and do not outlive it.

    Spawned, not forked: the caller may run threads, and a lock they hold while forking never opens again.
    """
    return ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _start_worker)


@contextmanager
def deaths_explained(where: Path) -> Iterator[None]:
    """Say what happened where a worker dies inside the block.

    Raises:
        BenchError: one did.
    """
    try:
        yield
    except BrokenProcessPool as error:
        raise BenchError(
            "a process that writes records has died",
            where=where,
            fix="it may have been killed for want of memory: use fewer workers",
        ) from error


def _start_worker() -> None:
    # Ctrl-C reaches the whole group; the parent then lets its workers end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    # The pool would wait for work for ever; there is nothing to clean up that a kill would not have left as well.
    os._exit(1)
