"""With a prepared store: predictions of another codebase, and a split that must be the store's own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fedmeki_bench.data import PreparedStore, prepare
from fedmeki_bench.errors import BenchError, CheckFailed, FaultsError, UsageError
from fedmeki_bench.files import write_jsonl
from fedmeki_bench.simulate import simulate
from fedmeki_bench.specs import load_tasks, select_tasks
from fedmeki_bench.submissions import Labels, bundle_predictions, check_bundle, load_bundle
from tests.submissions.builders import reseal

TASK = "medvqa_rad"
FILE = f"seed-0/predictions/zero_shot/{TASK}.jsonl"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("store")
    simulate(root / "raw", size=20, seed=1, sources=["vqa_rad"])
    prepare(root / "raw", root / "prepared", tasks=select_tasks([TASK], load_tasks()))
    return root / "prepared"


def answers(store: Path, folder: Path) -> Path:
    task = PreparedStore.open(store).task(TASK)
    rows = [{"id": label.id, "answer": "yes"} for label in task.labels(task.rows("test"))]
    write_jsonl(folder / "zero_shot" / f"{TASK}.jsonl", rows)
    return folder


def bundle_of(store: Path, root: Path) -> Path:
    options = {"foundation_model": "llama-3-8b", "revision": "main"}
    folder = answers(store, root / "answers")
    return bundle_predictions(folder, root / "theirs", store, method_name="Theirs", authors=["Ben"], **options)


def test_predictions_of_another_codebase_are_scored_and_marked(store: Path, tmp_path: Path) -> None:
    bundle = bundle_of(store, tmp_path)
    loaded = load_bundle(bundle)
    assert loaded.predictions_only
    assert loaded.manifest["method"]["origin"] == "external"
    assert loaded.manifest["runs"][0]["cost"] is None
    report = check_bundle(bundle, Labels.from_store(store))
    assert report.verified, report.faults
    assert any("predictions only" in note for note in report.notes)
    assert any("simulated" in note for note in report.notes)


def test_another_split_is_found_however_well_it_is_sealed(store: Path, tmp_path: Path) -> None:
    bundle = bundle_of(store, tmp_path)
    for path in (bundle / "manifest.json", bundle / "seed-0/scores.json"):
        value = json.loads(path.read_text(encoding="utf-8"))
        value["tasks"][TASK]["split_hash"] = "c" * 64
        path.write_text(json.dumps(value), encoding="utf-8")
    reseal(bundle)
    assert {fault.code for fault in check_bundle(bundle, Labels.from_store(store)).faults} == {"FB036"}
    assert check_bundle(bundle).ok


def test_missing_answers_are_refused_when_the_bundle_is_made(store: Path, tmp_path: Path) -> None:
    folder = answers(store, tmp_path / "answers")
    path = folder / "zero_shot" / f"{TASK}.jsonl"
    path.write_text("".join(path.read_text(encoding="utf-8").splitlines(keepends=True)[1:]), encoding="utf-8")
    with pytest.raises(CheckFailed, match="no prediction"):
        bundle_predictions(folder, tmp_path / "out", store, method_name="T", authors=["B"])


@pytest.mark.parametrize(
    "line,message",
    [
        ('{"id": "a", "answer": "yes", "label": "yes"}', "no labels"),
        ('{"id": "a"}', "both text"),
        ("{'id': 'a'}", "JSON"),
        ('{"id": "a", "answer": "yes", "score": NaN}', "NaN"),
        ('{"id": "a", "answer": "yes", "score": "high"}', "from 0 to 1"),
    ],
)
def test_what_is_no_prediction_is_named_with_its_line(line: str, message: str, store: Path, tmp_path: Path) -> None:
    folder = answers(store, tmp_path / "answers")
    with (folder / "zero_shot" / f"{TASK}.jsonl").open("a", encoding="utf-8") as handle:
        handle.write(line + "\n")
    with pytest.raises(FaultsError, match=message):
        bundle_predictions(folder, tmp_path / "out", store, method_name="T", authors=["B"])


def test_files_in_the_wrong_place_are_refused(store: Path, tmp_path: Path) -> None:
    (tmp_path / "answers").mkdir()
    with pytest.raises(UsageError, match="no predictions"):
        bundle_predictions(tmp_path / "answers", tmp_path / "out", store, method_name="T", authors=["B"])
    write_jsonl(tmp_path / "answers" / f"{TASK}.jsonl", [])
    with pytest.raises(UsageError, match="wrong place"):
        bundle_predictions(tmp_path / "answers", tmp_path / "out", store, method_name="T", authors=["B"])


def test_a_task_that_is_not_prepared_is_refused(store: Path, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "answers/zero_shot/sepsis_prediction.jsonl", [{"id": "a", "answer": "no"}])
    with pytest.raises(BenchError, match="does not hold"):
        bundle_predictions(tmp_path / "answers", tmp_path / "out", store, method_name="T", authors=["B"])
