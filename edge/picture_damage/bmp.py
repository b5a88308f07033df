"""BMP: uncompressed, and as many bytes of pixels as its header says."""

from __future__ import annotations

import struct

_CORE_HEADER = 12
_UNCOMPRESSED = {0, 3, 6}  # plain, and with bit masks
_HEADERS = range(_CORE_HEADER, 125)


def bmp_damage(data: bytes) -> str | None:
    """Say what is missing; None for a whole file."""
    pixels_at, header = struct.unpack_from("<II", data, 10)
    if header == _CORE_HEADER:
        width, height, _, bits = struct.unpack_from("<HHHH", data, 18)
        compression = 0
    else:
        width, height, _, bits, compression = struct.unpack_from("<iiHHI", data, 18)
    if header not in _HEADERS or pixels_at < 14 + header:
        return "BMP damaged in its header"
    if compression not in _UNCOMPRESSED:
        return f"expected an uncompressed BMP, found compression {compression}; save it as PNG"
    row = (width * bits + 31) // 32 * 4
    expected = pixels_at + row * abs(height)
    if len(data) < expected:
        return f"BMP cut short after {len(data)} of {expected} bytes"
    return None
