"""DICOM files of one grey frame, in the variety that readers must cope with."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

__all__ = ["Header", "as_dicom"]

SHARES = {"jpeg": 0.6, "plain": 0.15, "rle": 0.15, "window": 0.1}
"""Kinds of file: JPEG Baseline as in the real set, uncompressed, RLE, and 12 bits with a window."""

INVERTED = 0.2
"""Share of uncompressed files that store black as the largest value (MONOCHROME1)."""

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


def as_dicom(rng: np.random.Generator, pixels: NDArray[np.uint8], header: Header) -> bytes:
    """A DICOM file of `pixels` (height, width); its kind is drawn and says nothing about what it shows."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.encaps import encapsulate
    from pydicom.uid import (
        ExplicitVRLittleEndian,
        JPEGBaseline8Bit,
        RLELossless,
        SecondaryCaptureImageStorage,
    )

    kind = str(rng.choice(list(SHARES), p=list(SHARES.values())))
    inverted = kind in ("plain", "window") and rng.random() < INVERTED
    shown = 255 - pixels if inverted else pixels
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = JPEGBaseline8Bit if kind == "jpeg" else ExplicitVRLittleEndian
    data.SpecificCharacterSet = "ISO_IR 100"
    data.SOPClassUID = SecondaryCaptureImageStorage
    # Unique identifiers ("2.25." and a UUID as a number) come from the seed: equal seeds give equal files.
    data.SOPInstanceUID, data.StudyInstanceUID, data.SeriesInstanceUID = (_uid(rng) for _ in range(3))
    data.StudyDate, data.StudyTime, data.AccessionNumber, data.StudyID = "19010101", "000000.00", "", ""
    data.Modality, data.ConversionType, data.BodyPartExamined = "CR", "WSD", "CHEST"
    data.PatientName = data.PatientID = header.patient
    data.PatientSex, data.PatientAge, data.PatientBirthDate = header.sex, f"{header.age:03d}Y", ""
    data.SeriesDescription, data.ViewPosition, data.PatientOrientation = (
        f"view: {header.view}",
        header.view,
        "",
    )
    data.ReferringPhysicianName, data.SeriesNumber, data.InstanceNumber = "", 1, 1
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME1" if inverted else "MONOCHROME2"
    data.Rows, data.Columns = pixels.shape
    data.PixelSpacing = [round(header.spacing, 3)] * 2
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 8, 8, 7, 0
    if kind == "jpeg":
        buffer = io.BytesIO()
        Image.fromarray(shown).save(buffer, "JPEG", quality=90)
        data.PixelData = encapsulate([buffer.getvalue()])
        data["PixelData"].VR = "OB"
        data.LossyImageCompression, data.LossyImageCompressionMethod = "01", "ISO_10918_1"
    elif kind == "window":
        stored = WINDOW_LOW + shown * ((WINDOW_HIGH - WINDOW_LOW) / 255)
        data.BitsAllocated, data.BitsStored, data.HighBit = 16, 12, 11
        data.WindowCenter, data.WindowWidth = (WINDOW_LOW + WINDOW_HIGH) / 2, WINDOW_HIGH - WINDOW_LOW
        data.PixelData = np.rint(stored).astype("<u2").tobytes()
        data["PixelData"].VR = "OW"
    else:
        data.PixelData = shown.tobytes()
        data["PixelData"].VR = "OB"
    if kind == "rle":
        data.compress(RLELossless, encoding_plugin="pydicom", generate_instance_uid=False)
    buffer = io.BytesIO()
    data.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def _uid(rng: np.random.Generator) -> str:
    return f"2.25.{int.from_bytes(rng.bytes(16), 'big')}"
