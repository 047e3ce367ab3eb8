"""One small simulation of every source, shared by the tests that only read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from fedmeki_bench.simulate import SimulationReport, simulate

SIZE, SEED = 20, 5


@dataclass(frozen=True)
class Simulated:
    """A simulation's folder and report."""

    root: Path
    report: SimulationReport


@pytest.fixture(scope="session")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Simulated:
    """All nine sources at the smallest size."""
    root = tmp_path_factory.mktemp("simulated") / "data"
    return Simulated(root, simulate(root, size=SIZE, seed=SEED))
