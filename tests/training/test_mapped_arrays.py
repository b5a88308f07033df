"""Arrays kept on disk: reused when whole, made again when damaged, one line on a full disk."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from edge.errors import WriteError
from edge.training.mapped_arrays import MappedArrays
from edge.training.run_folder import append_log

FILES = {"a.f16": (np.float16, (8, 16)), "b.u8": (np.uint8, (8, 4))}


def filled(folder: Path) -> None:
    kept = MappedArrays(folder, {"pictures": "1"}, FILES)
    for array in kept.arrays:
        array[:] = 3
    kept.finish()


def test_whole_arrays_are_reused(tmp_path: Path) -> None:
    filled(tmp_path)
    kept = MappedArrays(tmp_path, {"pictures": "1"}, FILES)
    assert kept.is_current
    assert all((array == 3).all() for array in kept.arrays)
    assert not MappedArrays(tmp_path, {"pictures": "2"}, FILES).is_current


@pytest.mark.parametrize("size", [0, 5, 300])
@pytest.mark.parametrize("name", ["a.f16", "b.u8", "key.json"])
def test_files_cut_by_a_power_failure_are_made_again(tmp_path: Path, name: str, size: int) -> None:
    filled(tmp_path)
    (tmp_path / name).write_bytes(b"x" * size)
    kept = MappedArrays(tmp_path, {"pictures": "1"}, FILES)
    assert not kept.is_current
    assert [array.shape for array in kept.arrays] == [(8, 16), (8, 4)]
    kept.arrays[0][:] = 1


def test_half_a_pass_is_never_taken_for_a_whole(tmp_path: Path) -> None:
    MappedArrays(tmp_path, {"pictures": "1"}, FILES)
    assert not MappedArrays(tmp_path, {"pictures": "1"}, FILES).is_current


@contextmanager
def no_file_over(size: int) -> Iterator[None]:
    """As on a full disk, no file grows further."""
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))


def test_a_full_disk_is_told_before_the_first_value_and_left_as_it_was(tmp_path: Path) -> None:
    files = {"a.f16": (np.float16, (8,)), "b.f16": (np.float16, (1 << 20,))}
    with no_file_over(4096), pytest.raises(WriteError, match=r"b\.f16: cannot be written: .*free"):
        MappedArrays(tmp_path / "features", {"pictures": "1"}, files)
    assert list((tmp_path / "features").iterdir()) == []


def test_a_log_on_a_full_disk_ends_in_one_line(tmp_path: Path) -> None:
    with no_file_over(4), pytest.raises(WriteError, match=r"log\.jsonl: cannot be written"):
        append_log(tmp_path, {"step": 1})
