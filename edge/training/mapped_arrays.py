"""Arrays that are computed once, kept as files while a run trains, and read through memory maps.

All space is taken before anything is written: a full disk is told in one line instead of by a
signal, which is what a memory map gives.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from edge.atomic_file import write_text
from edge.errors import WriteError

KEY = "key.json"


class MappedArrays:
    """The arrays of `folder`: those of an earlier call if `key` and sizes agree, else empty ones.

    Args:
        folder: is made if need be.
        key: what the values depend on.
        files: type and shape by file name.

    Raises:
        WriteError: the disk is full or cannot be written.
    """

    def __init__(
        self,
        folder: Path,
        key: Mapping[str, str],
        files: Mapping[str, tuple[DTypeLike, Sequence[int]]],
    ):
        self._folder, self._key = folder, dict(key)
        self.is_current = self._are_current(files)
        if not self.is_current:
            self._make(files)
        mode: Any = "r" if self.is_current else "r+"
        self.arrays: tuple[NDArray[Any], ...] = tuple(
            np.memmap(folder / name, dtype, mode=mode, shape=tuple(shape))
            for name, (dtype, shape) in files.items()
        )

    def finish(self) -> None:
        """Put the values on the disk, and the key last: half a pass is never taken for a whole."""
        for array in self.arrays:
            if isinstance(array, np.memmap):
                try:
                    array.flush()
                except OSError as error:
                    raise WriteError(self._folder, error.strerror or str(error)) from error
        write_text(self._folder / KEY, json.dumps(self._key))

    def _are_current(self, files: Mapping[str, tuple[DTypeLike, Sequence[int]]]) -> bool:
        try:
            key = json.loads((self._folder / KEY).read_text(encoding="utf-8"))
            sizes = {name: (self._folder / name).stat().st_size for name in files}
        except (OSError, ValueError):
            return False
        return bool(key == self._key and sizes == {n: _size(*file) for n, file in files.items()})

    def _make(self, files: Mapping[str, tuple[DTypeLike, Sequence[int]]]) -> None:
        path = self._folder
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            (self._folder / KEY).unlink(missing_ok=True)
            for name, file in files.items():
                path = self._folder / name
                with path.open("wb") as stream:
                    _take_space(stream.fileno(), _size(*file))
        except OSError as error:
            for name in files:  # what a full disk holds of them helps no one
                with suppress(OSError):
                    (self._folder / name).unlink(missing_ok=True)
            raise WriteError(path, error.strerror or str(error)) from error


def _size(dtype: DTypeLike, shape: Sequence[int]) -> int:
    return int(np.dtype(dtype).itemsize * np.prod(shape, dtype=np.int64))


def _take_space(descriptor: int, size: int) -> None:
    if not size:
        return
    try:
        os.posix_fallocate(descriptor, 0, size)
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):
            raise
        # A file system that cannot reserve: write the zeros.
        block = bytes(min(size, 1 << 20))
        for start in range(0, size, len(block)):
            os.write(descriptor, block[: size - start])
        os.fsync(descriptor)
