"""Any number of keys in ascending order, in memory that does not grow with their number.

An external merge sort: sorted runs of RUN_KEYS go to a temporary file that has no name, so that a
crash leaves nothing behind. They are merged as they are read. What fits in one run stays in memory.
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.errors import WriteError

Keys = NDArray[np.uint64]
# Keys that wait in memory, 8 bytes each.
RUN_KEYS = 1 << 20
# Keys of all runs together that are merged at a time.
MERGE_KEYS = 1 << 21


class SortedKeys:
    """Takes keys in any order and gives them sorted, as often as asked; close it at the end."""

    def __init__(self) -> None:
        self._waiting: list[Keys] = []
        self._run_sizes: list[int] = []
        self._file: io.FileIO | None = None

    def add(self, keys: Keys) -> None:
        """Add (n,) keys.

        Raises:
            WriteError: the folder of temporary files is full or cannot be written.
        """
        self._waiting.append(keys)
        if sum(map(len, self._waiting)) >= RUN_KEYS:
            self._write_run()

    def blocks(self) -> Iterator[Keys]:
        """Yield all keys in ascending order, at most MERGE_KEYS at a time.

        Raises:
            WriteError: as for `add`.
        """
        if self._file is None:
            keys = self._take_waiting()
            self._waiting = [keys]
            for start in range(0, len(keys), MERGE_KEYS):
                yield keys[start : start + MERGE_KEYS]
            return
        self._write_run()
        yield from _merged(self._file, self._run_sizes)

    def close(self) -> None:
        """Give the space on the disk back."""
        self._waiting.clear()
        if self._file is not None:
            self._file.close()

    def _take_waiting(self) -> Keys:
        keys = np.concatenate([np.zeros(0, np.uint64), *self._waiting])
        self._waiting.clear()
        keys.sort()
        return keys

    def _write_run(self) -> None:
        run = self._take_waiting()
        if not len(run):
            return
        try:
            if self._file is None:
                # Without a buffer: a write that fails, fails here.
                self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - see close
            self._file.seek(0, io.SEEK_END)
            rest = run.data.cast("B")
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            reason = f"{error.strerror or error} (TMPDIR names the folder of temporary files)"
            raise WriteError(Path(tempfile.gettempdir()), reason) from error
        self._run_sizes.append(len(run))


class _Run:
    """The part of a sorted run that is read but not merged yet, and what is still in the file."""

    def __init__(self, file: io.FileIO, start: int, end: int):
        self._file, self._next, self._end = file, start, end
        self.keys: Keys = np.zeros(0, np.uint64)

    @property
    def is_read(self) -> bool:
        """Whether nothing of it is in the file any more."""
        return self._next == self._end

    def refill(self, count: int) -> None:
        """Read until `count` keys wait, or all that are left."""
        missing = min(count - len(self.keys), self._end - self._next)
        if not missing:
            return
        self._file.seek(8 * self._next)
        read = np.fromfile(self._file, np.uint64, missing)
        self.keys = np.concatenate([self.keys, read])
        self._next += missing

    def take(self, bound: np.uint64) -> Keys:
        """Remove and return the keys up to `bound`, itself included."""
        cut = int(np.searchsorted(self.keys, bound, side="right"))
        taken, self.keys = self.keys[:cut], self.keys[cut:]
        return taken


def _merged(file: io.FileIO, sizes: list[int]) -> Iterator[Keys]:
    ends = np.cumsum(sizes).tolist()
    runs = [_Run(file, end - size, end) for size, end in zip(sizes, ends, strict=True)]
    share = max(1, MERGE_KEYS // len(runs))
    while True:
        for run in runs:
            run.refill(share)
        runs = [run for run in runs if len(run.keys)]
        if not runs:
            return
        # What is still in the file is not below the last key that was read of its run.
        limits = [run.keys[-1] for run in runs if not run.is_read]
        bound = min(limits) if limits else max(run.keys[-1] for run in runs)
        block = np.concatenate([run.take(bound) for run in runs])
        block.sort()
        yield block
