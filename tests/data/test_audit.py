"""The audit: every planted leak is found, and nothing else."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from fedmeki_bench.data import AuditReport, PreparedStore, audit, audit_plan, prepare
from fedmeki_bench.data._confounds import _question_only
from fedmeki_bench.specs import TaskSpec, load_tasks, select_tasks

IMAGES = "COVID-19_Radiography_Dataset"


def tasks(*names: str) -> dict[str, TaskSpec]:
    return select_tasks(names, load_tasks())


def leaks(report: AuditReport) -> list[tuple[str, str, str]]:
    return [(leak.task, leak.kind, leak.part) for leak in report.leaks]


@pytest.fixture
def raw(simulated_corpus: Path, tmp_path: Path) -> Path:
    """A private copy of the corpus' raw files."""
    return Path(shutil.copytree(simulated_corpus, tmp_path / "raw"))


def prepared(raw: Path, names: Sequence[str], **options: str) -> PreparedStore:
    prepare(raw, raw.parent / "out", tasks=tasks(*names), **options)  # type: ignore[arg-type]
    return PreparedStore.open(raw.parent / "out")


def images_of(store: PreparedStore, part: str) -> list[str]:
    task = store.task("covid_detection")
    return task.records(task.rows(part))  # type: ignore[arg-type]


def test_the_grouped_partition_does_not_leak(simulated_store: Path) -> None:
    report = audit(PreparedStore.open(simulated_store), tasks=load_tasks())
    assert report.leaks == () and len(report.tasks) == 12 and report.decoded


class TestPlantedLeaks:
    def test_the_same_image_under_two_names(self, raw: Path) -> None:
        store = prepared(raw, ["CD"])
        twin, original = images_of(store, "test")[0], images_of(store, "private")[0]
        shutil.copy(raw / IMAGES / original, raw / IMAGES / twin)
        report = audit(prepared(raw, ["CD"]), tasks=tasks("CD"))
        assert leaks(report) == [("covid_detection", "content", "test")]
        assert report.forbidden and report.leaks[0].examples == (twin,)

    def test_a_brightened_copy(self, raw: Path) -> None:
        store = prepared(raw, ["CD"])
        twin, original = images_of(store, "test")[0], images_of(store, "private")[0]
        pixels = np.asarray(Image.open(raw / IMAGES / original)).astype(float) * 0.93 + 9
        Image.fromarray(pixels.astype(np.uint8)).save(raw / IMAGES / twin)
        report = audit(prepared(raw, ["CD"]), tasks=tasks("CD"))
        assert leaks(report) == [("covid_detection", "near_duplicate", "test")]

    def test_a_training_image_in_a_zero_shot_set(self, raw: Path) -> None:
        store = prepared(raw, ["CD", "ECD"])
        original = images_of(store, "private")[0]
        twin = sorted((raw / "chexpert").rglob("*.jpg"))[0]
        Image.open(raw / IMAGES / original).save(twin, quality=95)
        report = audit(prepared(raw, ["CD", "ECD"]), tasks=tasks("CD", "ECD"))
        assert leaks(report) == [("enlarged_cardiomediastinum_detection", "near_duplicate", "test")]

    def test_what_a_spec_allows_is_reported_but_not_forbidden(self, raw: Path) -> None:
        store = prepared(raw, ["CD"])
        twin, original = images_of(store, "test")[0], images_of(store, "private")[0]
        shutil.copy(raw / IMAGES / original, raw / IMAGES / twin)
        spec = load_tasks()["covid_detection"]
        wanted = {spec.id: replace(spec, split=replace(spec.split, allowed_leaks=("content",)))}
        report = audit(prepared(raw, ["CD"]), tasks=wanted)
        assert leaks(report) == [("covid_detection", "content", "test")] and not report.forbidden

    def test_the_released_scheme_leaks(self, raw: Path) -> None:
        store = prepared(raw, ["LOD", "EAD", "EBD", "SP", "MP", "SNC"], scheme="released")
        found = {(task, kind) for task, kind, _ in leaks(audit(store, tasks=load_tasks()))}
        assert found >= {
            ("lung_opacity_detection", "group"),
            ("ecg_abnormal_detection", "group"),
            ("ectopic_beats_detection", "zero_shot_record"),
            ("signal_noise_clarification", "zero_shot_record"),
            ("sepsis_prediction", "group"),
        }


class TestConfounds:
    def test_a_column_that_gives_the_label_away(self, raw: Path) -> None:
        path = raw / "ptb-xl" / "ptbxl_database.csv"
        table = pd.read_csv(path)
        table["device"] = ["a" if "'NORM': 100" in codes else "b" for codes in table.scp_codes]
        table.to_csv(path, index=False)
        report = audit(prepared(raw, ["EAD"]), tasks=tasks("EAD"))
        first = report.confounds[0]
        assert (first.column, first.suspect) == ("device", True) and first.value > 0.8

    def test_a_column_of_rare_values_cannot_recognise_its_own_items(self, raw: Path) -> None:
        path = raw / "ptb-xl" / "ptbxl_database.csv"
        table = pd.read_csv(path)
        table["device"] = [f"device {number}" for number in range(len(table))]
        table.to_csv(path, index=False)
        report = audit(prepared(raw, ["EAD"]), tasks=tasks("EAD"))
        assert {one.column: one for one in report.confounds}["device"].value == pytest.approx(0.5)

    def test_questions_that_answer_themselves(self) -> None:
        (sure,) = _question_only("MR", ["is it a ct?"] * 10 + ["is it large?"] * 10, ["ct"] * 10 + ["no"] * 10)
        (open_,) = _question_only("MR", ["what is it?"] * 20, [f"finding {number}" for number in range(20)])
        assert sure.suspect and sure.value == 1.0
        assert not open_.suspect and open_.value == 0.0


def test_balance_covers_every_part_and_client(simulated_store: Path) -> None:
    report = audit(PreparedStore.open(simulated_store), tasks=tasks("EAD"), clients=3)
    holders = {one.holder: one.items for one in report.balance}
    assert list(holders) == ["private", "public", "development", "test", "client 1", "client 2", "client 3"]
    assert sum(holders[f"client {number}"] for number in (1, 2, 3)) == holders["private"]


def test_the_report_is_json(simulated_store: Path) -> None:
    report = audit(PreparedStore.open(simulated_store), tasks=tasks("EAD"))
    assert json.loads(json.dumps(report.as_json(), allow_nan=False))["forbidden"] == 0


@pytest.mark.realdata
class TestRealData:
    def test_two_thirds_of_the_released_positive_lung_opacity_test_rows_leak(self, realdata: Path) -> None:
        report = audit_plan(realdata, tasks=tasks("LOD"), scheme="released")
        test = next(leak for leak in report.leaks if leak.part == "test")
        assert (test.kind, test.items, test.of, test.positives, test.of_positives) == (
            "group",
            628,
            1836,
            628,
            951,
        )
        assert "628 of 951 (66%)" in report.render() and report.forbidden

    def test_the_grouped_partition_of_the_same_labels_does_not(self, realdata: Path) -> None:
        assert not audit_plan(realdata, tasks=tasks("LOD", "EAD", "EBD", "SNC")).leaks

    def test_hospital_is_class_in_the_covid_images(self, realdata: Path) -> None:
        first = audit_plan(realdata, tasks=tasks("CD")).confounds[0]
        assert (first.column, first.suspect) == ("site", True) and first.value > 0.99
