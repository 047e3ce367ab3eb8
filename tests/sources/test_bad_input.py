"""Bad input: one clear error that names file and line, never a silent drop."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pydicom
import pytest
import wfdb
from PIL import Image

from fedmeki_bench.errors import BenchError, FaultsError
from fedmeki_bench.sources import SOURCES, Source
from fedmeki_bench.specs import Selection

SELECTIONS = {
    "ptb_xl": Selection(label="abnormal"),
    "chexpert": Selection(column="Atelectasis"),
    "slake": Selection(language="en"),
    "ecg_qa": Selection(attribute_type="noise"),
}
Copy = Callable[..., tuple[Source, Path]]


@pytest.fixture
def copy(simulated_corpus: Path, tmp_path: Path) -> Copy:
    """A private copy of one source: its adapter and folder."""

    def make(name: str) -> tuple[Source, Path]:
        source = SOURCES[name]
        found = source.find(simulated_corpus)
        assert found is not None
        folder = tmp_path / found.relative_to(simulated_corpus)
        shutil.copytree(found, folder)
        return source, folder

    return make


def first_record(source: Source, folder: Path) -> str:
    return sorted(item.record for item in source.items(folder, SELECTIONS.get(source.name, Selection())))[0]


def edit_table(path: Path, change: Callable[[list[list[str]]], None]) -> None:
    with path.open(newline="") as handle:
        rows = list(csv.reader(handle))
    change(rows)
    with path.open("w", newline="") as handle:
        csv.writer(handle).writerows(rows)


def listing_error(source: Source, folder: Path) -> str:
    with pytest.raises(BenchError) as caught:
        source.items(folder, SELECTIONS.get(source.name, Selection()))
    return str(caught.value)


def decode_error(source: Source, folder: Path, record: str) -> str:
    with pytest.raises(BenchError) as caught:
        source.decode(folder, record)
    return str(caught.value)


class TestImages:
    def test_truncated_png(self, copy: Copy) -> None:
        source, folder = copy("covid19_radiography")
        path = folder / (record := first_record(source, folder))
        path.write_bytes(path.read_bytes()[:-2000])
        assert path.name in decode_error(source, folder, record)

    def test_text_named_png(self, copy: Copy) -> None:
        source, folder = copy("covid19_radiography")
        path = folder / (record := first_record(source, folder))
        path.write_text("not found")
        assert "not an image" in decode_error(source, folder, record)

    def test_jpeg_named_png(self, copy: Copy) -> None:
        source, folder = copy("covid19_radiography")
        path = folder / (record := first_record(source, folder))
        Image.fromarray(np.zeros((64, 64), np.uint8)).save(path, format="JPEG")
        message = decode_error(source, folder, record)
        assert "expected: PNG" in message and "found: JPEG" in message

    def test_sixteen_bit_png(self, copy: Copy) -> None:
        source, folder = copy("covid19_radiography")
        path = folder / (record := first_record(source, folder))
        Image.fromarray(np.full((64, 64), 40000, np.uint16)).save(path)
        assert "expected: 8 bits a channel" in decode_error(source, folder, record)

    def test_truncated_jpeg(self, copy: Copy) -> None:
        source, folder = copy("chexpert")
        path = folder / (record := first_record(source, folder))
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        assert path.name in decode_error(source, folder, record)

    def test_colour_is_kept_only_where_it_is(self, copy: Copy) -> None:
        source, folder = copy("slake")
        record = first_record(source, folder)
        path = source.files(folder, record)[0]
        Image.new("RGB", (50, 40), (200, 10, 10)).save(path, quality=100)
        assert source.decode(folder, record)["image"].shape == (224, 224, 3)
        Image.new("RGB", (50, 40), (90, 90, 90)).save(path, quality=100)
        assert source.decode(folder, record)["image"].shape == (224, 224)


class TestDicom:
    def test_truncated(self, copy: Copy) -> None:
        source, folder = copy("rsna_pneumonia")
        record = first_record(source, folder)
        path = source.files(folder, record)[0]
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        assert path.name in decode_error(source, folder, record)

    def test_no_dicom(self, copy: Copy) -> None:
        source, folder = copy("rsna_pneumonia")
        record = first_record(source, folder)
        source.files(folder, record)[0].write_text("<html>")
        assert "a whole DICOM image" in decode_error(source, folder, record)

    def test_colour_pixels(self, copy: Copy) -> None:
        source, folder = copy("rsna_pneumonia")
        record = first_record(source, folder)
        path = source.files(folder, record)[0]
        data = pydicom.dcmread(path)
        data.set_pixel_data(np.zeros((8, 8, 3), np.uint8), "RGB", 8)
        data.save_as(path)
        message = decode_error(source, folder, record)
        assert "wrong type" in message and "RGB, 3 samples" in message


class TestSignals:
    def rewrite(self, folder: Path, record: str, signal: np.ndarray, names: list[str]) -> None:
        path = folder / record
        path.with_suffix(".dat").unlink()
        wfdb.wrsamp(
            path.name, fs=100, units=["mV"] * len(names), sig_name=names, p_signal=signal,
            fmt=["16"] * len(names), write_dir=str(path.parent),
        )  # fmt: skip

    @pytest.fixture
    def record(self, copy: Copy) -> tuple[Source, Path, str, np.ndarray, list[str]]:
        source, folder = copy("ptb_xl")
        record = first_record(source, folder)
        known = wfdb.rdrecord(str(folder / record))
        return source, folder, record, known.p_signal, list(known.sig_name)

    def test_leads_in_another_order_are_put_in_order(self, record) -> None:
        source, folder, name, signal, leads = record
        before = source.decode(folder, name)["signal"]
        self.rewrite(folder, name, signal[:, ::-1], leads[::-1])
        np.testing.assert_allclose(source.decode(folder, name)["signal"], before, atol=2e-3)

    def test_eleven_leads(self, record) -> None:
        source, folder, name, signal, leads = record
        self.rewrite(folder, name, signal[:, :11], leads[:11])
        message = decode_error(source, folder, name)
        assert f"{name}.hea" in message and "12 leads" in message and "(1000, 11)" in message

    def test_samples_that_are_not_a_number(self, record) -> None:
        source, folder, name, signal, leads = record
        signal[500, 3] = np.nan
        self.rewrite(folder, name, signal, leads)
        assert "1 samples that are not a number" in decode_error(source, folder, name)

    def test_truncated(self, record) -> None:
        source, folder, name, *_ = record
        path = (folder / name).with_suffix(".dat")
        path.write_bytes(path.read_bytes()[:-240])
        assert name in decode_error(source, folder, name)

    def test_one_flipped_byte(self, record) -> None:
        source, folder, name, *_ = record
        path = (folder / name).with_suffix(".dat")
        path.write_bytes(path.read_bytes()[:-1] + bytes([path.read_bytes()[-1] ^ 1]))
        assert "checksum" in decode_error(source, folder, name)

    def test_damaged_header(self, record) -> None:
        source, folder, name, *_ = record
        (folder / f"{name}.hea").write_text("rubbish")
        assert f"{name}.hea" in decode_error(source, folder, name)


class TestTables:
    def test_byte_order_mark_changes_nothing(self, copy: Copy) -> None:
        source, folder = copy("ptb_xl")
        before = source.items(folder, SELECTIONS["ptb_xl"])
        path = folder / "ptbxl_database.csv"
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
        assert source.items(folder, SELECTIONS["ptb_xl"]) == before

    def test_missing_column(self, copy: Copy) -> None:
        source, folder = copy("ptb_xl")
        path = folder / "ptbxl_database.csv"
        edit_table(path, lambda rows: rows[0].__setitem__(rows[0].index("scp_codes"), "codes"))
        assert f"{path}:1: scp_codes: expected a column of this name" in listing_error(source, folder)

    def test_empty_table(self, copy: Copy) -> None:
        source, folder = copy("ptb_xl")
        path = folder / "ptbxl_database.csv"
        path.write_text(path.read_text().splitlines()[0] + "\n")
        assert "expected at least one row; found an empty table" in listing_error(source, folder)
        path.write_text("")
        assert f"{path}:1: ecg_id" in listing_error(source, folder)

    def test_row_cut_off(self, copy: Copy) -> None:
        source, folder = copy("ptb_xl")
        path = folder / "ptbxl_database.csv"
        edit_table(path, lambda rows: rows.__setitem__(3, rows[3][:5]))
        assert f"{path}:4: expected 28 fields; found 5" in listing_error(source, folder)

    def test_every_fault_is_reported_at_once(self, copy: Copy) -> None:
        source, folder = copy("ptb_xl")
        path = folder / "ptbxl_database.csv"

        def spoil(rows: list[list[str]]) -> None:
            rows[2][rows[0].index("scp_codes")] = "{'NORM': "
            rows[5][rows[0].index("patient_id")] = "unknown"

        edit_table(path, spoil)
        message = listing_error(source, folder)
        assert f"{path}:3" in message and f"{path}:6" in message

    def test_duplicated_id(self, copy: Copy) -> None:
        source, folder = copy("ptb_xl")
        path = folder / "ptbxl_database.csv"
        edit_table(path, lambda rows: rows[4].__setitem__(0, rows[2][0]))
        assert f"{path}:5: ecg_id: expected an id of its own (first at {path}:3)" in listing_error(source, folder)

    def test_chexpert_label_that_is_none(self, copy: Copy) -> None:
        source, folder = copy("chexpert")
        edit_table(folder / "valid.csv", lambda rows: rows[1].__setitem__(rows[0].index("Atelectasis"), "yes"))
        assert "valid.csv:2: Atelectasis: expected 1, 0, -1 or nothing; found 'yes'" in listing_error(source, folder)

    def test_rsna_tables_that_contradict_each_other(self, copy: Copy) -> None:
        source, folder = copy("rsna_pneumonia")
        path = folder / "stage_2_train_labels.csv"
        edit_table(path, lambda rows: rows[1].__setitem__(5, "1" if rows[1][5] == "0" else "0"))
        assert f"{path}:2: Target: expected 1 exactly for class Lung Opacity" in listing_error(source, folder)

    def test_rsna_unknown_class(self, copy: Copy) -> None:
        source, folder = copy("rsna_pneumonia")
        edit_table(folder / "stage_2_detailed_class_info.csv", lambda rows: rows[1].__setitem__(1, "normal"))
        assert "csv:2: class" in (message := listing_error(source, folder)) and "did you mean Normal?" in message


class TestQuestions:
    def test_json_that_is_cut_off(self, copy: Copy) -> None:
        source, folder = copy("vqa_rad")
        path = folder / "testset.json"
        path.write_text(path.read_text()[:-20])
        assert f"{path}:" in listing_error(source, folder)

    def test_duplicated_question_id(self, copy: Copy) -> None:
        source, folder = copy("vqa_rad")
        path = folder / "trainset.json"
        rows = json.loads(path.read_text())
        rows[1]["qid"] = rows[0]["qid"]
        path.write_text(json.dumps(rows))
        assert f"{path}[1]: qid" in listing_error(source, folder)

    def test_missing_answer(self, copy: Copy) -> None:
        source, folder = copy("slake")
        path = folder / "test.json"
        rows = json.loads(path.read_text())
        del rows[2]["answer"]
        path.write_text(json.dumps(rows))
        assert f"{path}[2]: answer: expected a value; found none" in listing_error(source, folder)

    def test_question_about_an_unknown_record(self, simulated_corpus: Path, tmp_path: Path) -> None:
        root = tmp_path / "raw"
        for name in ("ecg-qa", "ptb-xl"):
            shutil.copytree(simulated_corpus / name, root / name)
        path = sorted((root / "ecg-qa/ecgqa/ptbxl/template").rglob("*.json"))[0]
        rows = json.loads(path.read_text())
        noise = next(
            number for number, row in enumerate(rows) if row["attribute_type"] == "noise" and len(row["ecg_id"]) == 1
        )
        rows[noise]["ecg_id"] = [999999]
        path.write_text(json.dumps(rows))
        assert f"{path}[{noise}]: ecg_id" in listing_error(SOURCES["ecg_qa"], root)


class TestStays:
    def change(self, folder: Path, table: str, edit: Callable[[pd.DataFrame], pd.DataFrame]) -> Path:
        path = sorted(folder.rglob(table))[0]
        edit(pd.read_parquet(path)).to_parquet(path)
        return path

    def test_hours_that_repeat(self, copy: Copy) -> None:
        source, folder = copy("yaib_mortality24")
        path = self.change(folder, "dyn.parquet", lambda frame: pd.concat([frame, frame.iloc[[3]]]))
        assert f"{path}: stay" in (message := listing_error(source, folder)) and "one row an hour" in message

    def test_an_hour_that_is_missing(self, copy: Copy) -> None:
        source, folder = copy("yaib_sepsis")
        self.change(folder, "dyn.parquet", lambda frame: frame.drop(index=frame.index[2]))
        assert "one row an hour from hour 0, so hour 2; found hour 3" in listing_error(source, folder)

    def test_stay_without_rows(self, copy: Copy) -> None:
        source, folder = copy("yaib_mortality24")
        self.change(folder, "dyn.parquet", lambda frame: frame[frame.stay_id != frame.stay_id.iloc[0]])
        assert "expected hourly rows for every stay of outc.parquet; found none for" in listing_error(source, folder)

    def test_stay_twice(self, copy: Copy) -> None:
        source, folder = copy("yaib_mortality24")
        path = self.change(folder, "outc.parquet", lambda frame: pd.concat([frame, frame.iloc[[0]]]))
        assert f"{path}: stay_id: expected one row a stay" in listing_error(source, folder)

    def test_missing_feature(self, copy: Copy) -> None:
        source, folder = copy("yaib_mortality24")
        path = self.change(folder, "dyn.parquet", lambda frame: frame.drop(columns="lact"))
        assert f"{path}: lact: expected a column of this name" in listing_error(source, folder)

    def test_infinite_value(self, copy: Copy) -> None:
        source, folder = copy("yaib_mortality24")
        path = self.change(folder, "dyn.parquet", lambda frame: frame.assign(hr=np.inf))
        record = next(item.record for item in source.items(folder, Selection()) if item.site == path.parent.name)
        assert f"{path}: stay {record}" in decode_error(source, folder, record)

    def test_no_parquet(self, copy: Copy) -> None:
        source, folder = copy("yaib_mortality24")
        sorted(folder.rglob("sta.parquet"))[0].write_text("text")
        assert "cannot read a parquet file" in listing_error(source, folder)


class TestPaths:
    def test_path_that_leaves_the_data_set(self, copy: Copy) -> None:
        source, folder = copy("ptb_xl")
        path = folder / "ptbxl_database.csv"
        edit_table(path, lambda rows: rows[1].__setitem__(rows[0].index("filename_lr"), "../../secret"))
        assert f"{path}:2: filename_lr: expected a path inside the data set" in listing_error(source, folder)

    def test_absolute_path(self, copy: Copy) -> None:
        source, folder = copy("vqa_rad")
        path = folder / "trainset.json"
        rows = json.loads(path.read_text())
        rows[0]["image_name"] = "/etc/passwd"
        path.write_text(json.dumps(rows))
        assert f"{path}[0]: image_name" in listing_error(source, folder)

    def test_link_out_of_the_data_set(self, copy: Copy, tmp_path: Path) -> None:
        source, folder = copy("covid19_radiography")
        path = folder / (record := first_record(source, folder))
        outside = tmp_path / "outside.png"
        shutil.move(path, outside)
        path.symlink_to(outside)
        message = decode_error(source, folder, record)
        assert "outside its data set" in message and str(outside) in message

    def test_a_data_set_may_itself_be_linked_under_the_root(self, copy: Copy, tmp_path: Path) -> None:
        source, folder = copy("ptb_xl")
        (tmp_path / "root").mkdir()
        (tmp_path / "root/ptb").symlink_to(folder, target_is_directory=True)
        found = source.find(tmp_path / "root")
        assert found == tmp_path / "root/ptb" and source.decode(found, first_record(source, found))

    def test_the_same_source_twice(self, copy: Copy) -> None:
        source, folder = copy("vqa_rad")
        shutil.copytree(folder, folder.parent / "vqa-rad-copy")
        with pytest.raises(BenchError, match="more than once"):
            source.find(folder.parent)

    def test_missing_root(self, tmp_path: Path) -> None:
        with pytest.raises(BenchError, match="does not exist"):
            SOURCES["slake"].find(tmp_path / "nowhere")

    def test_faults_exit_with_1(self, copy: Copy) -> None:
        source, folder = copy("ptb_xl")
        (folder / "ptbxl_database.csv").write_text("")
        with pytest.raises(FaultsError) as caught:
            source.items(folder, SELECTIONS["ptb_xl"])
        assert caught.value.exit_code == 1
