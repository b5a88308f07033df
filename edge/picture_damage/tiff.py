"""TIFF: every strip or tile of the first picture is there and decodes to its full length.

libtiff, as OpenCV calls it, goes on after errors and leaves the rest of a strip black.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from itertools import islice, repeat

from edge.picture_damage.jpeg import jpeg_damage
from edge.picture_damage.lzw import lzw_length

_FORMS = {1: "B", 3: "H", 4: "I"}
_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC = 256, 257, 258, 259, 262
_STRIP_AT, _SAMPLES, _STRIP_ROWS, _STRIP_BYTES, _PLANAR = 273, 277, 278, 279, 284
_TILE_WIDTH, _TILE_HEIGHT, _TILE_AT, _TILE_BYTES, _JPEG_TABLES = 322, 323, 324, 325, 347
_YCBCR, _SEPARATE_PLANES, _JPEG = 6, 2, 7
# The header of a TIFF file; no strip can lie there.
_FIRST_BYTE = 8
_CHUNK = 2**20

Tags = dict[int, tuple[int, ...]]


def tiff_damage(data: bytes) -> str | None:
    """Say what is missing, damaged or cannot be checked; None for a whole file."""
    tags, tables = _read_tags(data)
    (compression,) = tags.get(_COMPRESSION, (1,))[:1]
    if compression != _JPEG and compression not in _LENGTHS:
        return (
            f"expected a TIFF without compression or with LZW, Deflate, PackBits or JPEG, "
            f"found compression {compression}; save it as PNG"
        )
    if tags.get(_PHOTOMETRIC) == (_YCBCR,) and compression != _JPEG:
        return "expected a grey, palette, RGB or JPEG-compressed TIFF, found YCbCr; save it as PNG"
    offsets = tags.get(_TILE_AT) or tags.get(_STRIP_AT, ())
    counts = tags.get(_TILE_BYTES) or tags.get(_STRIP_BYTES, ())
    # A header may ask for more strips than memory holds.
    lengths = list(islice(_decoded_lengths(tags), len(offsets) + 1))
    if not lengths or not len(offsets) == len(counts) == len(lengths):
        return "TIFF damaged in its header: its strips do not make up its picture"
    damage = _places_damage(offsets, counts, len(data))
    for number, (offset, count, length) in enumerate(zip(offsets, counts, lengths, strict=True)):
        if damage is None and not _is_whole(
            data[offset : offset + count], length, compression, tables
        ):
            damage = f"TIFF damaged in strip {number + 1} of {len(lengths)}"
    return damage


def _places_damage(offsets: Sequence[int], counts: Sequence[int], size: int) -> str | None:
    """Say why strips cannot lie where the file says."""
    end = _FIRST_BYTE
    for offset, count in sorted(zip(offsets, counts, strict=True)):
        if offset < end or count == 0:
            return "TIFF damaged in its header: strips are empty or overlap"
        end = offset + count
    return f"TIFF cut short after {size} of {end} bytes" if end > size else None


def _is_whole(piece: bytes, length: int, compression: int, tables: bytes) -> bool:
    if compression != _JPEG:
        return _LENGTHS[compression](piece, length) == length
    # The tables that all strips share stand before each strip's own scan.
    return jpeg_damage((tables[:-2] if tables else b"\xff\xd8") + piece[2:]) is None


def _read_tags(data: bytes) -> tuple[Tags, bytes]:
    """Return the whole-number tags of the first picture, and the shared JPEG tables."""
    order = "<" if data[:2] == b"II" else ">"
    (start,) = struct.unpack_from(f"{order}I", data, 4)
    (entries,) = struct.unpack_from(f"{order}H", data, start)
    tags: Tags = {}
    tables = b""
    for entry in range(start + 2, start + 2 + 12 * entries, 12):
        tag, kind, count = struct.unpack_from(f"{order}HHI", data, entry)
        if tag == _JPEG_TABLES:
            (at,) = struct.unpack_from(f"{order}I", data, entry + 8)
            tables = data[at : at + count]
        elif kind in _FORMS and count * struct.calcsize(_FORMS[kind]) <= len(data):
            form = f"{order}{count}{_FORMS[kind]}"
            at = entry + 8
            if struct.calcsize(form) > 4:
                (at,) = struct.unpack_from(f"{order}I", data, at)
            tags[tag] = struct.unpack_from(form, data, at)
    return tags, tables


def _decoded_lengths(tags: Tags) -> Iterator[int]:
    """Yield the bytes that each strip or tile decodes to, in the order of the file's tags."""

    def value(tag: int, default: int) -> int:
        return tags.get(tag, (default,))[0]

    width, height, samples = value(_WIDTH, 0), value(_HEIGHT, 0), value(_SAMPLES, 1)
    planes = samples if value(_PLANAR, 1) == _SEPARATE_PLANES else 1
    bits = value(_BITS, 1) * (samples if planes == 1 else 1)
    tile_width, tile_height = value(_TILE_WIDTH, 0), value(_TILE_HEIGHT, 0)
    for _ in range(planes):
        if tile_width and tile_height:
            tiles = -(-width // tile_width) * -(-height // tile_height)
            yield from repeat((tile_width * bits + 7) // 8 * tile_height, tiles)
        else:
            rows = min(value(_STRIP_ROWS, height) or height, height)
            for top in range(0, height, max(rows, 1)):
                yield (width * bits + 7) // 8 * min(rows, height - top)


def _plain_length(piece: bytes, expected: int) -> int:
    return min(len(piece), expected)


def _deflate_length(piece: bytes, expected: int) -> int:
    decoder, length = zlib.decompressobj(), 0
    try:
        while piece and not decoder.eof and length <= expected:
            length += len(decoder.decompress(piece, _CHUNK))
            piece = decoder.unconsumed_tail
    except zlib.error:
        return -1
    # The checksum comes after the last byte.
    return length if decoder.eof else -1


def _packbits_length(piece: bytes, _expected: int) -> int:
    position = length = 0
    while position < len(piece):
        head = piece[position]
        if head < 128:
            position, length = position + head + 2, length + head + 1
        elif head > 128:
            position, length = position + 2, length + 257 - head
        else:
            position += 1
    return length if position == len(piece) else -1


_LENGTHS: dict[int, Callable[[bytes, int], int]] = {
    1: _plain_length,
    5: lzw_length,
    8: _deflate_length,
    32773: _packbits_length,
    32946: _deflate_length,
}
