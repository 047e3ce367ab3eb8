"""One DICOM chest image to eight-bit grey, as a viewer would show it."""

from __future__ import annotations

import struct
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedmeki_bench.errors import BenchError
from fedmeki_bench.sources._images import resize_grey

__all__ = ["load_dicom", "read_who"]

# What pydicom and its pixel decoders raise on damaged files; they have no common base class.
DAMAGE = (
    OSError, EOFError, ValueError, TypeError, KeyError, IndexError, AttributeError, RuntimeError,
    struct.error,
)  # fmt: skip

GREY = ("MONOCHROME1", "MONOCHROME2")
BACKGROUND_WHITE = "MONOCHROME1"


def load_dicom(path: Path) -> NDArray[np.uint8]:
    """Pixels after modality LUT and VOI LUT or window (DICOM PS3.3 C.11), black background, uint8 (224, 224).

    Images with neither LUT nor window are shown as stored if they have 8 bits, else stretched from their
    smallest to their largest value.

    Raises:
        BenchError: no DICOM, truncated, or anything else than one grey frame.
    """
    import pydicom
    from pydicom.errors import InvalidDicomError

    try:
        # A damaged element is a warning to pydicom and a damaged record to us.
        with warnings.catch_warnings(action="error", category=UserWarning):
            data = pydicom.dcmread(path)
            samples, frames = int(data.get("SamplesPerPixel", 1)), int(data.get("NumberOfFrames", 1) or 1)
            kind = data.get("PhotometricInterpretation", "no PhotometricInterpretation")
            if kind not in GREY or samples != 1 or frames != 1:
                raise BenchError(
                    "a DICOM file has pixels of the wrong type",
                    where=path,
                    expected="one frame, MONOCHROME1 or MONOCHROME2",
                    found=f"{kind}, {samples} samples a pixel, {frames} frames",
                )
            shown = _shown(data)
    except (*DAMAGE, InvalidDicomError, UserWarning) as error:
        raise BenchError(
            "a record is corrupt",
            where=path,
            expected="a whole DICOM image",
            found=error,
            fix="fetch the file again",
        ) from error
    return resize_grey(shown)


def read_who(path: Path) -> dict[str, str]:
    """`PatientAge`, `PatientSex` and `ViewPosition` of a DICOM header; nothing if it cannot be read.

    A damaged file is reported when its pixels are decoded, not here.
    """
    import pydicom
    from pydicom.errors import InvalidDicomError

    names = ["PatientAge", "PatientSex", "ViewPosition"]
    try:
        data = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=list(names))
        return {name: str(data.get(name, "") or "") for name in names}
    except (*DAMAGE, InvalidDicomError):
        return {}


def _shown(data: Any) -> NDArray[np.float32]:
    """Grey values in 0 (black) to 255 (white)."""
    from pydicom.pixels import apply_modality_lut, apply_voi_lut

    stored = data.pixel_array
    values = apply_modality_lut(stored, data)
    if "VOILUTSequence" in data or "WindowCenter" in data:
        seen = apply_voi_lut(values, data).astype(np.float32)
        low, high = _range_after_voi(data)
    else:
        seen = values.astype(np.float32)
        eight = data.BitsStored == 8 and data.PixelRepresentation == 0 and "RescaleSlope" not in data
        low, high = (0.0, 255.0) if eight else (float(seen.min()), float(seen.max()))
    # A constant image has no contrast to stretch.
    scaled = (seen - low) * (255.0 / (high - low)) if high > low else np.zeros_like(seen)
    if data.PhotometricInterpretation == BACKGROUND_WHITE:
        scaled = 255.0 - scaled
    grey: NDArray[np.float32] = np.clip(scaled, 0.0, 255.0)
    return grey


def _range_after_voi(data: Any) -> tuple[float, float]:
    """Smallest and largest value that pydicom's `apply_voi_lut` can give for this image."""
    if "VOILUTSequence" in data:
        return 0.0, float(2 ** data.VOILUTSequence[0].LUTDescriptor[2] - 1)
    bits = data.BitsStored
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if data.PixelRepresentation else (0, 2**bits - 1)
    slope, intercept = float(data.get("RescaleSlope", 1)), float(data.get("RescaleIntercept", 0))
    return low * slope + intercept, high * slope + intercept
