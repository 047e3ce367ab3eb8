"""DICOM files of one grey frame, in the variety that readers must cope with."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

__all__ = ["Header", "as_dicom"]

KINDS = (*["jpeg"] * 12, *["rle"] * 3, "plain", "plain", "plain inverted", "window", "window inverted")
"""Kinds of file in turn: JPEG Baseline as in the real set, RLE, uncompressed, 12 bits with a window;
`inverted` ones store black as the largest value (MONOCHROME1)."""

WINDOW_LOW, WINDOW_HIGH = 300, 3700
"""Stored values shown as black and as white in the files of 12 bits."""


@dataclass(frozen=True)
class Header:
    """What the header says of the patient and the image.

    Attributes:
        patient: `PatientID`, also the stem of the file's name.
        sex: `M` or `F`.
        age: years.
        view: `AP` or `PA`.
        spacing: millimetres between pixels.
    """

    patient: str
    sex: str
    age: int
    view: str
    spacing: float


def as_dicom(rng: np.random.Generator, pixels: NDArray[np.uint8], header: Header, number: int) -> bytes:
    """A DICOM file of `pixels` (height, width).

    Args:
        rng: generator of the identifiers.
        pixels: what the file shows, white where X-rays are absorbed.
        header: the patient and the image.
        number: number of the file; decides its kind, which so says nothing about what it shows.
    """
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, JPEGBaseline8Bit, RLELossless

    kind, _, inverted = KINDS[number % len(KINDS)].partition(" ")
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = JPEGBaseline8Bit if kind == "jpeg" else ExplicitVRLittleEndian
    _describe(data, rng, header)
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME1" if inverted else "MONOCHROME2"
    data.Rows, data.Columns = pixels.shape
    data.PixelSpacing = [round(header.spacing, 3)] * 2
    _store(data, kind, 255 - pixels if inverted else pixels)
    if kind == "rle":
        data.compress(RLELossless, encoding_plugin="pydicom", generate_instance_uid=False)
    buffer = io.BytesIO()
    data.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def _describe(data: Dataset, rng: np.random.Generator, header: Header) -> None:
    """Everything but the pixels and their description."""
    from pydicom.uid import SecondaryCaptureImageStorage

    data.SpecificCharacterSet = "ISO_IR 100"
    data.SOPClassUID = SecondaryCaptureImageStorage
    # Unique identifiers ("2.25." and a UUID as a number) come from the seed: equal seeds give equal files.
    data.SOPInstanceUID, data.StudyInstanceUID, data.SeriesInstanceUID = (_uid(rng) for _ in range(3))
    data.StudyDate, data.StudyTime, data.AccessionNumber, data.StudyID = "19010101", "000000.00", "", ""
    data.Modality, data.ConversionType, data.BodyPartExamined = "CR", "WSD", "CHEST"
    data.PatientName = data.PatientID = header.patient
    data.PatientSex, data.PatientAge, data.PatientBirthDate = header.sex, f"{header.age:03d}Y", ""
    data.SeriesDescription, data.ViewPosition = f"view: {header.view}", header.view
    data.PatientOrientation, data.ReferringPhysicianName = "", ""
    data.SeriesNumber, data.InstanceNumber = 1, 1


def _store(data: Dataset, kind: str, stored: NDArray[np.uint8]) -> None:
    """The pixels and how they are to be read."""
    from pydicom.encaps import encapsulate

    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 8, 8, 7, 0
    if kind == "jpeg":
        buffer = io.BytesIO()
        Image.fromarray(stored).save(buffer, "JPEG", quality=90)
        data.PixelData = encapsulate([buffer.getvalue()])
        data.LossyImageCompression, data.LossyImageCompressionMethod = "01", "ISO_10918_1"
    elif kind == "window":
        values = WINDOW_LOW + stored * ((WINDOW_HIGH - WINDOW_LOW) / 255)
        data.BitsAllocated, data.BitsStored, data.HighBit = 16, 12, 11
        data.WindowCenter, data.WindowWidth = (WINDOW_LOW + WINDOW_HIGH) / 2, WINDOW_HIGH - WINDOW_LOW
        data.PixelData = np.rint(values).astype("<u2").tobytes()
    else:
        data.PixelData = stored.tobytes()
    data["PixelData"].VR = "OW" if kind == "window" else "OB"


def _uid(rng: np.random.Generator) -> str:
    return f"2.25.{int.from_bytes(rng.bytes(16), 'big')}"
