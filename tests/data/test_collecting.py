from __future__ import annotations

import shutil
from datetime import datetime, timezone
from types import SimpleNamespace

import numpy as np
import pytest

from edge.cameras.source import frame_now
from edge.data.collecting import SPARE_BYTES, GoodPictures, free_path, write_picture
from edge.errors import WriteError


def frame(seed=0, fault=None):
    pixels = np.random.default_rng(seed).integers(0, 255, (64, 64, 3), np.uint8)
    return frame_now("top", 0, None if fault else pixels, fault=fault)


def test_a_name_that_is_taken_is_not_used_again(tmp_path):
    now = datetime(2026, 11, 29, 10, 0, 0, 1500, tzinfo=timezone.utc)
    first = free_path(tmp_path, "top", now)
    assert first.name == "top-20261129T100000001500Z.png"
    first.write_bytes(b"mine")
    second = free_path(tmp_path, "top", now)
    assert second.name == "top-20261129T100000001500Z-2.png"
    second.symlink_to(tmp_path / "nowhere")
    assert free_path(tmp_path, "top", now).name.endswith("Z-3.png")


def test_the_same_frame_twice_is_two_files(tmp_path):
    one = frame()
    assert write_picture(tmp_path, one) != write_picture(tmp_path, one)
    assert len([*tmp_path.iterdir()]) == 2


@pytest.mark.parametrize("missing", [1, SPARE_BYTES])
def test_a_full_disk_is_told_before_the_first_picture(tmp_path, monkeypatch, missing):
    pictures = GoodPictures(tmp_path)
    size = write_picture(tmp_path, frame()).stat().st_size
    free = 10 * size + SPARE_BYTES - missing
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=free))
    with pytest.raises(WriteError, match=r"MiB of free space, found \d+ MiB"):
        pictures.check_space(10, frame())
    free += missing
    pictures.check_space(10, frame())


def test_a_disk_that_fills_up_ends_it_and_leaves_no_half_file(tmp_path, monkeypatch):
    pictures = GoodPictures(tmp_path)
    pictures.offer(frame(1))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=SPARE_BYTES))
    with pytest.raises(WriteError):
        pictures.offer(frame(2))
    assert len([*pictures.folder.iterdir()]) == len(pictures) == 1


def test_what_lies_there_counts_and_broken_files_do_not_stop_it(tmp_path):
    first = GoodPictures(tmp_path)
    first.offer(frame(1))
    (first.folder / "broken.png").write_bytes(b"\x89PNG")
    (first.folder / "notes.txt").write_text("")
    again = GoodPictures(tmp_path)
    assert len(again) == 2
    assert again.offer(frame(1)) == "alike"
    assert again.offer(frame(2)) == "kept"
    assert again.offer(frame(fault="broken")) == "unusable"
