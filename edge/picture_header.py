"""What the first bytes of a picture file say: its format and its size, before anything is decoded.

A file of some kilobytes can ask a decoder for gigabytes. Formats are told by content, not by name:
the decoders of rare formats are not worth their risk on a line.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

# The largest area sensors in use have 152 million pixels.
MAX_PIXELS = 200_000_000
_TIFF_WIDTH, _TIFF_HEIGHT = 256, 257
_TIFF_SHORT, _TIFF_LONG = 3, 4
_JPEG_NO_LENGTH = {0x01, *range(0xD0, 0xD9)}
# Start of frame: all of C0 to CF but tables (C4), an extension (C8) and arithmetic coding (CC).
_JPEG_FRAMES = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


def check_header(data: bytes) -> tuple[int, int]:
    """Return width and height; refuse what is no PNG, JPEG, BMP, TIFF or WebP, or too large.

    Raises:
        ValueError: in one line.
    """
    size = next((read for begins, read in _FORMATS if begins(data)), None)
    if size is None:
        raise ValueError("not a picture: expected PNG, JPEG, BMP, TIFF or WebP by its content")
    try:
        width, height = size(data)
    except (struct.error, IndexError):
        raise ValueError("damaged: its header says no width and height") from None
    if width < 1 or height < 1:
        raise ValueError(f"damaged: its header says {width}x{height} pixels")
    if width * height > MAX_PIXELS:
        raise ValueError(f"expected at most {MAX_PIXELS} pixels, its header says {width}x{height}")
    return width, height


def _png(data: bytes) -> tuple[int, int]:
    width, height = struct.unpack_from(">II", data, 16)
    return width, height


def _jpeg(data: bytes) -> tuple[int, int]:
    position = 2
    while True:
        if data[position] != 0xFF:
            raise IndexError
        kind = data[position + 1]
        if kind == 0xFF:  # padding
            position += 1
        elif kind in _JPEG_NO_LENGTH:
            position += 2
        elif kind in _JPEG_FRAMES:
            height, width = struct.unpack_from(">HH", data, position + 5)
            return width, height
        else:
            (length,) = struct.unpack_from(">H", data, position + 2)
            position += 2 + max(2, length)


def _bmp(data: bytes) -> tuple[int, int]:
    (header,) = struct.unpack_from("<I", data, 14)
    width, height = struct.unpack_from("<HH" if header == 12 else "<ii", data, 18)
    return width, abs(height)  # a negative height only says that rows run downwards


def _tiff(data: bytes) -> tuple[int, int]:
    order = "<" if data[:2] == b"II" else ">"
    (start,) = struct.unpack_from(f"{order}I", data, 4)
    (count,) = struct.unpack_from(f"{order}H", data, start)
    found: dict[int, int] = {}
    for entry in range(start + 2, start + 2 + 12 * count, 12):
        tag, kind = struct.unpack_from(f"{order}HH", data, entry)
        if tag in (_TIFF_WIDTH, _TIFF_HEIGHT) and kind in (_TIFF_SHORT, _TIFF_LONG):
            form = "H" if kind == _TIFF_SHORT else "I"
            (found[tag],) = struct.unpack_from(f"{order}{form}", data, entry + 8)
    return found.get(_TIFF_WIDTH, 0), found.get(_TIFF_HEIGHT, 0)


def _webp(data: bytes) -> tuple[int, int]:
    kind = data[12:16]
    if kind == b"VP8X":
        return (
            1 + int.from_bytes(data[24:27], "little"),
            1 + int.from_bytes(data[27:30], "little"),
        )
    if kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    width, height = struct.unpack_from("<HH", data, 26)
    return width & 0x3FFF, height & 0x3FFF


def _starts(*magic: bytes) -> Callable[[bytes], bool]:
    return lambda data: data.startswith(magic)


_FORMATS: tuple[tuple[Callable[[bytes], bool], Callable[[bytes], tuple[int, int]]], ...] = (
    (_starts(b"\x89PNG\r\n\x1a\n"), _png),
    (_starts(b"\xff\xd8"), _jpeg),
    (_starts(b"BM"), _bmp),
    (_starts(b"II*\0", b"MM\0*"), _tiff),
    (lambda data: data[:4] == b"RIFF" and data[8:12] == b"WEBP", _webp),
)
