from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from edge.errors import EngineBuildError
from edge.toolchain.engine_build.disk import check_disk, write_whole


def test_a_disk_that_is_full_is_one_line_and_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full_disk(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    path = tmp_path / "detect.engine"
    path.write_bytes(b"old")
    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(EngineBuildError, match=r"cannot be written: No space left .*; free some"):
        write_whole(path, b"x" * 10)
    assert path.read_bytes() == b"old"


def test_a_file_is_written_whole(tmp_path: Path) -> None:
    path = tmp_path / "detect.engine"
    path.write_bytes(b"longer than what follows")
    write_whole(path, b"x" * 10)
    assert path.read_bytes() == b"x" * 10


def test_room_is_compared_with_what_is_needed(tmp_path: Path) -> None:
    check_disk(tmp_path, 1)
    with pytest.raises(EngineBuildError, match=r"expected \d+ MiB of free space .*, found \d+ MiB"):
        check_disk(tmp_path, 2**60)
