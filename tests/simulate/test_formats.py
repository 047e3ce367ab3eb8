"""Each source's files, read by the libraries that define their formats."""

from __future__ import annotations

import ast
import csv
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


def table(path: Path) -> list[dict[str, str]]:
    """Rows of a CSV file."""
    with path.open(newline="", encoding="utf-8") as handle:
        return list(csv.DictReader(handle))


def test_covid_images_are_grey_png_of_299_pixels(simulated) -> None:
    files = sorted((simulated.root / "COVID-19_Radiography_Dataset").rglob("*.png"))
    assert Counter(path.parts[-3] for path in files) == {"COVID": 5, "Normal": 15}
    for path in files:
        with Image.open(path) as image:
            assert (image.format, image.mode, image.size) == ("PNG", "L", (299, 299))


class TestRsna:
    @pytest.fixture
    def folder(self, simulated) -> Path:
        return simulated.root / "rsna-pneumonia"

    def test_every_file_is_dicom_of_one_grey_frame(self, folder: Path) -> None:
        import pydicom

        kinds = set()
        for path in (folder / "stage_2_train_images").iterdir():
            data = pydicom.dcmread(path)
            assert data.PatientID == path.stem and data.PatientSex in "FM" and data.ViewPosition in ("AP", "PA")
            assert 0 < int(data.PatientAge.rstrip("Y")) < 100
            assert data.pixel_array.shape == (data.Rows, data.Columns) == (256, 256)
            kinds.add((data.file_meta.TransferSyntaxUID.name, data.BitsStored, data.PhotometricInterpretation))
        assert {bits for _, bits, _ in kinds} == {8, 12}
        assert {name for name, _, _ in kinds} >= {"JPEG Baseline (Process 1)", "RLE Lossless"}
        assert {kind for _, _, kind in kinds} == {"MONOCHROME1", "MONOCHROME2"}

    def test_identifiers_are_unique(self, folder: Path) -> None:
        import pydicom

        read = [pydicom.dcmread(path, stop_before_pixels=True) for path in folder.rglob("*.dcm")]
        assert len({data.SOPInstanceUID for data in read}) == len(read)

    def test_tables_agree_and_repeat_images_with_several_boxes(self, folder: Path) -> None:
        labels, classes = (
            table(folder / "stage_2_train_labels.csv"),
            table(folder / "stage_2_detailed_class_info.csv"),
        )
        assert [row["patientId"] for row in labels] == [row["patientId"] for row in classes]
        files = {path.stem for path in folder.rglob("*.dcm")}
        assert {row["patientId"] for row in labels} == files and len(labels) > len(files)
        for label, row in zip(labels, classes, strict=True):
            boxed = [label[name] != "" for name in ("x", "y", "width", "height")]
            assert set(boxed) == {row["class"] == "Lung Opacity"} == {label["Target"] == "1"}
        repeated = {name for name, rows in Counter(row["patientId"] for row in labels).items() if rows > 1}
        assert {row["class"] for row in classes if row["patientId"] in repeated} == {"Lung Opacity"}


class TestPtbXl:
    @pytest.fixture
    def folder(self, simulated) -> Path:
        return simulated.root / "ptb-xl"

    @pytest.fixture
    def rows(self, folder: Path) -> list[dict[str, str]]:
        return table(folder / "ptbxl_database.csv")

    def test_records_are_wfdb_as_in_the_source(self, folder: Path, rows: list[dict[str, str]]) -> None:
        import wfdb

        for row in rows:
            record = wfdb.rdrecord(str(folder / row["filename_lr"]))
            assert record.p_signal.shape == (1000, 12) and record.fs == 100 and set(record.units) == {"mV"}
            assert record.sig_name == [
                "I",
                "II",
                "III",
                "AVR",
                "AVL",
                "AVF",
                "V1",
                "V2",
                "V3",
                "V4",
                "V5",
                "V6",
            ]
            assert record.fmt == ["16"] * 12 and record.adc_gain == [1000.0] * 12
            assert np.abs(record.p_signal).max() < 10

    def test_limb_leads_follow_from_each_other(self, folder: Path, rows: list[dict[str, str]]) -> None:
        import wfdb

        clean = [row for row in rows if not any(row[name] for name in row if "noise" in name or "drift" in name)]
        signal = wfdb.rdrecord(str(folder / clean[0]["filename_lr"])).p_signal
        assert np.corrcoef(signal[:, 1] - signal[:, 0], signal[:, 2])[0, 1] > 0.5

    def test_some_patients_have_several_records_in_one_fold(self, rows: list[dict[str, str]]) -> None:
        folds: dict[str, set[str]] = {}
        for row in rows:
            folds.setdefault(row["patient_id"], set()).add(row["strat_fold"])
        assert len(folds) < len(rows) and all(len(found) == 1 for found in folds.values())

    def test_labels_are_written_as_the_source_writes_them(self, rows: list[dict[str, str]]) -> None:
        codes = [ast.literal_eval(row["scp_codes"]) for row in rows]
        assert all(isinstance(value, float) for code in codes for value in code.values())
        assert {code.get("NORM", 0) > 50 for code in codes} == {True, False}
        texts = {row["extra_beats"] for row in rows}
        assert any("ES" in text for text in texts)
        assert any("es" in text.lower() and "es" not in text.lower().replace("alles", "") for text in texts)

    def test_statements_describe_every_code(self, folder: Path, rows: list[dict[str, str]]) -> None:
        known = {row[""] for row in table(folder / "scp_statements.csv")}
        assert {code for row in rows for code in ast.literal_eval(row["scp_codes"])} <= known


class TestEcgQa:
    @pytest.fixture
    def folder(self, simulated) -> Path:
        return simulated.root / "ecg-qa" / "ecgqa" / "ptbxl"

    @staticmethod
    def questions(folder: Path, wording: str) -> list[dict]:
        return [item for path in sorted((folder / wording).rglob("*.json")) for item in json.loads(path.read_text())]

    def test_answers_follow_from_the_records_table(self, simulated, folder: Path) -> None:
        rows = {row["ecg_id"]: row for row in table(simulated.root / "ptb-xl" / "ptbxl_database.csv")}
        items = [item for item in self.questions(folder, "template") if len(item["ecg_id"]) == 1]
        noise = [item for item in items if item["attribute_type"] == "noise"]
        assert len(noise) == 2 * len(rows) and {item["question_type"] for item in noise} == {
            "single-verify",
            "single-query",
        }
        for item in noise:
            column = item["attribute"][0].replace(" ", "_")
            present = rows[str(item["ecg_id"][0])][column] != ""
            if "lead" not in item["question"]:
                assert item["answer"] == ["yes" if present else "no"]
            elif not present:
                assert item["answer"] in (["no"], ["none"])

    def test_paraphrases_ask_the_same_in_other_words(self, folder: Path) -> None:
        pairs = zip(self.questions(folder, "template"), self.questions(folder, "paraphrased"), strict=True)
        for template, paraphrase in pairs:
            assert template["question"] != paraphrase["question"]
            assert {**template, "question": ""} == {**paraphrase, "question": ""}

    def test_parts_list_disjoint_records_of_disjoint_patients(self, simulated, folder: Path) -> None:
        patients = {row["ecg_id"]: row["patient_id"] for row in table(simulated.root / "ptb-xl" / "ptbxl_database.csv")}
        listed = {}
        for part in ("train", "valid", "test"):
            lines = (folder / f"{part}_ecgs.tsv").read_text().splitlines()
            listed[part] = {patients[line.split("\t")[1]] for line in lines}
            asked = {str(record) for item in self.part(folder, part) for record in item["ecg_id"]}
            assert {patients[record] for record in asked} <= listed[part]
        assert sum(map(len, listed.values())) == len(set(patients.values()))

    @staticmethod
    def part(folder: Path, part: str) -> list[dict]:
        return json.loads((folder / "template" / part / "0.json").read_text())


class TestYaib:
    @pytest.fixture
    def tables(self, simulated):
        import pyarrow.parquet as pq

        def read(cohort: str, name: str):
            folders = sorted((simulated.root / "yaib" / cohort).iterdir())
            return {folder.name: pq.read_table(folder / f"{name}.parquet") for folder in folders}

        return read

    def test_schemas_are_those_of_the_source(self, tables) -> None:
        for cohort, label in (
            ("mortality24", ["stay_id", "label"]),
            ("sepsis", ["stay_id", "time", "label"]),
        ):
            for name in tables(cohort, "dyn"):
                dyn, sta, outc = (tables(cohort, kind)[name].schema for kind in ("dyn", "sta", "outc"))
                assert str(dyn.field("stay_id").type) == "int32" and str(dyn.field("time").type) == "duration[s]"
                assert {str(dyn.field(column).type) for column in dyn.names[2:]} == {"double"} and len(dyn.names) == 50
                assert sta.names == ["stay_id", "age", "sex", "height", "weight"] and outc.names == label
                assert str(outc.field("label").type) == ("int32" if cohort == "mortality24" else "bool")

    def test_most_values_are_missing(self, tables) -> None:
        for cohort in ("mortality24", "sepsis"):
            for dyn in tables(cohort, "dyn").values():
                missing = sum(dyn.column(name).null_count for name in dyn.column_names[2:])
                assert 0.80 < missing / (48 * dyn.num_rows) < 0.88

    def test_mortality_has_25_hours_and_sepsis_up_to_a_week(self, tables) -> None:
        for dyn in tables("mortality24", "dyn").values():
            assert set(Counter(dyn.column("stay_id").to_pylist()).values()) == {25}
        for dyn in tables("sepsis", "dyn").values():
            assert all(13 <= hours <= 169 for hours in Counter(dyn.column("stay_id").to_pylist()).values())

    def test_a_stay_of_both_cohorts_has_the_same_values(self, tables) -> None:
        shared = 0
        for name, mortality in tables("mortality24", "dyn").items():
            sepsis = tables("sepsis", "dyn")[name].to_pandas().set_index(["stay_id", "time"])
            first = mortality.to_pandas().set_index(["stay_id", "time"])
            both = first.index.intersection(sepsis.index)
            assert first.loc[both].equals(sepsis.loc[both])
            shared += len(both) // 25
        assert shared == 10

    def test_sepsis_is_labelled_by_the_hour_around_an_onset(self, tables) -> None:
        positive = 0
        for outc in tables("sepsis", "outc").values():
            for _, hours in outc.to_pandas().groupby("stay_id"):
                labels = hours["label"].to_numpy()
                positive += bool(labels.any())
                assert labels.sum() <= 13 and np.abs(np.diff(labels.astype(int))).sum() <= 2
        assert positive == 4


def test_chexpert_has_one_row_an_image_and_shared_study_labels(simulated) -> None:
    folder = simulated.root / "chexpert"
    rows = table(folder / "CheXpert-v1.0" / "valid.csv")
    assert len(rows) == 20 and len(rows[0]) == 19
    studies: dict[str, set[tuple[str, ...]]] = {}
    for row in rows:
        with Image.open(folder / row["Path"]) as image:
            assert (image.format, image.mode) == ("JPEG", "L")
        assert set(list(row.values())[5:]) <= {"0.0", "1.0"}
        studies.setdefault(row["Path"].split("/")[2], set()).add(tuple(list(row.values())[5:]))
    assert len(studies) < 20 and all(len(labels) == 1 for labels in studies.values())


def test_vqa_rad_names_images_that_are_there(simulated) -> None:
    folder = simulated.root / "vqa-rad"
    items = [item for name in ("trainset", "testset") for item in json.loads((folder / f"{name}.json").read_text())]
    assert len({item["qid"] for item in items}) == len(items) == 20
    assert {item["image_name"] for item in items} == {path.name for path in (folder / "images").iterdir()}
    assert {item["answer_type"] for item in items} == {"OPEN", "CLOSED"}
    for path in (folder / "images").iterdir():
        with Image.open(path) as image:
            assert image.format == "JPEG"


def test_slake_asks_in_two_languages(simulated) -> None:
    folder = simulated.root / "slake" / "Slake1.0"
    qids = set()
    for name in ("train", "validate", "test"):
        items = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
        assert Counter(item["q_lang"] for item in items) == {"en": 20, "zh": 20}
        for item in items:
            chinese = any("\u4e00" <= letter <= "\u9fff" for letter in item["question"])
            assert chinese == (item["q_lang"] == "zh") and (folder / "imgs" / item["img_name"]).is_file()
        qids |= {item["qid"] for item in items}
    assert len(qids) == 120
