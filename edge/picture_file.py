"""The one decoder of picture files, for line, training, evaluation and bundle.

A file that cannot be decoded whole is refused with one line that says why.
"""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.picture_header import check_header
from edge.quiet_opencv import quiet_opencv

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"})
# More than the largest picture needs that `check_header` lets through, at 8 bits per channel.
MAX_BYTES = 2**30
# Three channels at the file's own depth; alpha is dropped, grey is repeated. The orientation in
# EXIF is ignored: it tells how a camera was held, and a station's camera is mounted. Rotated
# pictures would not lie as the ones the model was trained on.
_FLAGS = cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH | cv2.IMREAD_IGNORE_ORIENTATION


def is_picture(name: str) -> bool:
    """Whether a file of this name is a picture by its suffix; hidden files are not."""
    return Path(name).suffix.lower() in SUFFIXES and not name.startswith(".")


def read_picture(path: Path) -> NDArray[np.uint8]:
    """Read a picture file as (H, W, 3) uint8 BGR; 16-bit values lose their lower 8 bits.

    Raises:
        ValueError: in one line, for a file that is absent, empty, cut short, damaged or no picture.
    """
    try:
        if path.exists() and not path.is_file():
            raise ValueError("not a regular file")
        with path.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror or error}") from error
    return decode_picture(data)


def read_grey(path: Path) -> NDArray[np.uint8]:
    """Read a picture file as (H, W) uint8 grey levels, such as a mask; see `read_picture`."""
    return np.asarray(cv2.cvtColor(read_picture(path), cv2.COLOR_BGR2GRAY), np.uint8)


def decode_picture(data: bytes) -> NDArray[np.uint8]:
    """Decode the bytes of a picture file, as `read_picture` does.

    Raises:
        ValueError: in one line, for bytes that are cut short, damaged or no picture.
    """
    damage = _damage(data)
    if damage:
        raise ValueError(damage)
    check_header(data)
    try:
        with quiet_opencv():
            pixels = cv2.imdecode(np.frombuffer(data, np.uint8), _FLAGS)
    except cv2.error as error:
        raise ValueError(f"OpenCV refuses it: {error.err or error.code}") from error
    if pixels is None:
        raise ValueError("not a picture that OpenCV can decode")
    if pixels.dtype == np.uint16:
        return (np.asarray(pixels, np.uint16) >> 8).astype(np.uint8)
    if pixels.dtype != np.uint8:
        raise ValueError(f"expected 8 or 16 bits per channel, got {pixels.dtype}")
    return np.asarray(pixels, np.uint8)


def encode_picture(pixels_bgr: NDArray[np.uint8]) -> bytes:
    """Encode (H, W, 3) uint8 BGR without loss, as PNG."""
    _, data = cv2.imencode(".png", pixels_bgr)
    return data.tobytes()


def _damage(data: bytes) -> str | None:
    """Return what is visibly wrong with a file that a decoder might still take.

    Older OpenCV fills the missing part of a cut JPEG with grey, which would be judged as a part;
    libpng prints its complaints to stderr behind OpenCV's back.
    """
    if not data:
        return "the file is empty"
    if len(data) > MAX_BYTES:
        return f"expected at most {MAX_BYTES} bytes, found more"
    if data.startswith(b"\xff\xd8"):
        return _jpeg_damage(data)
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return _png_damage(data)
    return None


def _jpeg_damage(data: bytes) -> str | None:
    # An end marker cannot occur inside scan data, and a thumbnail's stands before the last scan.
    is_whole = data.rfind(b"\xff\xd9") > data.rfind(b"\xff\xda")
    return None if is_whole else f"JPEG cut short after {len(data)} bytes"


def _png_damage(data: bytes) -> str | None:
    view, position = memoryview(data), 8
    while position + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, position)
        end = position + 12 + length
        if end > len(data):
            break
        is_critical = not kind[0] & 0x20
        checksum = int.from_bytes(view[end - 4 : end], "big")
        if is_critical and zlib.crc32(view[position + 4 : end - 4]) != checksum:
            return f"PNG damaged in chunk {kind.decode('latin-1')}"
        if kind == b"IEND":
            return None
        position = end
    return f"PNG cut short after {len(data)} bytes"
