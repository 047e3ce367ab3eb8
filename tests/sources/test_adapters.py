"""What each adapter yields: items, groups, labels, decoded records."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import JPEG2000Lossless

from fedmeki_bench.errors import BenchError, UsageError
from fedmeki_bench.sources import SOURCES, YES, find_source
from fedmeki_bench.sources.ptb_xl import ECTOPIC
from fedmeki_bench.sources.yaib import FEATURES
from fedmeki_bench.specs import Selection, load_tasks

SHAPES = {"image": [(224, 224), (224, 224, 3)], "signal": [(12, 1000)]}


@pytest.mark.parametrize("task", load_tasks())
def test_every_task_has_items_and_records(task: str, simulated_corpus: Path) -> None:
    spec = load_tasks()[task]
    source = find_source(spec.source)
    folder = source.find(simulated_corpus)
    assert folder is not None
    items = source.items(folder, spec.selection)
    assert len({item.id for item in items}) == len(items) > 0
    assert all((item.question is None) == (spec.kind == "yes_no") for item in items)
    record = source.decode(folder, items[0].record)
    assert tuple(record) == source.modalities and set(spec.encoded_modalities) <= set(record)
    for modality, array in record.items():
        if modality in SHAPES:
            assert array.shape in SHAPES[modality]
        else:
            assert array.shape[1] == len(FEATURES[modality])
        assert array.dtype == (np.uint8 if modality == "image" else np.float32)


@pytest.mark.parametrize("task", load_tasks())
def test_nothing_is_found_in_an_empty_folder(task: str, tmp_path: Path) -> None:
    assert find_source(load_tasks()[task].source).find(tmp_path) is None


def test_unknown_source_names_the_close_one() -> None:
    with pytest.raises(UsageError, match="did you mean ptb_xl"):
        find_source("ptbxl")


def test_missing_files_are_counted_and_named(simulated_corpus: Path, tmp_path: Path) -> None:
    folder = tmp_path / "ptb-xl"
    shutil.copytree(simulated_corpus / "ptb-xl", folder)
    gone = sorted(folder.rglob("*.dat"))[3]
    gone.unlink()
    found = SOURCES["ptb_xl"].describe(folder, Selection(label="abnormal"))
    assert list(found.missing.values()) == [str(gone.relative_to(folder))]
    assert found.items == found.records == sum(found.targets.values())


def test_rsna_rows_are_boxes_not_images(simulated_corpus: Path) -> None:
    source = SOURCES["rsna_pneumonia"]
    folder = source.find(simulated_corpus)
    assert folder is not None
    listing = source.listing(folder, Selection())
    repeats = [item for item in listing.items if item.repeat_of is not None]
    assert repeats and all(item.target == YES and item.group == item.repeat_of for item in repeats)
    assert [name for name in listing.rows if name] == [item.id for item in listing.items]


def test_slake_language_is_a_choice(simulated_corpus: Path) -> None:
    source = SOURCES["slake"]
    folder = source.find(simulated_corpus)
    assert folder is not None
    english, chinese, both = (
        {item.id for item in source.items(folder, Selection(language=language))} for language in ("en", "zh", "all")
    )
    assert english and chinese and english | chinese == both and not english & chinese


def test_chexpert_reads_the_column_of_the_task(simulated_corpus: Path) -> None:
    source = SOURCES["chexpert"]
    folder = source.find(simulated_corpus)
    assert folder is not None
    columns = ("Enlarged Cardiomediastinum", "Pleural Effusion", "Atelectasis")
    targets = [tuple(item.target for item in source.items(folder, Selection(column=name))) for name in columns]
    assert len(set(targets)) == 3
    with pytest.raises(
        BenchError, match="Atelectases: expected a column of this name; found none; did you mean Atelectasis"
    ):
        source.items(folder, Selection(column="Atelectases"))


@pytest.mark.parametrize("text", ["1ES", "VES", "SVES", "VES1,alles", "2ES(2Typen)", "1Es", "VES,SVES2,alles"])
def test_ectopic_codes(text: str) -> None:
    assert ECTOPIC.search(text)


@pytest.mark.parametrize("text", ["", "1,alles", "2,V1-V4", "period."])
def test_no_ectopic_code(text: str) -> None:
    assert not ECTOPIC.search(text)


class TestDicomDisplay:
    """A record is what a viewer shows."""

    def write(self, path: Path, **elements: object) -> tuple[Path, str]:
        data = Dataset()
        data.file_meta = pydicom.dataset.FileMetaDataset()
        data.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
        data.SOPClassUID, data.SOPInstanceUID = pydicom.uid.SecondaryCaptureImageStorage, "1.2.3"
        ramp = np.tile(np.arange(256, dtype=np.uint16) * 16, (256, 1))
        data.set_pixel_data(ramp, "MONOCHROME2", 12)
        for name, value in elements.items():
            setattr(data, name, value)
        target = path / "stage_2_train_images" / "one.dcm"
        target.parent.mkdir(parents=True, exist_ok=True)
        data.save_as(target, enforce_file_format=True)
        return path, "one"

    def test_monochrome1_is_inverted(self, tmp_path: Path) -> None:
        source = SOURCES["rsna_pneumonia"]
        dark = source.decode(*self.write(tmp_path, PhotometricInterpretation="MONOCHROME2"))["image"]
        light = source.decode(*self.write(tmp_path, PhotometricInterpretation="MONOCHROME1"))["image"]
        assert dark[0, 0] < 5 and light[0, 0] > 250
        assert np.abs(dark.astype(int) + light - 255).max() <= 1

    def test_window(self, tmp_path: Path) -> None:
        image = SOURCES["rsna_pneumonia"].decode(*self.write(tmp_path, WindowCenter=1024, WindowWidth=1024))["image"]
        assert (image[:, :20] == 0).all() and (image[:, 100:] == 255).all() and 110 < image[0, 56] < 145

    def test_compressed_and_truncated(self, tmp_path: Path) -> None:
        source = SOURCES["rsna_pneumonia"]
        folder, name = self.write(tmp_path)
        plain = source.decode(folder, name)["image"]
        path = source.files(folder, name)[0]
        data = pydicom.dcmread(path)
        data.compress(JPEG2000Lossless)
        data.save_as(path)
        np.testing.assert_array_equal(source.decode(folder, name)["image"], plain)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        with pytest.raises(BenchError, match=r"one\.dcm"):
            source.decode(folder, name)


@pytest.mark.realdata
class TestRealData:
    """The real folders, with the counts of their README."""

    @pytest.mark.parametrize(
        ("task", "items", "records", "positives", "missing"),
        [
            ("covid_detection", 365, 365, 165, 0),
            ("ecg_abnormal_detection", 21837, 21837, 12891, 21337),
            ("ectopic_beats_detection", 21837, 21837, 1745, 21337),
            ("mortality_prediction", 99 + 1367, 99 + 1367, 21 + 70, 0),
            ("sepsis_prediction", 115 + 896, 115 + 896, 1 + 63, 0),
            ("lung_opacity_detection", 14863, 14863, 6012, 14863),
            ("medvqa_rad", 3515, 314, None, 0),
            ("medvqa_slake", 1061, 96, None, 96),
            ("signal_noise_clarification", 10000, 4774, None, 4600),
        ],
    )
    def test_counts(
        self, realdata: Path, task: str, items: int, records: int, positives: int | None, missing: int
    ) -> None:
        spec = load_tasks()[task]
        source = find_source(spec.source)
        folder = source.find(realdata)
        assert folder is not None
        found = source.describe(folder, spec.selection)
        assert (found.items, found.records, len(found.missing)) == (items, records, missing)
        assert positives is None or found.targets["yes"] == positives

    def test_covid_patients_are_the_groups(self, realdata: Path) -> None:
        source = SOURCES["covid19_radiography"]
        folder = source.find(realdata)
        assert folder is not None
        assert source.describe(folder, Selection()).groups == 71 + 200

    def test_abnormal_labels_are_the_released_ones(self, realdata: Path) -> None:
        source = SOURCES["ptb_xl"]
        folder = source.find(realdata)
        assert folder is not None
        targets = {Path(i.record).name: i.target for i in source.items(folder, Selection(label="abnormal"))}
        log = json.loads((realdata / "fedmeki-eval-items" / "ecg-abnormal.json").read_text())
        wrong = [row for row in log if targets[Path(row["modality_paths"]).name] not in row["answers"].lower()]
        assert len(log) == 2181 and not wrong

    def test_real_chest_dicoms(self, realdata: Path, tmp_path: Path) -> None:
        images = tmp_path / "stage_2_train_images"
        images.mkdir()
        for number, path in enumerate(sorted((realdata / "other-cxr-dicom").glob("*.dcm"))):
            shutil.copy(path, images / f"{number}.dcm")
            image = SOURCES["rsna_pneumonia"].decode(tmp_path, str(number))["image"]
            assert image.shape == (224, 224) and image.std() > 30
