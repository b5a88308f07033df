"""How many bytes an LZW strip of a TIFF file decodes to, without decoding it.

Code widths follow from the number of codes alone, so that all codes between two Clear codes are
read at once. The length of each code's string is one more than that of the string it extends.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_CLEAR, _END, _FIRST = 256, 257, 258
# Codes after a Clear until the table of 4096 strings is full.
_MOST = 4096 - _FIRST
# TIFF widens codes one early: 254 codes of 9 bits, then 512 of 10, 1024 of 11, the rest of 12.
_WIDTHS = np.repeat([9, 10, 11, 12], [254, 512, 1024, _MOST - 1790])
_BEGINS = np.concatenate([[0], np.cumsum(_WIDTHS)[:-1]])
_INDEX = np.arange(_MOST)


def lzw_length(piece: bytes, _expected: int) -> int:
    """Return the decoded length in bytes; -1 for a stream that no encoder writes."""
    stream = np.frombuffer(piece + bytes(4), np.uint8).astype(np.uint32)
    bit, bits, length = 0, 8 * len(piece), 0
    if _codes(stream, 0, bits)[:1].tolist() != [_CLEAR]:
        return -1
    bit = 9
    while True:
        codes = _codes(stream, bit, bits)
        ends = np.flatnonzero((codes == _CLEAR) | (codes == _END))
        used = int(ends[0]) if len(ends) else len(codes)
        strings = _string_lengths(codes[:used])
        if strings is None:
            return -1
        length += int(strings.sum())
        if not len(ends):
            # A table that is full without a Clear is damage; an encoder may leave out the end.
            return length if used < _MOST else -1
        if codes[used] == _END:
            return length
        bit += int(_BEGINS[used] + _WIDTHS[used])


def _codes(stream: NDArray[np.uint32], bit: int, bits: int) -> NDArray[np.int64]:
    """Read the codes from `bit` on, as if none of them were a Clear."""
    begins = bit + _BEGINS
    whole = int(np.searchsorted(begins + _WIDTHS, bits, side="right"))
    begins, widths = begins[:whole], _WIDTHS[:whole]
    byte = begins >> 3
    word = (stream[byte] << 16) | (stream[byte + 1] << 8) | stream[byte + 2]
    codes = (word.astype(np.int64) >> (24 - (begins & 7) - widths)) & ((1 << widths) - 1)
    return np.asarray(codes, np.int64)


def _string_lengths(codes: NDArray[np.int64]) -> NDArray[np.int64] | None:
    """Return the length of each code's string; None when one refers to a string not yet made."""
    index = _INDEX[: len(codes)]
    is_string = codes >= _FIRST
    # String k extends the string of code k after the Clear.
    parent = np.where(is_string, codes - _FIRST, index)
    if np.any(parent[is_string] >= index[is_string]):
        return None
    above = is_string.astype(np.int64)
    while np.any(parent != parent[parent]):
        above += above[parent]
        parent = parent[parent]
    return above + 1
