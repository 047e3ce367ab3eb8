"""`size="paper"`: the papers' counts, from the plans and tables alone (no image or record is drawn)."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import pytest

from fedmeki_bench.simulate import SIMULATORS
from fedmeki_bench.simulate._source import Settings

PAPER = Settings(size=None, seed=0, signal=3.3)


def truths(source: str) -> dict[str, tuple[int, int | None]]:
    """Task to items and positives."""
    return {truth.task: (truth.items, truth.positives) for truth in SIMULATORS[source](PAPER).truths()}


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("covid19_radiography", {"covid_detection": (13808, 3616)}),
        ("rsna_pneumonia", {"lung_opacity_detection": (6012 + 8851, 6012)}),
        ("yaib_mortality24", {"mortality_prediction": (38129, 3218)}),
        ("vqa_rad", {"medvqa_rad": (3515, None)}),
        ("slake", {"medvqa_slake": (1061, None)}),
        (
            "chexpert",
            {
                "enlarged_cardiomediastinum_detection": (234, 109),
                "pleural_effusion_detection": (234, 67),
                "atelectasis_detection": (234, 80),
            },
        ),
    ],
)
def test_counts(source: str, expected: dict[str, tuple[int, int | None]]) -> None:
    assert truths(source) == expected


def test_ptb_xl_has_the_rows_of_version_1_0_3_and_enough_for_the_zero_shot_sets() -> None:
    found = truths("ptb_xl")
    assert {items for items, _ in found.values()} == {21799}
    assert found["ecg_abnormal_detection"][1] == pytest.approx(0.59 * 21799, abs=1)
    # The papers' set has 1,000 of each answer.
    assert (found["ectopic_beats_detection"][1] or 0) >= 1000


def test_sepsis_leaves_a_thousand_stays_that_mortality_does_not_have() -> None:
    from fedmeki_bench.simulate._yaib import _stays

    plan = _stays(PAPER)
    assert len(set(plan.sepsis) - set(plan.mortality)) >= 1000
    assert truths("yaib_sepsis")["sepsis_prediction"][1] == pytest.approx(0.029 * len(plan.sepsis), abs=1)


def test_rsna_tables_have_the_real_numbers_of_rows(tmp_path: Path) -> None:
    SIMULATORS["rsna_pneumonia"](PAPER).write_tables(tmp_path)
    with (tmp_path / "stage_2_detailed_class_info.csv").open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    classes = Counter(row["class"] for row in rows)
    assert len(rows) == 30227 and len({row["patientId"] for row in rows}) == 26684
    assert classes == {"Lung Opacity": 9555, "Normal": 8851, "No Lung Opacity / Not Normal": 11821}
    assert classes["Lung Opacity"] + classes["Normal"] == 18406
