"""Task specifications: twelve valid ones, and every fault of a wrong one named at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from fedmeki_bench.errors import FaultsError, UsageError
from fedmeki_bench.files import package_folder, read_json
from fedmeki_bench.specs import MODALITIES, find_task, load_task_file, load_tasks, select_tasks, spec_faults


def write_spec(folder: Path, task: str = "covid_detection", **changes: Any) -> Path:
    """A copy of a real spec with some fields changed (None removes one)."""
    raw = yaml.safe_load((package_folder("tasks") / f"{task}.yaml").read_text())
    raw = {name: value for name, value in {**raw, **changes}.items() if value is not None}
    path = folder / f"{task}.yaml"
    path.write_text(yaml.safe_dump(raw))
    return path


def test_the_twelve_tasks_are_valid() -> None:
    """Four for training, eight zero-shot, in the papers' order."""
    tasks = load_tasks()
    assert not spec_faults()
    order = [*("CD", "LOD", "EAD", "MP"), *("ECD", "PED", "AD", "EBD", "SP", "MR", "MS", "SNC")]
    assert [spec.short for spec in tasks.values()] == order
    assert [spec.role for spec in tasks.values()] == ["training"] * 4 + ["zero_shot"] * 8


def test_the_counts_are_the_papers() -> None:
    """By role, as in FedKIM's Table 6."""
    tasks = load_tasks()
    rows = read_json(package_folder("published") / "partitions.json")["rows"]
    assert len(rows) == len(tasks)
    for row in rows:
        paper = tasks[row["task"]].paper
        assert paper.test == row["test"]
        if row["role"] == "training":
            assert (paper.total, paper.private, paper.public, paper.development) == tuple(
                row[name] for name in ("total", "private", "public", "development")
            )


def test_training_tasks_are_split_seven_one_one_one() -> None:
    """And zero-shot tasks have a test part only."""
    for spec in load_tasks().values():
        expected = (
            {"private": 7, "public": 1, "development": 1, "test": 1}
            if spec.role == "training"
            else {"test": 1}
        )
        assert dict(spec.split.ratio) == expected


def test_every_modality_is_used_and_described() -> None:
    """M3OE reads a description of each."""
    tasks = load_tasks().values()
    assert {name for spec in tasks for name in spec.modalities} == set(MODALITIES)
    assert all(set(spec.modality_descriptions) == set(spec.modalities) for spec in tasks)


def test_zero_shot_tasks_stay_away_from_the_training_groups_of_their_source() -> None:
    """PTB-XL feeds three tasks, MIMIC-III two."""
    tasks = load_tasks()
    for short, other in (
        ("EBD", "ecg_abnormal_detection"),
        ("SNC", "ecg_abnormal_detection"),
        ("SP", "mortality_prediction"),
    ):
        assert find_task(short, tasks).split.disjoint_from == (other,)


def test_every_fault_is_reported_at_once(tmp_path: Path) -> None:
    """File, field, expected, found, and a suggestion for a misspelt field."""
    path = write_spec(tmp_path, promt="x", prompt=None, role="trainig", version="1", metrics=["acuracy"])
    with pytest.raises(FaultsError) as caught:
        load_task_file(path)
    text = str(caught.value)
    for part in (
        f"{path}: promt",
        "did you mean prompt",
        "prompt: expected a value; found nothing",
        "did you mean training",
        "version",
        "did you mean accuracy",
    ):
        assert part in text


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"id": "other_task"}, "id"),
        ({"modality_descriptions": {"signal": "x"}}, "modality_descriptions"),
        ({"answer": {"form": "free_text", "max_new_tokens": 3}}, "answer"),
        ({"kind": "text"}, "answer.form"),
        ({"modalities": ["image", "sound"]}, "modalities.1"),
        (
            {
                "split": {
                    "scheme": "grouped",
                    "seed": 1,
                    "group": "image",
                    "stratify": "label",
                    "ratio": {"test": 1},
                }
            },
            "split.ratio",
        ),
    ],
)
def test_a_wrong_field_is_named(tmp_path: Path, changes: dict[str, Any], field: str) -> None:
    """Closed vocabularies, and rules across fields."""
    assert any(fault.field.startswith(field) for fault in spec_faults(write_spec(tmp_path, **changes)))


def test_text_that_is_not_yaml_names_its_line(tmp_path: Path) -> None:
    """No traceback of a parser."""
    (tmp_path / "broken.yaml").write_text("id: x\n  name: [1\n")
    assert "broken.yaml:2" in spec_faults(tmp_path / "broken.yaml")[0].where


def test_a_folder_without_specs_and_an_unknown_task_in_disjoint_from(tmp_path: Path) -> None:
    """Both are faults."""
    assert spec_faults(tmp_path)[0].expected == "at least one *.yaml file"
    spec = yaml.safe_load((package_folder("tasks") / "ectopic_beats_detection.yaml").read_text())
    spec["split"]["disjoint_from"] = ["ecg_abnormal_detektion"]
    (tmp_path / "ectopic_beats_detection.yaml").write_text(yaml.safe_dump(spec))
    assert spec_faults(tmp_path)[0].field == "split.disjoint_from"


def test_the_hash_follows_every_field(tmp_path: Path) -> None:
    """A changed prompt is another task: no cache can miss it."""
    assert load_task_file(write_spec(tmp_path)).hash == load_tasks()["covid_detection"].hash
    assert (
        load_task_file(write_spec(tmp_path, prompt="Another question?")).hash
        != load_tasks()["covid_detection"].hash
    )


def test_tasks_are_found_by_id_or_abbreviation() -> None:
    """And an unknown one gets a suggestion."""
    tasks = load_tasks()
    assert find_task("CD", tasks) == find_task("covid_detection", tasks)
    assert list(select_tasks(["SNC", "CD"], tasks)) == ["covid_detection", "signal_noise_clarification"]
    with pytest.raises(UsageError, match="did you mean covid_detection"):
        find_task("covid_detektion", tasks)
