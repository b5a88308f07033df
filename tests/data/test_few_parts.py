"""Few good parts, and views of them."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from edge.data.few_parts import read_few
from edge.data.image_set import read_image_set
from edge.data.small_changes import MOST, small_changes
from edge.errors import TrainingError
from edge.geometry.view_transform import View


def test_one_picture_is_enough_and_none_is_held_out(plates: Path, tmp_path: Path) -> None:
    shutil.copyfile(read_image_set(plates).train[0].path, tmp_path / "a.png")
    found = read_few(tmp_path)
    assert [sample.path.name for sample in found.train] == ["a.png"]
    assert found.held_out == ()


def test_copies_are_left_out_and_named(
    plates: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for place, sample in enumerate(read_image_set(plates).train[:3]):
        shutil.copyfile(sample.path, tmp_path / f"{place}.png")
    shutil.copyfile(tmp_path / "1.png", tmp_path / "3.png")
    found = read_few(tmp_path)
    assert [sample.path.name for sample in found.train] == ["0.png", "1.png", "2.png"]
    assert "1 good pictures are copies of others, left out: 3.png" in caplog.text


def test_a_set_without_good_pictures_is_refused(plates: Path, tmp_path: Path) -> None:
    shutil.copytree(plates / "test", tmp_path / "test")
    with pytest.raises(TrainingError, match="no pictures in train/good"):
        read_few(tmp_path)


def test_changes_are_small_and_differ() -> None:
    y, x = np.mgrid[0:80, 0:100]
    picture = np.stack([x + 20, y + 40, 200 - x], -1).astype(np.uint8)
    changed = small_changes(View(picture), MOST)
    assert {kind for kind, _ in changed} == {"shift", "rotation", "exposure"}
    for index, (_, pixels) in enumerate(changed):
        assert (pixels.shape, pixels.dtype) == (picture.shape, np.uint8)
        difference = np.abs(pixels.astype(int) - picture).mean()
        assert 0.3 < difference < 20
        assert all((pixels != other).any() for _, other in changed[:index])


def test_what_is_hidden_stays_hidden_in_changed_views() -> None:
    shown = np.full((40, 40, 3), 100, np.uint8)
    seen = np.ones((40, 40), np.bool_)
    seen[:10] = False
    hidden = np.where(seen[..., None], shown, np.uint8(7))
    for _, pixels in small_changes(View(hidden, seen, (), shown), 3):
        assert (pixels[:10] == 7).all()
