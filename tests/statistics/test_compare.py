"""`compare`: what it refuses, what it shows, and that it shows the same whatever the order of the files."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from fedmeki_bench.cli.compare import command
from fedmeki_bench.errors import BenchError, CheckFailed, FaultsError, UsageError
from fedmeki_bench.metrics.comparison import Settings, compare_files, compare_runs
from fedmeki_bench.specs import load_tasks

TASKS = ("covid_detection", "sepsis_prediction", "medvqa_rad")
SETTINGS = Settings(draws=300)


def write_run(
    folder: Path,
    *,
    skill: float,
    seed: int = 0,
    method: str = "fedkim",
    tasks: tuple[str, ...] = TASKS,
    n: int = 60,
    record: dict[str, Any] | None = None,
    finished: bool = True,
) -> Path:
    """A run's folder whose answers are right with probability `skill`; labels are the same for every run."""
    specs = load_tasks()
    rng = np.random.default_rng([seed, round(1000 * skill)])
    for number, task in enumerate(tasks):
        words = ["yes", "no"] if specs[task].kind == "yes_no" else ["left lung", "heart"]
        truth = np.random.default_rng(number).integers(0, 2, n)
        labels = [{"id": f"i{k}", "target": words[truth[k]], "group": f"g{k // 2}"} for k in range(n)]
        right = rng.random(n) < skill
        answers = [words[t if ok else 1 - t].capitalize() for t, ok in zip(truth, right, strict=True)]
        protocol = "zero_shot" if specs[task].role == "zero_shot" else "multi_task"
        write_lines(folder / "labels" / f"{task}.jsonl", labels)
        predictions = [{"id": f"i{k}", "answer": answers[k]} for k in range(n)]
        write_lines(folder / "predictions" / protocol / f"{task}.jsonl", predictions)
    if finished:
        entry = {
            "simulated": True,
            "spec_version": 1,
            "spec_hash": "a",
            "split_scheme": "grouped",
            "split_hash": "b",
        }
        result = {
            "method": {"name": method, "config": {}},
            "seed": seed,
            "tasks": {task: {**entry, **(record or {})} for task in tasks},
        }
        (folder / "result.json").write_text(json.dumps(result))
    return folder


def write_lines(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def run(*arguments: object) -> Result:
    return CliRunner().invoke(command, [str(argument) for argument in arguments], catch_exceptions=False)


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    return write_run(tmp_path / "a", skill=0.95), write_run(tmp_path / "b", skill=0.55, method="fedplug")


class TestShown:
    def test_every_shared_task_with_its_primary_metric_and_both_tests(self, pair: tuple[Path, Path]) -> None:
        comparison = compare_runs([pair[0]], [pair[1]], SETTINGS)
        assert [row.task for row in comparison.rows] == list(TASKS)
        for row in comparison.rows:
            (name,) = row.differences
            assert name == ("token_f1" if row.task == "medvqa_rad" else "balanced_accuracy")
            assert row.differences[name].difference > 0.2 and row.mcnemar is not None
            assert (row.n, row.clusters, row.mcnemar.unit) == (60, 30, "cluster")

    def test_holm_is_over_all_rows(self, pair: tuple[Path, Path]) -> None:
        rows = compare_runs([pair[0]], [pair[1]], SETTINGS).rows
        raw = [next(iter(row.differences.values())).p for row in rows]
        corrected = [next(iter(row.holm.values())) for row in rows]
        assert min(corrected) == pytest.approx(3 * min(p for p in raw if p is not None))

    def test_seeds_are_averaged_and_their_spread_stands_apart(self, tmp_path: Path, pair: tuple[Path, Path]) -> None:
        more = [write_run(tmp_path / f"a{seed}", skill=0.95, seed=seed) for seed in (1, 2)]
        rows = compare_runs([pair[0], *more], [pair[1]], SETTINGS).rows
        for row in rows:
            (difference,), (spread,) = row.differences.values(), row.spread_first.values()
            assert len(spread.values) == 3 and difference.first == pytest.approx(np.mean(spread.values))
            assert row.mcnemar is None and not row.spread_second
        output = run(*pair, "--more-a", more[0], "--more-a", more[1], "--draws", 50).output
        assert "Across seeds" in output and "No McNemar's test" in output

    def test_tasks_of_one_side_alone_are_named(self, tmp_path: Path, pair: tuple[Path, Path]) -> None:
        other = write_run(tmp_path / "c", skill=0.5, tasks=TASKS[:2])
        assert compare_runs([pair[0]], [other], SETTINGS).left_out == ("zero_shot/medvqa_rad",)

    def test_an_unfinished_run_is_compared_and_the_missing_record_is_said(
        self, tmp_path: Path, pair: tuple[Path, Path]
    ) -> None:
        other = write_run(tmp_path / "c", skill=0.5, finished=False)
        assert any("result.json" in note for note in compare_runs([pair[0]], [other], SETTINGS).notes)

    def test_json_and_tables_hold_the_same_numbers(self, pair: tuple[Path, Path]) -> None:
        found = json.loads(run(*pair, "--draws", 100, "--json").stdout)
        table = run(*pair, "--draws", 100).output
        for row in found["rows"]:
            for difference in row["differences"].values():
                assert f"{difference['difference']:+.4f}" in table

    def test_prediction_files_find_the_labels_of_their_runs(self, pair: tuple[Path, Path]) -> None:
        files = [folder / "predictions" / "zero_shot" / "sepsis_prediction.jsonl" for folder in pair]
        by_file = compare_files(*files, load_tasks()["sepsis_prediction"], SETTINGS).rows[0]
        by_run = compare_runs([pair[0]], [pair[1]], SETTINGS).rows[1]
        assert by_file.differences == by_run.differences

    def test_the_order_of_lines_the_process_and_the_hash_seed_change_nothing(self, pair: tuple[Path, Path]) -> None:
        arguments = [str(pair[0]), str(pair[1]), "--draws", "200", "--json"]
        first = run(*arguments).stdout
        for path in pair[0].rglob("*.jsonl"):
            path.write_text("".join(reversed(path.read_text().splitlines(keepends=True))))
        script = [sys.executable, "-m", "fedmeki_bench", "compare", *arguments]
        environment = os.environ | {"PYTHONHASHSEED": "99"}
        assert subprocess.run(script, capture_output=True, text=True, check=True, env=environment).stdout == first


class TestRefused:
    @pytest.mark.parametrize(
        ("field", "value"),
        [("split_hash", "other"), ("spec_hash", "other"), ("simulated", False), ("split_scheme", "released")],
    )
    def test_another_split_or_spec_is_named(
        self, tmp_path: Path, pair: tuple[Path, Path], field: str, value: object
    ) -> None:
        other = write_run(tmp_path / "c", skill=0.5, record={field: value})
        with pytest.raises(FaultsError, match=rf"tasks\.covid_detection\.{field}") as error:
            compare_runs([pair[0]], [other], SETTINGS)
        assert error.value.exit_code == 3 and len(error.value.faults) == len(TASKS)

    def test_runs_of_another_version_of_a_task_than_is_installed(self, tmp_path: Path) -> None:
        runs = [write_run(tmp_path / name, skill=0.5, record={"spec_version": 7}) for name in "ab"]
        with pytest.raises(FaultsError, match="version 1, as installed; found version 7"):
            compare_runs(runs[:1], runs[1:], SETTINGS)

    def test_other_items(self, tmp_path: Path, pair: tuple[Path, Path]) -> None:
        with pytest.raises(CheckFailed, match="different items"):
            compare_runs([pair[0]], [write_run(tmp_path / "c", skill=0.5, n=50)], SETTINGS)

    def test_two_methods_as_seeds_of_one(self, pair: tuple[Path, Path]) -> None:
        with pytest.raises(UsageError, match="seeds of one method"):
            compare_runs(pair, [pair[1]], SETTINGS)

    def test_one_seed_twice(self, pair: tuple[Path, Path]) -> None:
        with pytest.raises(UsageError, match="different seeds"):
            compare_runs([pair[0], pair[0]], [pair[1]], SETTINGS)

    def test_a_folder_that_is_no_run(self, tmp_path: Path, pair: tuple[Path, Path]) -> None:
        (tmp_path / "empty").mkdir()
        with pytest.raises(UsageError, match="not a run's folder"):
            compare_runs([pair[0]], [tmp_path / "empty"], SETTINGS)

    def test_a_damaged_record(self, pair: tuple[Path, Path]) -> None:
        (pair[1] / "result.json").write_text("[]")
        with pytest.raises(BenchError, match="not a run's record"):
            compare_runs([pair[0]], [pair[1]], SETTINGS)

    def test_an_unknown_metric_with_a_hint(self) -> None:
        with pytest.raises(UsageError, match="did you mean auroc"):
            Settings(metrics=("auroq",))

    def test_files_without_a_task_and_folders_with_one(self, pair: tuple[Path, Path]) -> None:
        file = pair[0] / "predictions" / "zero_shot" / "sepsis_prediction.jsonl"
        for arguments in ([file, file], [*pair, "--task", "SP"], [pair[0], file]):
            with pytest.raises(UsageError):
                run(*arguments)
