"""Finds the damage that a decoder passes over, whatever the format."""

from __future__ import annotations

import struct

from edge.picture_damage.bmp import bmp_damage
from edge.picture_damage.jpeg import jpeg_damage
from edge.picture_damage.png import png_damage
from edge.picture_damage.tiff import tiff_damage
from edge.picture_damage.webp import webp_damage

_CHECKS = (
    (b"\xff\xd8", jpeg_damage),
    (b"\x89PNG\r\n\x1a\n", png_damage),
    (b"BM", bmp_damage),
    (b"II*\0", tiff_damage),
    (b"MM\0*", tiff_damage),
    (b"RIFF", webp_damage),
)


def find_damage(data: bytes) -> str | None:
    """Say in one line what is damaged or missing in a picture file; None if nothing is.

    Missing bytes and stretches of zeros are found in every format, but for changed bytes of
    uncompressed pixels (BMP, TIFF): any byte is a pixel there. `check_header` comes first.
    """
    for magic, damage in _CHECKS:
        if data.startswith(magic):
            try:
                return damage(data)
            except (struct.error, IndexError):
                return f"cut short after {len(data)} bytes, or its header is damaged"
    return None
