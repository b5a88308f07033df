"""Changed inputs: bytes of a seed flipped, cut, repeated and joined, words of its format put in."""

from __future__ import annotations

import random

# Numbers and texts that readers stumble over, whatever the format.
COMMON = (
    b"0", b"-1", b"1e999", b"nan", b"-inf", b"9" * 40, b"1e-320", b"0x7fffffffffffffff", b"true",
    b"null", b"\x00", b"\xff\xfe", b"\xef\xbb\xbf", b"\xc0\x80", b"\xed\xa0\x80", b"\r\n",
    "\u202e".encode(), "\u2028".encode(), b"%00", b"%ff", b"../", b"~nobody", b"\\", b'"', b"'",
    b"[" * 60, b"{" * 60, b"A" * 5000,
)  # fmt: skip
MAX_BYTES = 100_000


class Mutator:
    """Makes inputs from seeds. The same `seed` gives the same inputs in the same order.

    Args:
        seeds: inputs to start from.
        words: pieces of the format, put in beside `COMMON`.
        seed: of the random numbers.
    """

    def __init__(self, seeds: list[bytes], words: tuple[bytes, ...], seed: int):
        self._seeds = seeds
        self._words = COMMON + words
        self._random = random.Random(seed)

    def next(self) -> bytes:
        """Return a seed with one to eight changes; now and then bytes from nowhere."""
        rand = self._random
        if rand.random() < 0.02:
            return rand.randbytes(rand.randrange(200))
        data = bytearray(rand.choice(self._seeds))
        for _ in range(min(8, 1 + int(rand.expovariate(0.6)))):
            self._change(data)
        return bytes(data[:MAX_BYTES])

    def _change(self, data: bytearray) -> None:
        rand = self._random
        at = rand.randrange(len(data) + 1)
        span = min(len(data) - at, 1 + int(rand.expovariate(0.1)))
        kind = rand.randrange(8)
        if kind == 0 and span:
            data[at] ^= 1 << rand.randrange(8)
        elif kind == 1 and span:
            data[at] = rand.randrange(256)
        elif kind == 2:
            del data[at : at + span]
        elif kind == 3:
            data[at:at] = data[at : at + span] * rand.randrange(1, 50)
        elif kind == 4:
            data[at:at] = rand.choice(self._words)
        elif kind == 5:
            data[at : at + span] = rand.choice(self._words)
        elif kind == 6:
            other = rand.choice(self._seeds)
            start = rand.randrange(len(other) + 1)
            data[at : at + span] = other[start : start + rand.randrange(1, 200)]
        else:
            del data[at:]
