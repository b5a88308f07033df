"""WebP: as many bytes as its containers say, and no hole in them."""

from __future__ import annotations

import struct

from edge.picture_damage.hole import has_hole

_PICTURES = {b"VP8 ", b"VP8L", b"ALPH", b"ANMF"}


def webp_damage(data: bytes) -> str | None:
    """Say what is missing; None for a whole file. The rest is up to libwebp."""
    (size,) = struct.unpack_from("<I", data, 4)
    end, position = 8 + size, 12
    if len(data) < end:
        return f"WebP cut short after {len(data)} of {end} bytes"
    while position + 8 <= end:
        kind, length = struct.unpack_from("<4sI", data, position)
        start, position = position + 8, position + 8 + length + length % 2
        if kind in _PICTURES and has_hole(data, start, position):
            return "WebP damaged: a stretch of zeros inside its picture"
    # Some encoders do not count the last padding byte.
    return None if position <= end + 1 else "WebP damaged: a chunk is longer than the file"
