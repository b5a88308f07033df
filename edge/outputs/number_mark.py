"""The newest number in the machine's memory, so that a killed process leaves an exact account.

The number file is written ahead, a block at a time, and says after a crash only how many numbers
may have been given out. A file in /dev/shm outlives the process, though not the machine, and takes
each number in a microsecond without a disk.
"""

from __future__ import annotations

import logging
import os
import stat
import struct
from pathlib import Path
from typing import NamedTuple

from edge.outputs.number_file import HIGHEST
from edge.outputs.outbox_clock import boot_id

log = logging.getLogger(__name__)
MEMORY_DIR = Path("/dev/shm")  # noqa: S108 - shared, so the owner of the file is checked
_NUMBERS = struct.Struct("<QQ")


class Marked(NamedTuple):
    """The highest number given out, and the highest that the outbox has stored."""

    given: int
    stored: int


class NumberMark:
    """Notes numbers in memory; where that is impossible, does nothing.

    Args:
        outbox_id: whose numbers.
        folder: a file system in memory.
    """

    def __init__(self, outbox_id: str, folder: Path = MEMORY_DIR):
        self._path = folder / f"edge-infer.{outbox_id}.numbers"
        self._boot = boot_id().encode()
        self._file: int | None = None
        try:
            self._file = self._opened()
        except OSError as error:
            log.warning(
                "numbers are not kept in memory path=%s: %s; after a crash the station can only "
                "tell how many results were lost at most", self._path, error.strerror or error,
            )  # fmt: skip

    def read(self) -> Marked | None:
        """Return what was noted in this run of the machine, None when nothing was."""
        if self._file is None:
            return None
        data = os.pread(self._file, 4096, 0)
        head, boot = data[: _NUMBERS.size], data[_NUMBERS.size :]
        if len(head) < _NUMBERS.size or boot != self._boot:
            return None
        marked = Marked(*_NUMBERS.unpack(head))
        return marked if marked.stored <= marked.given < HIGHEST else None

    def begin(self, given: int, stored: int) -> None:
        """Begin with these numbers."""
        self._write(_NUMBERS.pack(given, stored) + self._boot, 0)

    def give(self, number: int) -> None:
        """Note that `number` has been given out."""
        self._write(number.to_bytes(8, "little"), 0)

    def store(self, number: int) -> None:
        """Note that `number` has been stored."""
        self._write(number.to_bytes(8, "little"), 8)

    def close(self, *, forget: bool) -> None:
        """Close the mark; `forget` removes it, after a stop in order."""
        if self._file is None:
            return
        os.close(self._file)
        self._file = None
        if forget:
            self._path.unlink(missing_ok=True)

    def _opened(self) -> int:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        file = os.open(self._path, flags, 0o600)
        status = os.fstat(file)
        is_ours = stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid()
        if not is_ours or status.st_nlink != 1:
            os.close(file)
            raise PermissionError(0, "the file belongs to someone else")
        return file

    def _write(self, data: bytes, offset: int) -> None:
        if self._file is None:
            return
        try:
            os.pwrite(self._file, data, offset)
        except OSError as error:  # memory is full: what stands there is no longer true
            log.warning("numbers are no longer kept in memory path=%s: %s", self._path, error)
            self.close(forget=True)
