"""One leaderboard from a handful of runs, built once for all tests that only look at it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fedmeki_bench.reporting.leaderboard import Built, build_leaderboard
from tests.reporting.boards import write_run

HOSTILE = "<img src=x onerror=alert(1)> & 100% $x$ _#{}~^\\ |`*"
"""A method's name with markup of every format this project writes."""


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two good methods, a weaker one in two seeds, one with a hostile name on simulated data."""
    folder = tmp_path_factory.mktemp("runs")
    write_run(folder, "fedkim", quality=0.95)
    write_run(folder, "fedplug", quality=0.94, seed=7)
    write_run(folder, "ffa_lora", quality=0.6, seed=1)
    write_run(folder, "ffa_lora", quality=0.6, seed=2)
    write_run(folder, HOSTILE, run_id="hostile-0", quality=0.7, simulated=True)
    return folder


@pytest.fixture(scope="session")
def board(runs: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Built]]:
    """The folder of a built leaderboard, and what the build returned."""
    out = tmp_path_factory.mktemp("leaderboard")
    yield out, build_leaderboard(out, runs=[runs])
