"""One run's tables: the papers' layouts, what kind each number is, constants beside every row."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fedmeki_bench.errors import FaultsError
from fedmeki_bench.reporting import Measure, Table, render_terminal, run_tables, select, write_run_tables
from fedmeki_bench.reporting.grid import ABSENT, UNDEFINED, lay_out
from fedmeki_bench.reporting.published import figure2_axes, published_tables
from tests.builders import make_evaluation, make_result


def tables(*results: dict[str, Any]) -> dict[str, Table]:
    return {table.name: table for table in run_tables(results)}


def kinds(table: Table) -> list[str]:
    return [entry.kind for entry in table.entries]


def cell_text(table: Table, label: str, kind: str, task: str, metric: str) -> str:
    entry = next(one for one in table.entries if one.label == label and one.kind == kind)
    one_column = select(table, tasks=[task], metrics=[metric], keep=lambda other: other.key == entry.key)
    return lay_out(one_column).rows[0].cells[0].text


class TestLayouts:
    def test_a_table_for_each_protocol_that_was_run(self) -> None:
        evaluations = [make_evaluation("single_task", "covid_detection"), make_evaluation("zero_shot", "medvqa_rad")]
        assert list(tables(make_result(evaluations=evaluations))) == ["table7_single_task", "zero_shot_text"]

    def test_table_3_has_a_column_a_method_and_a_row_a_task_and_metric(self) -> None:
        grid = lay_out(tables(make_result())["table3_multi_task"])
        assert grid.stub == ("Task", "Metric")
        assert [row.stub for row in grid.rows][:4] == [
            ("CD", "Accuracy"),
            ("", "Precision"),
            ("", "Recall"),
            ("", "F1"),
        ]
        published = [(column.group, column.label) for column in grid.columns if "Published" in column.group]
        methods = ("FedPlug", "FedPlug_L", "FedKIM")
        assert published == [(f"Published, {b}", m) for b in ("FedAvg", "FedProx") for m in methods]

    def test_table_5_has_a_row_a_method_and_a_column_a_metric(self) -> None:
        grid = lay_out(tables(make_result())["table5_zero_shot"])
        assert grid.stub == ("Task", "Method", "Aggregation", "Kind")
        assert [column.label for column in grid.columns][:4] == ["Accuracy", "Precision", "Recall", "F1"]
        rows = [row.stub[1] for row in grid.rows if row.stub[3] == "published"]
        assert rows[:4] == ["FedKIM_pub", "FedKIM_T", "FedKIM_M", "FedKIM"]

    def test_the_four_training_tasks_are_shown_even_where_not_all_were_run(self) -> None:
        result = make_result(missing_tasks={"lung_opacity_detection": "no RSNA data"})
        table = tables(result)["table3_multi_task"]
        assert list(table.tasks.values()) == ["CD", "LOD", "EAD", "MP"]
        assert "LOD was not run: no RSNA data." in lay_out(table).notes

    def test_nothing_run_gives_no_table(self) -> None:
        assert tables(make_result(evaluations=[])) == {}

    @pytest.mark.parametrize("runs", [1, 2, 7])
    def test_the_terminal_is_never_wider_than_110(self, runs: int) -> None:
        results = [make_result(f"method-{number}" * 6, run_id=f"r{number}") for number in range(runs)]
        for table in tables(*results).values():
            assert max(map(len, render_terminal(table).splitlines())) <= 110


class TestPublished:
    def test_every_carried_number_is_in_a_table(self) -> None:
        counts = {name: sum(m.metric != "n" for _, m in table.cells) for name, table in published_tables().items()}
        assert sum(counts.values()) == 444
        assert counts["Table 3"] == counts["Table 7"] == 96

    def test_a_number_is_shown_as_printed(self) -> None:
        table = tables(make_result())["table3_multi_task"]
        shown = [
            lay_out(table).rows[0].cells[index].text
            for index, entry in enumerate(table.entries)
            if entry.kind == "published"
        ]
        assert shown == ["98.34", "94.21", "98.48", "86.11", "95.73", "98.98"]

    def test_published_numbers_are_marked_and_their_metrics_said_to_be_unknown(self) -> None:
        grid = lay_out(tables(make_result())["table3_multi_task"])
        note = next(note for note in grid.notes if note.startswith("Published: FedKIM"))
        assert "not known" in note

    def test_figure_2_has_eight_axes_a_backbone(self) -> None:
        assert len(figure2_axes()) == 16


class TestKinds:
    def test_own_then_constants_then_published(self) -> None:
        found = kinds(tables(make_result())["table3_multi_task"])
        assert found == ["own", "constant", "constant", *["published"] * 6]

    def test_simulated_data_are_marked_in_every_table(self) -> None:
        grid = lay_out(tables(make_result(simulated=True))["table3_multi_task"])
        assert [column.group for column in grid.columns][:2] == [
            "Own run, simulated data, FedAvg",
            "Constant, simulated data",
        ]
        assert any("made up" in note for note in grid.notes)

    def test_one_simulated_task_among_real_ones_is_marked_at_its_numbers(self) -> None:
        result = make_result(
            evaluations=[make_evaluation("multi_task", task) for task in ("covid_detection", "mortality_prediction")]
        )
        result["tasks"]["mortality_prediction"]["simulated"] = True
        grid = lay_out(tables(result)["table3_multi_task"])
        marks = {row.cells[0].marks for row in grid.rows if row.cells[0].text not in (ABSENT, "200")}
        assert marks == {"", "†"}

    def test_random_weights_never_stand_in_a_table_and_a_note_says_so(self) -> None:
        table = tables(make_result(random_weights=True))["table3_multi_task"]
        assert "own" not in kinds(table)
        assert any("random weights" in note for note in lay_out(table).notes)

    def test_another_definition_of_a_metric_is_marked(self) -> None:
        odd = make_result("fedplug", run_id="odd")
        odd["evaluations"][0]["scores"]["accuracy"]["signature"] = "accuracy|v2"
        grid = lay_out(tables(make_result(), odd)["table3_multi_task"])
        assert [cell.marks for cell in grid.rows[0].cells[:2]] == ["", "‡"]
        assert any(note.startswith("‡") and "v2" in note for note in grid.notes)

    def test_answers_that_could_not_be_read_are_said(self) -> None:
        result = make_result(evaluations=[make_evaluation("multi_task", "covid_detection", parse_rate=0.9)])
        notes = lay_out(tables(result)["table3_multi_task"]).notes
        assert any("CD 90.0%" in note for note in notes)


class TestConstants:
    def test_runs_on_the_same_items_share_the_constant_rows(self) -> None:
        table = tables(make_result(), make_result("fedplug", run_id="b"))["table3_multi_task"]
        assert kinds(table).count("constant") == 2

    def test_other_items_have_constant_rows_of_their_own(self) -> None:
        other = make_result("fedplug", run_id="other")
        other["tasks"]["covid_detection"]["split_hash"] = "9" * 64
        table = tables(make_result(), other)["table3_multi_task"]
        assert kinds(table).count("constant") == 4

    def test_a_run_of_a_constant_method_is_not_shown_twice(self) -> None:
        table = tables(make_result(), make_result("majority", run_id="c", foundation_model=None))["table3_multi_task"]
        assert [entry.label for entry in table.entries].count("majority") == 1


class TestNumbers:
    def test_fractions_become_percent_with_two_decimals(self) -> None:
        result = make_result(evaluations=[make_evaluation("multi_task", "covid_detection", {"accuracy": 0.57})])
        table = tables(result)["table3_multi_task"]
        assert cell_text(table, "FedKIM", "own", "covid_detection", "accuracy") == "57.00"

    def test_an_undefined_metric_is_not_a_missing_one(self) -> None:
        result = make_result(evaluations=[make_evaluation("multi_task", "covid_detection", {"auroc": None})])
        table = tables(result)["table3_multi_task"]
        assert cell_text(table, "FedKIM", "own", "covid_detection", "auroc") == UNDEFINED

    def test_intervals_are_shown_only_on_demand(self) -> None:
        table = tables(make_result())["table3_multi_task"]
        assert lay_out(table).rows[0].cells[0].interval == ""
        assert lay_out(table, intervals=True).rows[0].cells[0].interval == "88.0, 92.0"

    def test_a_metric_that_is_not_shown_can_be_asked_for(self) -> None:
        result = make_result(
            evaluations=[make_evaluation("multi_task", "covid_detection", {"accuracy": 0.9, "brier": 0.1})]
        )
        table = tables(result)["table3_multi_task"]
        assert "brier" not in table.metrics
        chosen = select(table, metrics=["brier"])
        assert chosen.metrics == ["brier"] and lay_out(chosen).rows[0].arrow == "↓"

    def test_runs_of_one_name_are_told_apart(self) -> None:
        table = tables(make_result(), make_result(run_id="b", seed=1))["table3_multi_task"]
        assert [entry.label for entry in table.entries if entry.kind == "own"] == ["FedKIM (seed 0)", "FedKIM (seed 1)"]

    def test_an_invalid_result_is_refused(self) -> None:
        with pytest.raises(FaultsError):
            run_tables([make_result(seed=-1)])


def test_a_run_writes_one_markdown_file_and_a_latex_file_a_table(tmp_path: Path) -> None:
    written = write_run_tables(make_result(), tmp_path / "tables")
    assert [path.name for path in written] == ["tables.md", "table3_multi_task.tex", "table5_zero_shot.tex"]
    assert "98.34" in written[0].read_text() and "90.00" in written[1].read_text()


def test_selecting_keeps_the_order_and_drops_empty_entries() -> None:
    table = tables(make_result())["table3_multi_task"]
    chosen = select(table, tasks=["lung_opacity_detection"], metrics=["f1", "accuracy"])
    assert chosen.metrics == ["accuracy", "f1"]
    assert {entry.kind for entry in chosen.entries} == {"published"}
    assert all(measure.task == "lung_opacity_detection" for _, measure in chosen.cells)
    assert (chosen.entries[0].key, Measure("lung_opacity_detection", "f1")) in chosen.cells
