"""What every test may use: real data where they are, a small simulated store, no network."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

# Set before any library reads them: no test may ask a hub.
for _name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_DATASETS_OFFLINE", "HF_EVALUATE_OFFLINE"):
    os.environ[_name] = "1"

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def realdata() -> Path:
    """Folder of the small real data sets; the test is skipped where there is none."""
    folder = Path(os.environ.get("FEDMEKI_REALDATA", REPOSITORY.parent / "shared" / "realdata"))
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}; set FEDMEKI_REALDATA")
    return folder


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Any attempt to connect anywhere fails the test."""

    def refuse(self: socket.socket, address: Any) -> None:
        raise AssertionError(f"a connection was attempted: {address}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket.socket, "connect_ex", refuse)
    monkeypatch.setattr(
        socket, "getaddrinfo", lambda *arguments, **options: refuse(socket.socket(), arguments[:2])
    )
    yield


@pytest.fixture(scope="session")
def simulated_corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Raw files of a small simulated corpus: some forty items a task, all sources there are. Never written to."""
    from fedmeki_bench.simulate import simulate

    folder = tmp_path_factory.mktemp("simulated") / "raw"
    simulate(folder, size=40, seed=0)
    return folder


@pytest.fixture(scope="session")
def simulated_store(simulated_corpus: Path) -> Path:
    """A prepared store of the simulated corpus. Never written to."""
    from fedmeki_bench.data import prepare
    from fedmeki_bench.specs import load_tasks

    store = simulated_corpus.parent / "prepared"
    prepare(simulated_corpus, store, tasks=load_tasks())
    return store
