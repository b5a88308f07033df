"""Copies of pictures are found, named and kept on one side."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.data.held_out import hold_out_parts, say_leaks
from edge.data.image_set import read_image_set
from edge.errors import DataError


def part(rng: np.random.Generator, size_wh: tuple[int, int] = (128, 96)) -> np.ndarray:
    """The same print on every part; noise, light and a little play set them apart."""
    width, height = size_wh
    pixels = np.full((height, width, 3), 120, np.uint8)
    x, y = rng.integers(-2, 3, 2)
    cv2.circle(pixels, (int(width // 2 + x), int(height // 2 + y)), 30, (200, 200, 200), 5)
    light = np.linspace(*rng.uniform(-15, 15, 2), width)[None, :, None]
    light = light + np.linspace(*rng.uniform(-15, 15, 2), height)[:, None, None]
    return np.clip(pixels + light + rng.normal(0, 8, pixels.shape), 0, 255).astype(np.uint8)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for index in range(24):
        name = tmp_path / f"train/good/p{index:02d}.png"
        name.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(name), part(rng))
    (tmp_path / "test" / "good").mkdir(parents=True)
    cv2.imwrite(str(tmp_path / "test/good/t0.png"), part(rng))
    return tmp_path


COPIES: dict[str, Callable[[Path, Path], object]] = {
    "bytes": shutil.copy,
    "pixels": lambda old, new: cv2.imwrite(str(new.with_suffix(".bmp")), cv2.imread(str(old))),
    "jpeg": lambda old, new: cv2.imwrite(
        str(new.with_suffix(".jpg")), cv2.imread(str(old)), [cv2.IMWRITE_JPEG_QUALITY, 95]
    ),
    "smaller": lambda old, new: cv2.imwrite(
        str(new), cv2.resize(cv2.imread(str(old)), (96, 72), interpolation=cv2.INTER_AREA)
    ),
    "brighter": lambda old, new: cv2.imwrite(
        str(new), cv2.convertScaleAbs(cv2.imread(str(old)), alpha=1.05, beta=4)
    ),
}


@pytest.mark.parametrize("kind", COPIES)
@pytest.mark.parametrize("has_groups", [False, True])
def test_copies_stay_on_one_side_and_are_named(
    folder: Path, kind: str, has_groups: bool, caplog: pytest.LogCaptureFixture
) -> None:
    good = folder / "train/good"
    COPIES[kind](good / "p00.png", good / "p99.png")
    COPIES[kind](good / "p12.png", good / "a12.png")
    if has_groups:
        rows = "".join(f"{path.name},{path.stem}\n" for path in good.iterdir())
        (folder / "split.csv").write_text("file,group\n" + rows)
    images = read_image_set(folder)
    with caplog.at_level(logging.WARNING):
        for seed in range(12):
            train, held = hold_out_parts(images, seed)
            sides = [{s.path.stem for s in side} for side in (train, held)]
            assert all({"p00", "p99"} <= side or not {"p00", "p99"} & side for side in sides)
            assert all({"p12", "a12"} <= side or not {"p12", "a12"} & side for side in sides)
            assert held
    assert "2 good pictures are copies of others" in caplog.text
    assert "p00.png = p99" in caplog.text


def test_different_parts_are_no_copies(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        hold_out_parts(read_image_set(folder), 0)
        say_leaks(read_image_set(folder))
    assert caplog.text == ""


def test_a_set_of_one_picture_many_times_is_refused(tmp_path: Path) -> None:
    pixels = part(np.random.default_rng(0))
    for index in range(8):
        cv2.imwrite(str(tmp_path / f"{index}.png"), pixels)
    with pytest.raises(DataError, match="all 8 good pictures are the same one"):
        hold_out_parts(read_image_set(tmp_path), 0)


def test_lying_and_standing_pictures_are_refused(folder: Path) -> None:
    cv2.imwrite(str(folder / "train/good/p05.png"), part(np.random.default_rng(1), (96, 128)))
    with pytest.raises(DataError, match=r"lie and others stand \(23 of 128x96, 1 of 96x128"):
        hold_out_parts(read_image_set(folder), 0)


def test_test_pictures_that_are_trained_on_are_named(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.copy(folder / "train/good/p03.png", folder / "test/good/x.png")
    (folder / "test/spot").mkdir()
    shutil.copy(folder / "test/good/t0.png", folder / "test/spot/y.png")
    with caplog.at_level(logging.WARNING):
        say_leaks(read_image_set(folder))
    assert "1 test pictures are copies of pictures to train on" in caplog.text
    assert "test/good/x.png = train/good/p03.png" in caplog.text
    assert "1 test pictures have two labels: test/spot/y.png = test/good/t0.png" in caplog.text


def test_cut_outs_of_parts_may_lie_and_stand(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Parts that were cut out of larger pictures have many sizes; nothing was turned."""
    for index, (width, height) in enumerate([(90, 120), (100, 118), (140, 100)]):
        picture = part(np.random.default_rng(index), (width, height))
        cv2.imwrite(str(folder / f"train/good/cut{index}.png"), picture)
    train, held_out = hold_out_parts(read_image_set(folder), 0)
    assert len(train) + len(held_out) == 27
    assert "have 4 sizes" in caplog.text
