"""Free space for a build, and writing its files."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from edge.atomic_file import write_bytes
from edge.errors import EngineBuildError, WriteError

# Engine, timing cache and side file. An engine is never much larger than its FP32 graph.
SPARE_BYTES = 64 * 2**20


def check_disk(folder: Path, need_bytes: int) -> None:
    """Check that there is room, before minutes of building.

    Raises:
        EngineBuildError: there is not.
    """
    free = shutil.disk_usage(folder).free
    if free < need_bytes:
        raise EngineBuildError(
            f"{folder}: expected {need_bytes / 2**20:.0f} MiB of free space for the build, found "
            f"{free / 2**20:.0f} MiB; free some or choose another --out"
        )


def write_whole(path: Path, data: Any) -> None:
    """Write a file, any object with a buffer, to the disk, or leave what was there.

    Raises:
        EngineBuildError: it cannot be written, for example for lack of space.
    """
    try:
        write_bytes(path, memoryview(data))
    except WriteError as error:
        raise EngineBuildError(
            f"{path}: cannot be written: {error.reason}; free some space or choose another --out"
        ) from error
