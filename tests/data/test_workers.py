"""Worker processes: they do not outlive their parent, and the death of one is said."""

from __future__ import annotations

import multiprocessing
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from fedmeki_bench.data import prepare
from fedmeki_bench.errors import BenchError
from fedmeki_bench.files import file_sha256
from fedmeki_bench.specs import load_tasks, select_tasks

PARENT = """
import time
from fedmeki_bench.workers import worker_pool
if __name__ == "__main__":
    pool = worker_pool(2)
    ready = [pool.submit(time.time) for _ in range(2)] + [pool.submit(time.sleep, 60) for _ in range(2)]
    ready[0].result()
    print("working", flush=True)
    ready[-1].result()
"""


def test_workers_end_with_a_killed_parent(tmp_path: Path) -> None:
    """Nothing is left behind that holds memory or files."""
    script = tmp_path / "parent.py"
    script.write_text(PARENT, encoding="utf-8")
    with subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None and parent.stdout.readline() == b"working\n"
        workers = psutil.Process(parent.pid).children(recursive=True)
        parent.kill()
    assert workers and not psutil.wait_procs(workers, timeout=20)[1]


def test_a_worker_that_dies_in_prepare_is_one_clear_error(simulated_corpus: Path, tmp_path: Path) -> None:
    """What was decoded stays valid: the next call ends with the same store as an undisturbed one."""
    tasks = select_tasks(("CD", "EAD", "MP", "SP"), load_tasks())

    def kill_workers(source: str, done: int, total: int) -> None:
        for process in multiprocessing.active_children():
            process.kill()

    with pytest.raises(BenchError, match="has died"):
        prepare(simulated_corpus, tmp_path / "cut", tasks=tasks, workers=2, progress=kill_workers)
    prepare(simulated_corpus, tmp_path / "cut", tasks=tasks)
    prepare(simulated_corpus, tmp_path / "whole", tasks=tasks)
    stores = [
        {path.relative_to(root): file_sha256(path) for path in sorted(root.rglob("*.arrow"))}
        for root in (tmp_path / "cut", tmp_path / "whole")
    ]
    assert stores[0] and stores[0] == stores[1]
