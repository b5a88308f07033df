"""JPEG: every scan is there, has no hole and decodes without a complaint.

libjpeg fills missing scan data with grey and only warns; OpenCV does not pass the warning on.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import simplejpeg

from edge.picture_damage.hole import has_hole

_MARKER = re.compile(rb"\xff+([^\x00\xff])")
_AFTER_SCAN = re.compile(rb"\xff+([^\x00\xd0-\xd7\xff])")
_NO_LENGTH = {0x01, *range(0xD0, 0xD9)}
_FRAMES = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_HUFFMAN_TABLES, _END, _SCAN = 0xC4, 0xD9, 0xDA
_COEFFICIENTS = 64
# Progressive encoders write about ten scans. Thousands in a small file would take minutes.
MAX_SCANS = 100


def jpeg_damage(data: bytes) -> str | None:
    """Say what is missing or damaged; None for a whole file."""
    return _Structure().damage(data) or _decoding_damage(data)


def _decoding_damage(data: bytes) -> str | None:
    """Decode strictly, as small as possible: all scan data is read, few pixels are made."""
    try:
        _, _, colours, _ = simplejpeg.decode_jpeg_header(data)
        wanted = "CMYK" if colours in ("CMYK", "YCCK") else "GRAY"
        simplejpeg.decode_jpeg(data, wanted, fastdct=True, fastupsample=True, min_factor=8)
    except ValueError as error:
        return f"JPEG damaged: {' '.join(str(error).split())}"
    return None


@dataclass
class _Structure:
    """Follows the markers of a file up to its end marker.

    Attributes:
        components: of the frame, by their ids.
        done: component -> coefficients whose last bit is in a scan.
        shortest: (class, id) of a Huffman table -> symbol of its code of zeros; classes are 0 (DC)
            and 1 (AC).
        scans: seen so far.
    """

    components: bytes = b""
    done: dict[int, set[int]] = field(default_factory=dict)
    shortest: dict[tuple[int, int], int] = field(default_factory=dict)
    scans: int = 0

    def damage(self, data: bytes) -> str | None:
        pattern, position = _MARKER, 2
        while found := pattern.search(data, position):
            kind, position, pattern = found.group(1)[0], found.end(), _MARKER
            if kind == _END:
                missing = [c for c in self.components if len(self.done.get(c, ())) < _COEFFICIENTS]
                is_whole = self.components and not missing
                return None if is_whole else "JPEG damaged: scans of the picture are missing"
            if kind in _NO_LENGTH:
                continue
            end = position + max(2, int.from_bytes(data[position : position + 2], "big"))
            segment, position = data[position + 2 : end], end
            if kind in _FRAMES:
                self.components = segment[6 : 6 + 3 * segment[5] : 3]
            elif kind == _HUFFMAN_TABLES:
                self._tables(segment)
            elif kind == _SCAN:
                pattern = _AFTER_SCAN
                after = pattern.search(data, position)
                problem = self._scan(segment, data, position, after.start() if after else len(data))
                if problem is not None:
                    return problem
        return f"JPEG cut short after {len(data)} bytes"

    def _tables(self, segment: bytes) -> None:
        while len(segment) > 17:
            place, symbols = segment[0], sum(segment[1:17])
            self.shortest[place >> 4, place & 0x0F] = segment[17]
            segment = segment[17 + symbols :]

    def _scan(self, segment: bytes, data: bytes, start: int, end: int) -> str | None:
        self.scans += 1
        if self.scans > MAX_SCANS:
            return f"JPEG damaged: expected at most {MAX_SCANS} scans, found more"
        count = segment[0]
        first, last, bits = segment[1 + 2 * count : 4 + 2 * count]
        if bits & 0x0F == 0:
            for component in segment[1 : 1 + 2 * count : 2]:
                self.done.setdefault(component, set()).update(range(first, last + 1))
        zeros_are_flat = all(
            self._is_flat(table, first, last) for table in segment[2 : 2 + 2 * count : 2]
        )
        if not zeros_are_flat and has_hole(data, start, end):
            return "JPEG damaged: a stretch of zeros inside its picture"
        return None

    def _is_flat(self, table: int, first: int, last: int) -> bool:
        """Tell whether zeros are how this scan stores a flat surface, by its Huffman codes.

        Otherwise zeros stand for a difference at every pixel, which no picture has for long.
        """
        is_flat = first > 0 or self.shortest.get((0, table >> 4), 0) == 0
        if last > 0:
            symbol = self.shortest.get((1, table & 0x0F), 1)
            # The end of a block, or of a run of blocks.
            is_flat &= symbol & 0x0F == 0 and symbol < 0xF0
        return is_flat
