"""PNG: chunks with checksums, up to the end chunk."""

from __future__ import annotations

import struct
import zlib


def png_damage(data: bytes) -> str | None:
    """Say what is damaged; None for a whole file. libpng would only print its complaints."""
    view, position = memoryview(data), 8
    while position + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, position)
        end = position + 12 + length
        if end > len(data):
            break
        is_critical = not kind[0] & 0x20
        checksum = int.from_bytes(view[end - 4 : end], "big")
        if is_critical and zlib.crc32(view[position + 4 : end - 4]) != checksum:
            name = kind.decode() if kind.isalpha() else kind.hex()
            return f"PNG damaged in chunk {name}"
        if kind == b"IEND":
            return None
        position = end
    return f"PNG cut short after {len(data)} bytes"
