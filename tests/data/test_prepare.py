"""Prepare and the store: the same bytes whatever happens on the way, and nothing lost in silence."""

from __future__ import annotations

import copy
import csv
import json
import random
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fedmeki_bench.data import PreparedStore, prepare
from fedmeki_bench.errors import BenchError, FaultsError, UsageError
from fedmeki_bench.files import file_sha256
from fedmeki_bench.sources import find_source
from fedmeki_bench.specs import load_tasks, select_tasks

SMALL = ("CD", "EAD", "EBD", "MP", "SP", "SNC")


def tasks(*names: str):
    return select_tasks(names, load_tasks())


def files(store: Path) -> dict[str, str]:
    return {
        str(p.relative_to(store)): file_sha256(p) for p in sorted(store.rglob("*")) if p.is_file() and p.stat().st_size
    }


@pytest.fixture
def raw(simulated_corpus: Path, tmp_path: Path) -> Path:
    """A private copy of the corpus' raw files."""
    return Path(shutil.copytree(simulated_corpus, tmp_path / "raw"))


class TestSameBytes:
    def test_twice(self, simulated_corpus: Path, tmp_path: Path) -> None:
        first = prepare(simulated_corpus, tmp_path, tasks=tasks(*SMALL))
        before = files(tmp_path)
        again = prepare(simulated_corpus, tmp_path, tasks=tasks(*SMALL))
        assert files(tmp_path) == before
        assert (first.reused, again.decoded) == (0, 0) and again.reused == first.decoded

    def test_with_two_workers(self, simulated_corpus: Path, tmp_path: Path) -> None:
        prepare(simulated_corpus, tmp_path / "one", tasks=tasks(*SMALL))
        prepare(simulated_corpus, tmp_path / "two", tasks=tasks(*SMALL), workers=2)
        assert files(tmp_path / "one") == files(tmp_path / "two")

    def test_after_an_interruption(self, simulated_corpus: Path, tmp_path: Path) -> None:
        def stop(source: str, done: int, total: int) -> None:
            if source == "ptb_xl":
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            prepare(simulated_corpus, tmp_path / "cut", tasks=tasks(*SMALL), progress=stop)
        (tmp_path / "cut" / "records" / "ptb_xl" / ".half.arrow.x1").write_bytes(b"half written by a killed run")
        report = prepare(simulated_corpus, tmp_path / "cut", tasks=tasks(*SMALL))
        prepare(simulated_corpus, tmp_path / "whole", tasks=tasks(*SMALL))
        assert report.reused > 0 and files(tmp_path / "cut") == files(tmp_path / "whole")

    def test_from_a_copy_elsewhere(self, simulated_corpus: Path, raw: Path, tmp_path: Path) -> None:
        prepare(simulated_corpus, tmp_path / "one", tasks=tasks(*SMALL))
        prepare(raw, tmp_path / "two", tasks=tasks(*SMALL))
        assert files(tmp_path / "one") == files(tmp_path / "two")

    def test_with_shuffled_tables(self, raw: Path, tmp_path: Path) -> None:
        prepare(raw, tmp_path / "one", tasks=tasks("EAD", "EBD"))
        path = raw / "ptb-xl" / "ptbxl_database.csv"
        with path.open(newline="") as handle:
            head, *rows = list(csv.reader(handle))
        random.Random(0).shuffle(rows)
        with path.open("w", newline="") as handle:
            csv.writer(handle).writerows([head, *rows])
        prepare(raw, tmp_path / "two", tasks=tasks("EAD", "EBD"))
        assert files(tmp_path / "one") == files(tmp_path / "two")

    def test_one_task_after_the_other(self, simulated_corpus: Path, tmp_path: Path) -> None:
        for name in ("SNC", "EAD", "CD"):
            prepare(simulated_corpus, tmp_path, tasks=tasks(name))
        store = PreparedStore.open(tmp_path, tasks=load_tasks())
        for task in store.tasks.values():
            assert len(task.inputs(task.rows("test"))) == task.counts["test"] > 0

    def test_tasks_prepared_from_different_copies_keep_their_own_records(
        self, simulated_corpus: Path, raw: Path, tmp_path: Path
    ) -> None:
        prepare(simulated_corpus, tmp_path / "out", tasks=tasks("PED"))
        before = PreparedStore.open(tmp_path / "out").task("pleural_effusion_detection")
        contents = before.contents(before.rows("test"))
        for path in sorted((raw / "chexpert").rglob("*.jpg")):
            Image.new("L", (32, 32), 7).save(path)
        prepare(raw, tmp_path / "out", tasks=tasks("AD"))
        store = PreparedStore.open(tmp_path / "out")
        for name, expected in (("pleural_effusion_detection", len(set(contents))), ("atelectasis_detection", 1)):
            task = store.task(name)
            assert len(set(task.contents(task.rows("test")))) == expected


class TestStore:
    def test_inputs_are_the_decoded_records(self, simulated_corpus: Path, simulated_store: Path) -> None:
        store = PreparedStore.open(simulated_store)
        for name, spec in load_tasks().items():
            task, source = store.task(name), find_source(spec.source)
            folder = source.find(simulated_corpus)
            assert folder is not None
            row = task.rows("test")[0]
            decoded = source.decode(folder, task.records([row])[0])
            seen = task.inputs([row])[0].modalities
            assert tuple(seen) == spec.encoded_modalities
            for modality, array in seen.items():
                np.testing.assert_array_equal(array, decoded[modality][: spec.selection.hours])

    def test_twenty_four_hours_of_twenty_five_rows(self, simulated_corpus: Path, simulated_store: Path) -> None:
        source = find_source("yaib_mortality24")
        folder = source.find(simulated_corpus)
        assert folder is not None
        task = PreparedStore.open(simulated_store).task("mortality_prediction")
        row = task.rows("private")[0]
        whole = source.decode(folder, task.records([row])[0])["vital_signs"]
        kept = task.inputs([row])[0].modalities["vital_signs"]
        assert len(whole) == 25
        np.testing.assert_array_equal(kept, whole[:24])

    def test_no_group_on_two_sides_and_zero_shot_groups_in_no_training_part(self, simulated_store: Path) -> None:
        store = PreparedStore.open(simulated_store)
        groups = {
            name: {part: {label.group for label in task.labels(task.rows(part))} for part in task.counts}
            for name, task in store.tasks.items()
        }
        for name, spec in load_tasks().items():
            parts = [groups[name][part] for part in ("private", "public", "development", "test")]
            assert sum(map(len, parts)) == len(set().union(*parts))
            for other in spec.split.disjoint_from:
                for part in ("private", "public", "development"):
                    assert not groups[name]["test"] & groups[other][part]

    def test_simulated_data_say_so(self, simulated_store: Path) -> None:
        assert all(task.simulated for task in PreparedStore.open(simulated_store).tasks.values())

    def test_inputs_hold_no_label(self, simulated_store: Path) -> None:
        task = PreparedStore.open(simulated_store).task("covid_detection")
        assert set(vars(task.inputs(task.rows("test"))[0])) == {"id", "modalities", "question"}

    def test_arrays_are_read_only(self, simulated_store: Path) -> None:
        task = PreparedStore.open(simulated_store).task("covid_detection")
        image = task.inputs([0])[0].modalities["image"]
        with pytest.raises(ValueError, match="read-only"):
            image[0, 0] = 1

    def test_a_copied_task_opens_its_own_files(self, simulated_store: Path) -> None:
        task = PreparedStore.open(simulated_store).task("covid_detection")
        image = task.inputs([0])[0].modalities["image"]
        # Copying goes through the state that also travels to the workers of a data loader.
        again = copy.copy(task).inputs([0])[0].modalities["image"]
        np.testing.assert_array_equal(again, image)
        assert not np.shares_memory(again, image)

    def test_records_are_plain_datasets_files(self, simulated_store: Path) -> None:
        from datasets import Dataset

        shard = sorted((simulated_store / "records" / "ptb_xl").glob("*.arrow"))[0]
        assert Dataset.from_file(str(shard)).column_names == ["key", "content", "signal"]

    def test_labels_need_neither_torch_nor_datasets(self, simulated_store: Path) -> None:
        code = (
            "import sys; from pathlib import Path; from fedmeki_bench.data import PreparedStore;"
            f"task = PreparedStore.open(Path({str(simulated_store)!r})).task('covid_detection');"
            "assert task.labels(task.rows('test'));"
            "print(sorted({'torch', 'datasets', 'sklearn', 'wfdb'} & set(sys.modules)))"
        )
        run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert run.stdout.strip() == "[]"

    def test_prepare_asks_nobody(self, simulated_corpus: Path, tmp_path: Path, no_network: None) -> None:
        assert prepare(simulated_corpus, tmp_path, tasks=tasks("CD", "EAD")).tasks


class TestRefused:
    def test_no_store(self, tmp_path: Path) -> None:
        with pytest.raises(BenchError, match="no prepared data"):
            PreparedStore.open(tmp_path)

    def test_other_format(self, tmp_path: Path) -> None:
        (tmp_path / "store.json").write_text('{"format": 0}')
        with pytest.raises(BenchError, match=r"another format(.|\n)*data prepare again"):
            PreparedStore.open(tmp_path)

    def test_changed_spec(self, simulated_store: Path) -> None:
        specs = load_tasks()
        specs["covid_detection"] = replace(specs["covid_detection"], version=99)
        with pytest.raises(BenchError, match=r"spec of covid_detection has changed(.|\n)*data prepare again"):
            PreparedStore.open(simulated_store, tasks=specs)

    def test_training_task_moved_under_its_zero_shot_task(self, raw: Path, tmp_path: Path) -> None:
        prepare(raw, tmp_path / "out", tasks=tasks("EAD", "SNC"))
        prepare(raw, tmp_path / "out", tasks=tasks("EAD"), scheme="released")
        with pytest.raises(BenchError, match="was prepared anew since signal_noise_clarification"):
            PreparedStore.open(tmp_path / "out")

    def test_damaged_files(self, raw: Path, tmp_path: Path) -> None:
        prepare(raw, tmp_path / "out", tasks=tasks("CD"))
        task = PreparedStore.open(tmp_path / "out").task("covid_detection")
        shard = next((tmp_path / "out" / "records" / "covid19_radiography").glob("*.arrow"))
        shard.write_bytes(shard.read_bytes()[:5000])
        with pytest.raises(BenchError, match="damaged"):
            task.inputs([0])
        index = tmp_path / "out" / "tasks" / "covid_detection" / "index.parquet"
        index.write_bytes(index.read_bytes()[:-9])
        with pytest.raises(BenchError, match="not the one that was prepared"):
            PreparedStore.open(tmp_path / "out").task("covid_detection").rows("test")

    def test_unknown_names(self, simulated_store: Path) -> None:
        store = PreparedStore.open(simulated_store)
        with pytest.raises(UsageError, match="did you mean covid_detection"):
            store.task("covid_detektion")
        with pytest.raises(UsageError, match="did you mean test"):
            store.task("covid_detection").rows("tests")  # type: ignore[arg-type]

    def test_nothing_there(self, tmp_path: Path) -> None:
        with pytest.raises(BenchError, match="nothing can be prepared"):
            prepare(tmp_path, tmp_path / "out", tasks=load_tasks())
        assert not (tmp_path / "out").exists()

    def test_unfinished_simulation(self, raw: Path, tmp_path: Path) -> None:
        (raw / "SIMULATION_UNFINISHED").touch()
        with pytest.raises(BenchError, match="simulation is not finished"):
            prepare(raw, tmp_path / "out", tasks=tasks("CD"))

    def test_released_scheme_where_it_is_not_known(self, raw: Path, tmp_path: Path) -> None:
        spec = load_tasks()["covid_detection"]
        wanted = {spec.id: replace(spec, split=replace(spec.split, scheme="released"))}
        with pytest.raises(UsageError, match="cannot be reproduced"):
            prepare(raw, tmp_path / "out", tasks=wanted)


class TestLosses:
    """What cannot be used is listed and counted."""

    def spoil(self, raw: Path, count: int) -> list[Path]:
        paths = sorted((raw / "COVID-19_Radiography_Dataset" / "COVID" / "images").glob("*.png"))[:count]
        for path in paths:
            path.write_bytes(path.read_bytes()[:100])
        return paths

    def test_corrupt_records_are_all_named(self, raw: Path, tmp_path: Path) -> None:
        paths = self.spoil(raw, 3)
        with pytest.raises(FaultsError, match="--skip-corrupt 3") as caught:
            prepare(raw, tmp_path / "out", tasks=tasks("CD"), skip_corrupt=2)
        assert caught.value.exit_code == 1 and all(str(path) in str(caught.value) for path in paths)

    def test_a_failed_prepare_leaves_the_store_as_it_was(self, raw: Path, tmp_path: Path) -> None:
        prepare(raw, tmp_path / "out", tasks=tasks("CD"))
        before = files(tmp_path / "out")
        self.spoil(raw, 1)
        with pytest.raises(FaultsError):
            prepare(raw, tmp_path / "out", tasks=tasks("CD"))
        assert before.items() <= files(tmp_path / "out").items()
        task = PreparedStore.open(tmp_path / "out").task("covid_detection")
        assert task.inputs(task.rows("private"))

    def test_skipped_records_are_counted_and_move_nobody(self, raw: Path, tmp_path: Path) -> None:
        prepare(raw, tmp_path / "whole", tasks=tasks("CD"))
        paths = self.spoil(raw, 2)
        report = prepare(raw, tmp_path / "out", tasks=tasks("CD"), skip_corrupt=2)
        before, after = (PreparedStore.open(tmp_path / name).task("covid_detection") for name in ("whole", "out"))
        gone = {f"COVID/images/{path.name}" for path in paths}
        assert after.skipped == 2 == len(report.corrupt)
        for part in before.counts:
            own = [label.id for label in before.labels(before.rows(part)) if label.id not in gone]
            assert own == [label.id for label in after.labels(after.rows(part))]
        lost = (tmp_path / "out/tasks/covid_detection/left_out.jsonl").read_text().splitlines()
        assert {json.loads(line)["record"] for line in lost} == gone

    def test_missing_files_are_counted_and_named(self, raw: Path, tmp_path: Path) -> None:
        paths = sorted((raw / "ptb-xl").rglob("*.dat"))[:4]
        for path in paths:
            path.unlink()
        report = prepare(raw, tmp_path / "out", tasks=tasks("EAD"))
        assert report.tasks["ecg_abnormal_detection"].missing == (4, 4)
        lost = (tmp_path / "out/tasks/ecg_abnormal_detection/left_out.jsonl").read_text().splitlines()
        assert {json.loads(line)["file"] for line in lost} == {str(path.relative_to(raw / "ptb-xl")) for path in paths}

    def test_tasks_without_files_are_not_available_and_the_others_go_on(self, raw: Path, tmp_path: Path) -> None:
        shutil.rmtree(raw / "slake" / "Slake1.0" / "imgs")
        shutil.rmtree(raw / "vqa-rad")
        prepare(raw, tmp_path / "out", tasks=tasks("CD", "MS", "MR"))
        store = PreparedStore.open(tmp_path / "out")
        assert list(store.tasks) == ["covid_detection"]
        assert "imgs/" in store.unavailable["medvqa_slake"] and "not found" in store.unavailable["medvqa_rad"]
        with pytest.raises(BenchError, match="medvqa_rad is not available"):
            store.task("medvqa_rad")


@pytest.mark.realdata
def test_real_data_prepare_with_the_counts_of_their_readme(realdata: Path, tmp_path: Path) -> None:
    report = prepare(realdata, tmp_path, tasks=load_tasks())
    counts = {name: [*task.counts.values()] for name, task in report.tasks.items()}
    assert counts == {
        "covid_detection": [256, 36, 37, 36, 0],
        "ecg_abnormal_detection": [350, 50, 50, 50, 0],
        "mortality_prediction": [1026, 147, 146, 147, 0],
        "ectopic_beats_detection": [0, 0, 0, 10, 490],
        "sepsis_prediction": [0, 0, 0, 465, 546],
        "medvqa_rad": [0, 0, 0, 1000, 2515],
        "signal_noise_clarification": [0, 0, 0, 47, 366],
    }
    assert not any(task.simulated for task in report.tasks.values())
    assert set(report.unavailable) == set(load_tasks()) - set(counts)
