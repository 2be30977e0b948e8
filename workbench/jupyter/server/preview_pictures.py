"""Arrays that are pictures, as PNG.

Runs in the process for previews only. Writes the format itself (PNG, third edition, W3C 2025: 5.3 chunks, 11.2.1 IHDR), which takes twenty lines and no
library.
"""

from __future__ import annotations

import struct
import zlib
from typing import Any, Final

import numpy as np

from workbench.jupyter.server.problems import NotPossibleError

__all__ = ["is_picture", "png"]

_SMALLEST: Final = 8
"""Pixels on each side."""
_NARROWEST: Final = 16
"""A grey picture is at most so many times as long as it is wide: beyond that it is a table of numbers."""
_LARGEST: Final = 1024
_COLOURS: Final = {1: 0, 3: 2, 4: 6}
"""Values of a pixel to the colour type of the header."""


def is_picture(value: Any) -> bool:
    """Tell whether something looks like a picture: grey, or the last dimension is red, green, blue and maybe alpha."""
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "buf" or value.dtype.itemsize > 8:
        return False
    if value.dtype.kind == "u" and value.dtype.itemsize > 2:
        return False
    if value.ndim == 3:
        return value.shape[2] in (3, 4) and min(value.shape[:2]) >= _SMALLEST
    return value.ndim == 2 and min(value.shape) >= _SMALLEST and max(value.shape) <= _NARROWEST * min(value.shape)


def png(value: Any) -> bytes:
    """Return a picture; of a large one, every n-th pixel.

    Raises
    ------
    NotPossibleError
        It is none.
    """
    if not is_picture(value):
        raise NotPossibleError(
            "This object is not like an image: that is an array of 2 dimensions, or of height, width and 3 or 4 colours."
        )
    step = -(-max(value.shape[:2]) // _LARGEST)
    pixels = np.ascontiguousarray(_bytes(value[::step, ::step]))
    height, width = pixels.shape[:2]
    colours = pixels.shape[2] if pixels.ndim == 3 else 1
    rows = pixels.reshape(height, width * colours)
    # Each row begins with the number of its filter: none.
    data = np.concatenate([np.zeros((height, 1), np.uint8), rows], axis=1).tobytes()
    header = struct.pack(">IIBBBBB", width, height, 8, _COLOURS[colours], 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", zlib.compress(data, 3)) + _chunk(b"IEND", b"")
    )


def _bytes(value: Any) -> Any:
    """Return pixels from 0 to 255: numbers from 0 to 1 are taken as such, others are stretched from the least to the greatest."""
    if value.dtype == np.uint8:
        return value
    if value.dtype.kind == "b":
        return value.astype(np.uint8) * 255
    if value.dtype.kind == "u":
        return (value >> 8).astype(np.uint8)
    numbers = value.astype(np.float64)
    finite = numbers[np.isfinite(numbers)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    if low >= 0 and high <= 1:
        low, high = 0.0, 1.0
    scaled = (numbers - low) / ((high - low) or 1.0)
    return (np.clip(np.nan_to_num(scaled, nan=0.0), 0, 1) * 255).astype(np.uint8)


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
