"""Simulated data in the project's own hands: adapters, partition, and a signal that can be found."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from fedmeki_bench.data import PreparedStore, audit, prepare
from fedmeki_bench.simulate import simulate
from fedmeki_bench.sources import SOURCES
from fedmeki_bench.specs import Selection, load_tasks


@pytest.mark.parametrize("name", load_tasks())
def test_adapters_find_as_many_items_as_the_record_says(simulated, name: str) -> None:
    task = load_tasks()[name]
    source = SOURCES[task.source]
    items = [i for i in source.items(source.find(simulated.root), task.selection) if i.repeat_of is None]
    truth = next(truth for truth in simulated.report.truths if truth.task == name)
    assert len(items) == truth.items
    if truth.positives is not None:
        assert sum(item.target == "yes" for item in items) == truth.positives


def test_all_twelve_tasks_prepare_with_something_to_test_and_no_leak(simulated, tmp_path: Path) -> None:
    tasks = load_tasks()
    prepare(simulated.root, tmp_path / "store", tasks=tasks)
    store = PreparedStore.open(tmp_path / "store")
    for task in tasks:
        assert len(store.task(task).rows("test")) >= 2
    # Near-duplicates too: strangers must not be drawn so alike that the audit takes them for one image.
    assert audit(store, tasks=tasks).leaks == ()


class TestSignal:
    """A plain summary of the files ranks the items well, and not at all without signal."""

    @staticmethod
    def auroc(root: Path, source: str, selection: Selection, summary, **settings) -> float:
        from sklearn.metrics import roc_auc_score

        simulate(root, size=40, seed=2, sources=[source], **settings)
        adapter = SOURCES[source]
        folder = adapter.find(root)
        items = [item for item in adapter.items(folder, selection) if item.repeat_of is None]
        values = [summary(adapter.decode(folder, item.record)) for item in items]
        return float(roc_auc_score([item.target == "yes" for item in items], values))

    @staticmethod
    def lung_brightness(record) -> float:
        return float(record["image"][60:150, 40:184].mean())

    @staticmethod
    def st_and_t(record) -> float:
        # An upright T and a level ST segment make V5 skewed upwards between the beats.
        return -float(np.quantile(record["signal"][10], 0.85) + np.quantile(record["signal"][10], 0.1))

    @staticmethod
    def shock(record) -> float:
        vital = np.nanmean(record["vital_signs"], axis=0)
        return float(vital[0] / 19 - vital[1] / 22 - vital[3] / 15)

    CASES = (
        ("covid19_radiography", Selection(), "lung_brightness"),
        ("ptb_xl", Selection(label="abnormal"), "st_and_t"),
        ("yaib_mortality24", Selection(), "shock"),
    )

    @pytest.mark.parametrize(("source", "selection", "summary"), CASES)
    def test_shows(self, tmp_path: Path, source: str, selection: Selection, summary: str) -> None:
        assert self.auroc(tmp_path / "data", source, selection, getattr(self, summary)) > 0.85

    @pytest.mark.parametrize(("source", "selection", "summary"), CASES)
    def test_is_absent_at_strength_0(self, tmp_path: Path, source: str, selection: Selection, summary: str) -> None:
        found = self.auroc(tmp_path / "data", source, selection, getattr(self, summary), signal=0.0)
        assert 0.25 < found < 0.75


@pytest.mark.realdata
def test_no_question_is_taken_from_the_real_data(simulated, realdata: Path) -> None:
    def questions(root: Path) -> set[str]:
        files = [path for folder in ("vqa-rad", "slake", "ecg-qa") for path in (root / folder).rglob("*.json")]
        return {
            item["question"].strip().lower() for path in files for item in json.loads(path.read_text(encoding="utf-8"))
        }

    assert not questions(simulated.root) & questions(realdata)
