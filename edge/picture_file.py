"""The one decoder of picture files, for line, training, evaluation and bundle.

A file that cannot be decoded whole is refused with one line that says why.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.grey_picture import solid
from edge.picture_damage.check import find_damage
from edge.picture_header import check_header
from edge.quiet_opencv import quiet_opencv

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"})
# More than the largest picture needs that `check_header` lets through, at 8 bits per channel.
MAX_BYTES = 2**30
# Nothing can be seen of a part on fewer pixels.
MIN_SIDE = 8
# Cameras with Mono12 store values up to 4095 in 16 bits.
_TWELVE_BITS = 2**12
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
    return decode_picture(read_bytes(path))


def read_bytes(path: Path, limit: int = MAX_BYTES) -> bytes:
    """Read the bytes of a picture file; a pipe, which would be waited for, is refused.

    Of a larger file one byte more than `limit` is read.

    Raises:
        ValueError: in one line, for a file that is absent, unreadable or not regular.
    """
    try:
        if path.exists() and not path.is_file():
            raise ValueError("not a regular file")
        with path.open("rb") as stream:
            return stream.read(limit + 1)
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror or error}") from error


def read_grey(path: Path) -> NDArray[np.uint8]:
    """Read a picture file as (H, W) uint8 grey levels, such as a mask; see `read_picture`."""
    return np.asarray(cv2.cvtColor(read_picture(path), cv2.COLOR_BGR2GRAY), np.uint8)


def decode_picture(data: bytes) -> NDArray[np.uint8]:
    """Decode the bytes of a picture file, as `read_picture` does.

    Raises:
        ValueError: in one line, for bytes that are cut short, damaged or no picture.
    """
    width, height = check_whole(data)
    if min(width, height) < MIN_SIDE:
        raise ValueError(f"expected at least {MIN_SIDE}x{MIN_SIDE} pixels, got {width}x{height}")
    try:
        with quiet_opencv():
            pixels = cv2.imdecode(np.frombuffer(data, np.uint8), _FLAGS)
    except cv2.error as error:
        raise ValueError(f"OpenCV refuses it: {error.err or error.code}") from error
    if pixels is None:
        raise ValueError("not a picture that OpenCV can decode")
    if pixels.dtype == np.uint16:
        return _upper_bits(np.asarray(pixels, np.uint16))
    if pixels.dtype != np.uint8:
        raise ValueError(f"expected 8 or 16 bits per channel, got {pixels.dtype}")
    return np.asarray(pixels, np.uint8)


def check_whole(data: bytes) -> tuple[int, int]:
    """Return width and height of a picture file that is visibly whole, before it is decoded.

    Raises:
        ValueError: in one line, for bytes that are cut short, damaged, too large or no picture.
    """
    if not data:
        raise ValueError("the file is empty")
    if len(data) > MAX_BYTES:
        raise ValueError(f"expected at most {MAX_BYTES} bytes, found more")
    size_wh = check_header(data)
    damage = find_damage(data)
    if damage is not None:
        raise ValueError(damage)
    return size_wh


def encode_picture(pixels_bgr: NDArray[np.uint8]) -> bytes:
    """Encode (H, W, 3) uint8 BGR without loss, as PNG."""
    _, data = cv2.imencode(".png", solid(pixels_bgr))
    return data.tobytes()


def _upper_bits(pixels: NDArray[np.uint16]) -> NDArray[np.uint8]:
    """Keep the upper 8 of 16 bits; a picture without them would come out black."""
    brightest = int(pixels.max())
    if 0 < brightest < _TWELVE_BITS:
        raise ValueError(
            f"expected 16 bits per channel, the largest value is {brightest} (12 bits or fewer); "
            "save it with 8 bits, or with its values shifted to the upper end of the 16 bits"
        )
    return (pixels >> 8).astype(np.uint8)
