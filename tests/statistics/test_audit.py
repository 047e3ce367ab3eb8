"""The audit of printed tables: what it finds in the papers, and what it must not find in sound tables."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from fedmeki_bench.cli.audit_published import command
from fedmeki_bench.errors import BenchError, FaultsError
from fedmeki_bench.metrics.audit import Finding, audit, confusion_for, misprint_for
from fedmeki_bench.metrics.published import (
    LabelCounts,
    PrintedRow,
    Published,
    load_published,
    printed_range,
    released_labels,
)

TASK = "covid_detection"


def row(accuracy: float, precision: float, recall: float, f1: float, **changed: str) -> PrintedRow:
    names = {
        "table": "Table 1",
        "protocol": "multi_task",
        "task": TASK,
        "backbone": "fedavg",
        "method": "fedkim",
    }
    values = {"accuracy": accuracy, "precision": precision, "recall": recall, "f1": f1}
    return PrintedRow(**{**names, **changed}, values=values)


def printed(tp: int, fp: int, fn: int, tn: int) -> PrintedRow:
    """The row that an honest table prints for a confusion matrix."""
    precision = tp / (tp + fp) if tp + fp else 0.0
    numbers = ((tp + tn) / (tp + fp + fn + tn), precision, tp / (tp + fn), 2 * tp / (2 * tp + fp + fn))
    return row(*(round(100 * number, 2) for number in numbers))


def checks(*rows: PrintedRow, labels: Mapping[str, LabelCounts] | None = None) -> list[str]:
    return [finding.check for finding in audit(Published(rows, (), (), ()), labels or {})]


@pytest.fixture(scope="module")
def findings() -> list[Finding]:
    return audit(load_published(), released_labels())


class TestThePapers:
    def test_six_f1_values_do_not_follow_from_precision_and_recall(self, findings: list[Finding]) -> None:
        found = [finding.details["printed"] for finding in findings if finding.check == "f1"]
        assert sorted(found) == [18.88, 66.04, 79.15, 83.69, 95.31, 98.21]

    def test_one_total_does_not_sum(self, findings: list[Finding]) -> None:
        (total,) = [finding for finding in findings if finding.check == "total"]
        assert "mortality_prediction" in total.places[0]
        assert (total.details["printed"], total.details["sum"]) == (38129, 38127)

    def test_two_rows_are_always_yes(self, findings: list[Finding]) -> None:
        constant = [finding for finding in findings if finding.check == "constant"]
        assert len(constant) == 2
        assert all("ecg_abnormal_detection, fedkim" in finding.places[0] for finding in constant)
        assert all(finding.details["answer"] == "always yes" for finding in constant)

    def test_every_fedplug_row_of_ecg_abnormality_is_below_the_constant(
        self, findings: list[Finding]
    ) -> None:
        places = [p for finding in findings if finding.check == "below_constant" for p in finding.places]
        published = load_published()
        rows = [
            r for r in published.rows if r.task == "ecg_abnormal_detection" and r.method.startswith("fedplug")
        ]
        assert rows and all(r.where in places for r in rows)

    def test_misprints_are_named_with_the_value_the_other_numbers_ask_for(
        self, findings: list[Finding]
    ) -> None:
        misprints = [finding.details["misprint"] for finding in findings if finding.check == "counts"]
        assert {"metric": "accuracy", "value": 42.23} in misprints
        assert {"metric": "recall", "value": 72.03} in misprints

    def test_single_and_multi_task_rows_that_are_the_same_row(self, findings: list[Finding]) -> None:
        repeated = [finding for finding in findings if finding.check == "repeated"]
        across = [f for f in repeated if len({setting[0] for setting in f.details["settings"]}) == 2]
        assert {f.details["task"] for f in across} == {"ecg_abnormal_detection", "mortality_prediction"}


class TestSoundTables:
    @settings(max_examples=60, deadline=None)
    @given(tp=st.integers(0, 300), fp=st.integers(0, 300), fn=st.integers(0, 300), tn=st.integers(0, 300))
    def test_an_honest_row_passes_f1_and_counts(self, tp: int, fp: int, fn: int, tn: int) -> None:
        if tp + fn == 0 or tn + fp == 0:
            return
        labels = {TASK: LabelCounts(tp + fp + fn + tn, tp + fn)}
        assert not {"f1", "counts"} & set(checks(printed(tp, fp, fn, tn), labels=labels))

    def test_a_number_cut_off_instead_of_rounded_passes(self) -> None:
        assert checks(row(57.26, 52.57, 84.40, 64.78)) == []

    def test_one_row_printed_in_two_tables_is_no_finding(self) -> None:
        assert checks(row(90, 80, 80, 80), row(90, 80, 80, 80, table="Table 2")) == []


class TestFindings:
    def test_f1_beyond_rounding(self) -> None:
        assert checks(row(90, 80.01, 80.01, 80.05)) == ["f1"]

    def test_same_numbers_for_two_settings(self) -> None:
        assert checks(row(90, 80, 80, 80), row(90, 80, 80, 80, backbone="fedprox")) == ["repeated"]

    def test_one_setting_with_two_numbers(self) -> None:
        assert checks(row(90, 80, 80, 80), row(91, 80, 80, 80, table="Table 2")) == ["reprinted"]

    def test_a_wrong_digit_is_found_and_named(self) -> None:
        sound = printed(300, 40, 51, 992)
        wrong = row(**{**sound.values, "accuracy": sound.values["accuracy"] + 0.3})
        counts = LabelCounts(1383, 351)
        assert confusion_for(wrong, counts.n, counts.positives) is None
        assert misprint_for(wrong, counts) == ("accuracy", sound.values["accuracy"])

    def test_always_no(self) -> None:
        assert "constant" in checks(row(74.62, 0, 0, 0), labels={TASK: LabelCounts(1383, 351)})


@pytest.mark.parametrize(
    ("value", "low", "high"),
    [(58.46, 58.455, 58.47), (68.1, 68.05, 68.2), (95.0, 94.95, 95.1)],
)
def test_what_a_printed_number_can_stand_for(value: float, low: float, high: float) -> None:
    assert printed_range(value) == pytest.approx((low, high))


class TestFiles:
    def write(self, folder: Path, entries: list[dict[str, Any]]) -> Path:
        (folder / "results.json").write_text(json.dumps({"rows": entries}))
        return folder

    def entry(self, **changed: Any) -> dict[str, Any]:
        names = {"table": "T", "protocol": "zero_shot", "task": TASK, "backbone": "fedavg", "method": "m"}
        return {**names, "metric": "f1", "value": 50.0, **changed}

    def test_no_results(self, tmp_path: Path) -> None:
        with pytest.raises(BenchError, match=r"results\.json"):
            load_published(tmp_path)

    def test_every_fault_at_once(self, tmp_path: Path) -> None:
        without = self.entry()
        del without["task"]
        entries = [without, self.entry(value="98.2"), self.entry(), self.entry(value=51.0)]
        with pytest.raises(FaultsError) as error:
            load_published(self.write(tmp_path, entries))
        assert len(error.value.faults) == 3

    def test_tables_alone_are_checked_and_what_is_missing_is_said(self, tmp_path: Path) -> None:
        self.write(tmp_path, [self.entry()])
        result = CliRunner().invoke(command, ["--published", str(tmp_path), "--json"], catch_exceptions=False)
        assert json.loads(result.stdout)["not_found"] == ["partitions.json", "figure2_axis_maxima.json"]

    def test_both_reports_are_written(self, tmp_path: Path) -> None:
        result = CliRunner().invoke(command, ["--out", str(tmp_path)], catch_exceptions=False)
        assert result.exit_code == 0
        assert json.loads((tmp_path / "report.json").read_text())["counts"]["f1"] == 6
        assert (
            "| F1 that does not follow from its precision and recall | 6 |"
            in (tmp_path / "report.md").read_text()
        )
