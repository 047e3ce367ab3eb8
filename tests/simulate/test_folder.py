"""The folder of a simulation: what it may replace, and when it counts as whole."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fedmeki_bench.errors import BenchError, FaultsError, UsageError
from fedmeki_bench.simulate import RECORD, SIMULATORS, UNFINISHED, simulate

TABLES = ["vqa_rad"]
"""The quickest source, for tests of the folder."""


def contents(root: Path) -> dict[str, str]:
    """Hash of every file by its place."""
    files = (path for path in sorted(root.rglob("*")) if path.is_file())
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


class TestSameBytes:
    def test_for_any_number_of_workers(self, simulated, tmp_path: Path) -> None:
        # The other processes have hash seeds of their own, so this covers PYTHONHASHSEED too.
        simulate(tmp_path / "two", size=20, seed=5, workers=2)
        assert contents(tmp_path / "two") == contents(simulated.root)

    def test_for_a_source_alone(self, simulated, tmp_path: Path) -> None:
        simulate(tmp_path / "one", size=20, seed=5, sources=["rsna_pneumonia"])
        alone = contents(tmp_path / "one" / "rsna-pneumonia")
        assert alone == contents(simulated.root / "rsna-pneumonia")

    def test_whatever_was_simulated_there_before(self, simulated, tmp_path: Path) -> None:
        for seed in (6, 5):
            simulate(tmp_path, size=20, seed=seed, sources=["ptb_xl"])
        assert contents(tmp_path / "ptb-xl") == contents(simulated.root / "ptb-xl")

    def test_not_for_another_seed(self, simulated, tmp_path: Path) -> None:
        simulate(tmp_path / "other", size=20, seed=6, sources=TABLES)
        assert contents(tmp_path / "other" / "vqa-rad") != contents(simulated.root / "vqa-rad")


class TestWhole:
    def test_record_says_what_was_simulated(self, simulated) -> None:
        record = json.loads((simulated.root / RECORD).read_text())
        assert record == simulated.report.as_json()
        assert (record["size"], record["seed"], record["signal"]) == (20, 5, 3.3)
        assert set(record["sources"]) == set(SIMULATORS) and len(record["tasks"]) == 12
        assert all((simulated.root / folder).is_dir() for folder in record["sources"].values())

    def test_nothing_but_the_sources_is_left(self, simulated) -> None:
        folders = {Path(folder).parts[0] for folder in simulated.report.sources.values()}
        assert {path.name for path in simulated.root.iterdir()} == {RECORD, *folders}
        assert not [path for path in simulated.root.rglob(".*")] and not list(simulated.root.rglob("*.part-*"))

    def test_a_killed_simulation_does_not_look_whole_and_can_be_repeated(self, tmp_path: Path) -> None:
        simulate(tmp_path / "out", size=20, seed=1, sources=TABLES)
        whole = contents(tmp_path / "out")

        def kill(source: str, done: int, total: int) -> None:
            if done == total // 2:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            simulate(tmp_path / "out", size=20, seed=1, sources=TABLES, progress=kill)
        assert (tmp_path / "out" / UNFINISHED).is_file() and not (tmp_path / "out" / RECORD).exists()
        simulate(tmp_path / "out", size=20, seed=1, sources=TABLES)
        assert contents(tmp_path / "out") == whole

    def test_a_worker_that_dies_is_one_clear_error(self, tmp_path: Path) -> None:
        def kill_workers(source: str, done: int, total: int) -> None:
            for process in multiprocessing.active_children():
                process.kill()

        with pytest.raises(BenchError, match="has died"):
            simulate(tmp_path, size=200, seed=1, sources=TABLES, workers=2, progress=kill_workers)
        assert not (tmp_path / RECORD).exists()

    def test_progress_counts_every_unit_once(self, tmp_path: Path) -> None:
        seen: list[tuple[str, int, int]] = []
        simulate(tmp_path / "out", size=20, seed=1, sources=TABLES, progress=lambda *step: seen.append(step))
        assert seen == [("vqa_rad", done, 6) for done in range(1, 7)]


class TestOtherFiles:
    def test_a_folder_with_other_files_is_left_alone(self, tmp_path: Path) -> None:
        (tmp_path / "thesis.txt").write_text("five years")
        with pytest.raises(BenchError, match="other files") as error:
            simulate(tmp_path, size=20, seed=1, sources=TABLES)
        assert "thesis.txt" in str(error.value) and contents(tmp_path).keys() == {"thesis.txt"}

    def test_a_real_data_folder_is_left_alone(self, tmp_path: Path) -> None:
        (tmp_path / "ptb-xl").mkdir()
        with pytest.raises(BenchError, match="other files"):
            simulate(tmp_path, size=20, seed=1, sources=TABLES)

    def test_a_file_added_to_a_simulation_is_left_alone(self, tmp_path: Path) -> None:
        simulate(tmp_path, size=20, seed=1, sources=TABLES)
        (tmp_path / "notes.md").write_text("mine")
        with pytest.raises(BenchError, match="other files"):
            simulate(tmp_path, size=20, seed=2, sources=TABLES)

    def test_an_earlier_simulation_is_replaced_whole(self, tmp_path: Path) -> None:
        simulate(tmp_path, size=30, seed=1, sources=["slake"])
        simulate(tmp_path, size=20, seed=1, sources=TABLES)
        assert not (tmp_path / "slake").exists() and (tmp_path / "vqa-rad").is_dir()

    def test_a_place_that_cannot_be_written_is_one_clear_error(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(BenchError, match="cannot write"):
            simulate(tmp_path / "file", size=20, seed=1, sources=TABLES)


class TestWrongRequests:
    @pytest.mark.parametrize("size", [0, 19, -5, "large", 20.0, True])
    def test_sizes(self, tmp_path: Path, size) -> None:
        with pytest.raises(UsageError, match="size"):
            simulate(tmp_path / "out", size=size, seed=1)
        assert not (tmp_path / "out").exists()

    @pytest.mark.parametrize("signal", [-1.0, float("nan"), float("inf")])
    def test_signals(self, tmp_path: Path, signal: float) -> None:
        with pytest.raises(UsageError, match="signal"):
            simulate(tmp_path / "out", size=20, seed=1, signal=signal)

    def test_workers(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="workers"):
            simulate(tmp_path / "out", size=20, seed=1, workers=0)

    def test_sources(self, tmp_path: Path) -> None:
        with pytest.raises(FaultsError, match="did you mean ptb_xl") as error:
            simulate(tmp_path / "out", size=20, seed=1, sources=["ptbxl", "vqa_rad", "mimic"])
        assert error.value.exit_code == 2 and "mimic" in str(error.value)

    def test_no_source_at_all(self, tmp_path: Path) -> None:
        with pytest.raises(FaultsError, match="at least one source"):
            simulate(tmp_path / "out", size=20, seed=1, sources=[])


@pytest.mark.slow
def test_workers_end_with_a_killed_parent(tmp_path: Path) -> None:
    import psutil

    code = "from pathlib import Path; from fedmeki_bench.simulate import simulate; "
    code += f"simulate(Path({str(tmp_path / 'out')!r}), size=2000, seed=1, sources=['rsna_pneumonia'], workers=2)"
    with subprocess.Popen([sys.executable, "-c", code]) as parent:
        images = tmp_path / "out" / "rsna-pneumonia" / "stage_2_train_images"
        while not images.exists():
            time.sleep(0.1)
        workers = psutil.Process(parent.pid).children(recursive=True)
        parent.kill()
    assert workers and not psutil.wait_procs(workers, timeout=20)[1]
