"""The leaderboard: what is gathered, who is called best, what is left out, and that a rebuild changes nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from fedmeki_bench.cli.leaderboard import command
from fedmeki_bench.errors import BenchError, CheckFailed, FaultsError, UsageError
from fedmeki_bench.files import read_json, write_json
from fedmeki_bench.reporting._types import Entry, Measure, Table
from fedmeki_bench.reporting.cost import CostPoint, pareto_front
from fedmeki_bench.reporting.gather import gather_runs
from fedmeki_bench.reporting.leaderboard import Built, build_leaderboard, compile_record, render_board
from fedmeki_bench.reporting.ranking import rank
from fedmeki_bench.reporting.record import read_record, record_tables
from fedmeki_bench.specs import load_tasks
from tests.reporting.boards import write_run

Board = tuple[Path, Built]
ONE = (("multi_task", "covid_detection"),)


def table_of(record: Any, name: str) -> Table:
    return next(table for table in record_tables(record) if table.name == name)


def ranks(folder: Path, metric: str = "accuracy", task: str = "covid_detection") -> dict[str, str]:
    """Rank by method name."""
    sources = gather_runs([folder]).sources
    names = {source.candidate.key: source.candidate.name for source in sources}
    found = rank(sources, load_tasks()).ranks
    return {names[key]: value for (key, _, measure), value in found.items() if measure == Measure(task, metric)}


class TestRanking:
    def test_a_clear_winner_is_best(self, tmp_path: Path) -> None:
        write_run(tmp_path, "good", quality=0.95, tasks=ONE)
        write_run(tmp_path, "bad", quality=0.5, tasks=ONE)
        assert ranks(tmp_path) == {"good": "best"}

    def test_what_the_test_cannot_separate_is_a_tie(self, tmp_path: Path) -> None:
        write_run(tmp_path, "one", quality=0.9, tasks=ONE)
        write_run(tmp_path, "other", quality=0.9, seed=5, tasks=ONE)
        assert ranks(tmp_path) == {"one": "tied", "other": "tied"}

    def test_a_third_far_behind_is_not_in_the_tie(self, tmp_path: Path) -> None:
        write_run(tmp_path, "one", quality=0.9, tasks=ONE)
        write_run(tmp_path, "other", quality=0.9, seed=5, tasks=ONE)
        write_run(tmp_path, "bad", quality=0.4, tasks=ONE)
        assert set(ranks(tmp_path)) == {"one", "other"}

    def test_the_lower_brier_score_is_the_better(self, tmp_path: Path) -> None:
        write_run(tmp_path, "good", quality=0.95, tasks=ONE)
        write_run(tmp_path, "bad", quality=0.5, tasks=ONE)
        assert ranks(tmp_path, "brier") == {"good": "best"}

    def test_a_lone_method_is_not_ranked(self, tmp_path: Path) -> None:
        write_run(tmp_path, "good", quality=0.95, tasks=ONE)
        assert ranks(tmp_path) == {}

    def test_methods_on_other_items_are_not_ranked_together(self, tmp_path: Path) -> None:
        write_run(tmp_path, "good", quality=0.95, tasks=ONE, n=100)
        write_run(tmp_path, "bad", quality=0.5, tasks=ONE, n=90)
        assert ranks(tmp_path) == {}

    def test_seeds_of_a_limited_run_answer_the_same_items(self, tmp_path: Path) -> None:
        """The first items of the split's order, whatever the seed: ranked together, one pair of constant rows."""
        for method, quality in (("good", 0.95), ("bad", 0.5)):
            for seed in (1, 2):
                write_run(tmp_path, method, seed=seed, quality=quality, tasks=ONE, n=100, whole=400)
        assert ranks(tmp_path) == {"good": "best"}
        table = table_of(compile_record(runs=[tmp_path]).record, "multi_task")
        assert [entry.kind for entry in table.entries].count("constant") == 2

    def test_without_labels_nothing_is_ranked(self, tmp_path: Path) -> None:
        for method, quality in (("good", 0.95), ("bad", 0.5)):
            write_run(tmp_path, method, quality=quality, tasks=ONE)
            (tmp_path / f"{method}-0" / "labels" / "covid_detection.jsonl").unlink()
        sources = gather_runs([tmp_path]).sources
        assert rank([s for s in sources if s.labels(0, "covid_detection")], load_tasks()).ranks == {}

    def test_the_order_of_runs_does_not_matter(self, runs: Path) -> None:
        sources = gather_runs([runs]).sources
        specs = load_tasks()
        assert rank(sources, specs).ranks == rank(sources[::-1], specs).ranks


class TestGathering:
    def test_seeds_of_one_configuration_are_one_entry(self, board: Board) -> None:
        table = table_of(board[1].record, "multi_task")
        entry = next(one for one in table.entries if one.method == "ffa_lora")
        cell = table.cell(entry, "covid_detection", "accuracy")
        assert "mean of seeds 1, 2" in entry.note
        assert cell is not None and cell.low is not None and cell.value is not None and cell.high is not None
        assert cell.low <= cell.value <= cell.high

    def test_a_broken_run_is_left_out_and_named(self, tmp_path: Path) -> None:
        write_run(tmp_path / "runs", "good", tasks=ONE)
        bad = write_run(tmp_path / "runs", "bad", tasks=ONE)
        write_json(tmp_path / "runs" / "bad-0" / "result.json", {**bad, "seed": -1})
        (tmp_path / "runs" / "torn").mkdir()
        (tmp_path / "runs" / "torn" / "result.json").write_text('{"schema_ver')
        built = compile_record(runs=[tmp_path / "runs"])
        assert {Path(fault.where).parts[-2 if fault.field == "seed" else -1] for fault in built.faults} == {
            "bad-0",
            "torn",
        }
        assert len(built.record["left_out"]) == 2
        assert [one["method"] for one in built.record["details"].values()] == ["good"]

    def test_the_same_run_in_two_places_counts_once(self, tmp_path: Path) -> None:
        for place in ("one", "two"):
            write_run(tmp_path / place, "good", tasks=ONE)
        assert len(gather_runs([tmp_path / "one", tmp_path / "two"]).sources) == 1

    def test_a_place_without_a_run_is_a_usage_error(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="no finished run"):
            gather_runs([tmp_path])

    def test_random_weights_are_left_out_with_a_reason(self, tmp_path: Path) -> None:
        write_run(tmp_path / "runs", "fedkim", tasks=ONE, random_weights=True)
        built = compile_record(runs=[tmp_path / "runs"])
        assert built.record["details"] == {} and "random weights" in built.record["left_out"][0]

    def test_the_released_logs_are_scored_under_both_rules(self, tmp_path: Path) -> None:
        row = {
            "task": "covid_detection", "metric": "accuracy", "n": 1383, "legacy": 0.9, "strict": 0.8, "low": 0.7,
            "high": 0.85, "parse_rate": 0.9, "best_constant": 0.75, "strict_signature": "s", "legacy_signature": "l",
            "log_sha256": "a" * 64,
        }  # fmt: skip
        write_json(tmp_path / "released" / "released.json", [row])
        table = table_of(compile_record(released=tmp_path / "released" / "released.json").record, "released_training")
        cells = {entry.key: table.cell(entry, "covid_detection", "accuracy") for entry in table.entries}
        assert [cell.value for cell in cells.values() if cell] == [80.0, 90.0, 75.0]


class TestSubmissions:
    @pytest.fixture
    def submitted(self, tmp_path: Path) -> Path:
        from fedmeki_bench.submissions import bundle_runs

        write_run(tmp_path / "runs", "fedkim", quality=0.95, tasks=ONE)
        write_run(tmp_path / "runs", "other", quality=0.5, tasks=ONE)
        bundle_runs([tmp_path / "runs" / "other-0"], tmp_path / "submissions" / "other", authors=["A. <b>Author</b>"])
        return tmp_path

    def test_a_bundle_is_a_submission_and_its_run_is_not_shown_twice(self, submitted: Path) -> None:
        built = compile_record(submissions=submitted / "submissions", runs=[submitted / "runs"])
        assert not built.faults
        found = {one["method"]: one["kind"] for one in built.record["details"].values()}
        assert found == {"fedkim": "own", "other": "submission"}
        table = table_of(built.record, "multi_task")
        best = [
            e.method for e in table.entries for c in [table.cell(e, *ONE[0][1:], "accuracy")] if c and c.rank == "best"
        ]
        assert best == ["FedKIM"]

    def test_a_broken_bundle_is_left_out_and_the_rest_is_built(self, submitted: Path) -> None:
        (submitted / "submissions" / "other" / "manifest.json").write_text("{}")
        built = compile_record(submissions=submitted / "submissions")
        assert built.faults and built.record["details"] == {}


class TestRecord:
    def test_the_same_runs_give_the_same_record(self, board: Board, runs: Path) -> None:
        places = sorted((path.parent for path in runs.glob("*/result.json")), reverse=True)
        assert compile_record(runs=places).record == board[1].record

    def test_the_record_alone_gives_every_format_back(self, board: Board, tmp_path: Path) -> None:
        out, built = board
        render_board(read_record(out / "leaderboard.json"), tmp_path)
        same = [path.relative_to(out) for path in built.files if path.name != "index.html"]
        for name in same:
            assert (out / name).read_bytes() == (tmp_path / name).read_bytes(), name

    def test_a_record_of_another_version_is_refused(self, tmp_path: Path) -> None:
        write_json(tmp_path / "leaderboard.json", {"schema_version": 99})
        with pytest.raises(BenchError, match="not a leaderboard record"):
            read_record(tmp_path / "leaderboard.json")

    def test_no_path_of_this_machine_is_in_it(self, board: Board, runs: Path) -> None:
        text = (board[0] / "leaderboard.json").read_text() + (board[0] / "index.html").read_text()
        assert str(runs) not in text and str(board[0]) not in text


class TestCost:
    def point(self, name: str, minutes: float, quality: float, data: str = "d") -> CostPoint:
        return CostPoint(Entry(name, "own", name), {"minutes": minutes}, quality, ("CD",), data, False)

    def test_the_front_is_what_nothing_beats_in_both(self) -> None:
        points = [self.point("cheap", 1, 60), self.point("dear", 9, 90), self.point("beaten", 9.5, 80)]
        assert [point.entry.method for point in pareto_front(points, "minutes")] == ["cheap", "dear"]

    def test_equal_points_do_not_beat_each_other(self) -> None:
        assert len(pareto_front([self.point("a", 1, 60), self.point("b", 1, 60)], "minutes")) == 2

    def test_other_items_are_another_race(self) -> None:
        assert len(pareto_front([self.point("a", 1, 90), self.point("b", 2, 60, "e")], "minutes")) == 2


class TestCommandLine:
    def run(self, *arguments: str) -> Any:
        return CliRunner().invoke(command, list(arguments))

    def test_everything_is_written_and_faults_are_listed_after_it(self, tmp_path: Path) -> None:
        write_run(tmp_path / "runs", "good", tasks=ONE, n=40)
        result = write_run(tmp_path / "runs", "bad", tasks=ONE, n=40)
        write_json(tmp_path / "runs" / "bad-0" / "result.json", {**result, "seed": -1})
        done = self.run("build", "--runs", str(tmp_path / "runs"), "--out", str(tmp_path / "out"))
        assert isinstance(done.exception, FaultsError) and done.exception.exit_code == CheckFailed.exit_code
        assert "Fine-tuning, multi-task: 1 own" in done.output and "left out: bad-0/result.json" in done.output
        assert len(json.loads((tmp_path / "out" / "leaderboard.json").read_text())["views"]) == 7

    @pytest.mark.parametrize("how", ["terminal", "markdown", "latex", "csv"])
    def test_a_single_table_in_every_format(self, board: Board, how: str) -> None:
        source = str(board[0] / "leaderboard.json")
        done = self.run(
            "table", "multi_task", "--from", source, "--format", how, "--tasks", "CD", "--kinds", "published"
        )
        assert done.exit_code == 0 and "98.34" in done.output and "90.00" not in done.output

    def test_metrics_and_methods_can_be_chosen(self, board: Board, tmp_path: Path) -> None:
        source, out = str(board[0] / "leaderboard.json"), tmp_path / "t.md"
        arguments = ("--metrics", "brier", "--methods", "ffa", "--format", "markdown", "-o", str(out))
        assert self.run("table", "multi_task", "--from", source, *arguments).exit_code == 0
        text = out.read_text()
        assert "Brier ↓" in text and "ffa\\_lora" in text and "FedKIM" not in text

    @pytest.mark.parametrize(
        "arguments",
        [("nothing",), ("multi_task", "--tasks", "XY"), ("multi_task", "--metrics", "f2"), ("multi_task", "--wide")],
    )
    def test_an_unknown_name_is_a_usage_error(self, board: Board, arguments: tuple[str, ...]) -> None:
        done = self.run("table", *arguments, "--from", str(board[0] / "leaderboard.json"))
        assert isinstance(done.exception, UsageError)


class TestFigures:
    def test_all_figures_are_written_as_png_and_pdf(self, board: Board) -> None:
        names = {path.name for path in (board[0] / "figures").iterdir()}
        for figure in ("radar", "bars_multi_task", "bars_zero_shot", "curves", "traffic", "pareto"):
            assert {f"{figure}.png", f"{figure}.pdf"} <= names


def test_a_leaderboard_of_nothing_shows_the_published_rows_and_touches_no_other_file(tmp_path: Path) -> None:
    write_json(tmp_path / "published" / "keep.json", {})
    write_json(tmp_path / "figures" / "curves.png", {})
    built = build_leaderboard(tmp_path)
    assert {entry["kind"] for view in built.record["views"] for entry in view["entries"]} == {"published"}
    assert (tmp_path / "index.html").is_file() and (tmp_path / "published" / "keep.json").is_file()
    # A figure that has nothing to show any more is ours, and goes.
    assert not (tmp_path / "figures" / "curves.png").exists()


def test_the_record_is_json_as_the_standard_has_it(board: Board) -> None:
    assert read_json(board[0] / "leaderboard.json") == json.loads(json.dumps(board[1].record))
