"""Raster images (PNG, JPEG) and grey arrays to 224 x 224, uint8."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from fedmeki_bench.errors import BenchError

__all__ = ["SIDE", "load_image", "resize_grey"]

SIDE = 224
"""Side of a decoded image in pixels, the input size of DeiT-tiny."""

EIGHT_BIT = {"1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX"}
"""Pixel types of eight bits a channel or less; wider ones have no agreed window to eight bits."""

SUFFIXES = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG"}


def load_image(path: Path, *, grey: bool) -> NDArray[np.uint8]:
    """An image file resized to 224 x 224 (bicubic with antialiasing, aspect ratio not kept).

    Args:
        path: a PNG or JPEG file whose content matches its name.
        grey: always (224, 224); else (224, 224, 3) unless the three channels are equal.

    Raises:
        BenchError: unreadable, truncated, another format than the name says, or not 8 bits a channel.
    """
    expected = SUFFIXES.get(path.suffix.lower())
    try:
        with Image.open(path) as image:
            if image.format != expected:
                fix = "give the file the name of its format, or fetch it again"
                raise BenchError(
                    "an image is not what its name says",
                    where=path,
                    expected=expected,
                    found=image.format,
                    fix=fix,
                )
            if image.mode not in EIGHT_BIT:
                raise BenchError(
                    "an image has pixels of the wrong type",
                    where=path,
                    expected="8 bits a channel, grey or RGB",
                    found=f"mode {image.mode}",
                    fix="use the data set's own file, not a converted one",
                )
            image.load()
            pixels = image.convert("L" if grey or image.mode in ("1", "L", "LA") else "RGB")
            resized = np.asarray(pixels.resize((SIDE, SIDE), Image.Resampling.BICUBIC), dtype=np.uint8)
    except UnidentifiedImageError as error:
        raise _corrupt(path, f"a {expected or 'PNG or JPEG'} image", "not an image") from error
    except (
        OSError,
        SyntaxError,
        ValueError,
        EOFError,
        struct.error,
        zlib.error,
        Image.DecompressionBombError,
    ) as error:
        raise _corrupt(path, f"a whole {expected or 'PNG or JPEG'} image", error) from error
    if resized.ndim == 3 and (resized[..., :1] == resized).all():
        return np.ascontiguousarray(resized[..., 0])
    return resized


def resize_grey(pixels: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Grey values in 0 to 255 of any size, resized like `load_image` and rounded to uint8 (224, 224)."""
    resized = Image.fromarray(pixels, mode="F").resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    values: NDArray[np.float32] = np.asarray(resized)
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def _corrupt(path: Path, expected: str, found: object) -> BenchError:
    return BenchError("a record is corrupt", where=path, expected=expected, found=found, fix="fetch the file again")
