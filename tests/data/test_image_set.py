from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.data.image_set import Sample, hold_out, read_image_set, read_mask, read_pixels
from edge.data.masks import shrink
from edge.errors import DataError


def paint(path: Path, value: int = 100, size: tuple[int, int] = (20, 30)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((*size, 3), value, np.uint8))
    return path


@pytest.fixture
def mvtec(tmp_path: Path) -> Path:
    for index in range(6):
        paint(tmp_path / "train" / "good" / f"{index}.png")
    paint(tmp_path / "test" / "good" / "a.jpg")
    paint(tmp_path / "test" / "hole" / "b.png")
    paint(tmp_path / "test" / "scratch" / "c.bmp")
    paint(tmp_path / "ground_truth" / "hole" / "b_mask.png", 255)
    paint(tmp_path / "ground_truth" / "scratch" / "c.png", 255)
    (tmp_path / "test" / "hole" / "notes.txt").write_text("not a picture")
    return tmp_path


def test_mvtec_layout(mvtec: Path) -> None:
    images = read_image_set(mvtec)
    assert len(images.train) == 6
    assert all(sample.is_good for sample in images.train)
    assert [sample.label for sample in images.test] == ["good", "hole", "scratch"]
    assert images.defect_types == ("hole", "scratch")
    masks = [sample.mask.name if sample.mask else None for sample in images.test]
    assert masks == [None, "b_mask.png", "c.png"]


def test_flat_folder_of_good_parts(tmp_path: Path) -> None:
    for index in range(3):
        paint(tmp_path / f"{index}.png")
    images = read_image_set(tmp_path)
    assert len(images.train) == 3
    assert images.test == ()


@pytest.mark.parametrize("name", ["missing", "."])
def test_no_data_is_said(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match=r"no such folder|found neither"):
        read_image_set(tmp_path / name)


def test_groups_are_never_shared_out(mvtec: Path) -> None:
    rows = [f"train/good/{i}.png,tile{i // 2}" for i in range(6)]
    (mvtec / "split.csv").write_text("file,group\n" + "\n".join(rows))
    images = read_image_set(mvtec)
    assert images.has_groups
    for seed in range(20):
        train, held_out = hold_out(images.train, images.has_groups, seed)
        assert len(held_out) == 2
        assert not {s.group for s in train} & {s.group for s in held_out}


def samples(count: int, per_group: int = 1) -> tuple[Sample, ...]:
    return tuple(Sample(Path(f"{i:04d}.png"), "good", f"g{i // per_group}") for i in range(count))


@pytest.mark.parametrize(
    ("count", "expected"), [(6, 2), (31, 10), (90, 30), (150, 30), (300, 60), (1000, 200)]
)
def test_how_many_are_held_out(count: int, expected: int) -> None:
    train, held_out = hold_out(samples(count), has_groups=False, seed=0)
    assert len(train) + len(held_out) == count
    # Whole blocks of neighbours: within half a block of what is wanted.
    assert abs(len(held_out) - expected) <= max(1, count // 20 / 2 + 1)


def test_neighbours_stay_together_where_groups_are_unknown() -> None:
    _, held_out = hold_out(samples(200), has_groups=False, seed=3)
    numbers = sorted(int(s.path.stem) for s in held_out)
    seams = sum(b - a > 1 for a, b in pairwise(numbers))
    assert seams <= 4, "blocks of ten, not single pictures"


def test_the_split_depends_on_the_seed_alone() -> None:
    first, again, other = (hold_out(samples(200), False, seed)[1] for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_too_few_pictures(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="at least 6 good pictures"):
        hold_out(samples(5), has_groups=False, seed=0)


@pytest.mark.parametrize(("count", "shots", "held"), [(2, 1, 1), (5, 2, 3), (31, 4, 10)])
def test_of_few_pictures_all_but_the_shots_are_held_out(count: int, shots: int, held: int) -> None:
    train, held_out = hold_out(samples(count, 1), has_groups=True, seed=0, shots=shots)
    assert (len(train), len(held_out)) == (count - held, held)


def test_shots_leave_a_picture_to_set_the_threshold() -> None:
    with pytest.raises(DataError, match=r"--shots 2: expected more than 2 good.*--instant"):
        hold_out(samples(2), has_groups=False, seed=0, shots=2)


def test_broken_pictures_are_named(tmp_path: Path) -> None:
    broken = tmp_path / "x.png"
    broken.write_bytes(b"not a picture")
    with pytest.raises(DataError, match=r"x\.png: not a picture: .*; repair it"):
        read_pixels(broken)
    with pytest.raises(DataError, match=r"y\.png: cannot be read: No such file"):
        read_pixels(tmp_path / "y.png")


def test_masks_are_not_fattened(tmp_path: Path) -> None:
    mask = np.zeros((100, 100), np.uint8)
    mask[40:60, 40:60] = 255
    cv2.imwrite(str(tmp_path / "m.png"), mask)
    sample = Sample(tmp_path / "x.png", "hole", "g", tmp_path / "m.png")
    for side in (100, 50, 33, 25):
        share = read_mask(sample, (side, side)).mean()
        assert share == pytest.approx(0.04, rel=0.25)
    good = Sample(tmp_path / "x.png", "good", "g")
    assert not read_mask(good, (5, 7)).any()
    assert read_mask(good, (5, 7)).shape == (7, 5)


def test_a_mask_begins_at_half_brightness_and_more_than_half_of_a_pixel(tmp_path: Path) -> None:
    mask = np.array([[127, 128, 255, 0, 255, 255] * 2] * 12, np.uint8)
    cv2.imwrite(str(tmp_path / "m.png"), mask)
    sample = Sample(tmp_path / "x.png", "hole", "g", tmp_path / "m.png")
    half = [False, True, True, False, True, True]
    assert read_mask(sample, (12, 12))[0].tolist() == half * 2
    # The first two columns are covered by exactly one half.
    assert shrink(np.array([half] * 2), (3, 1))[0].tolist() == [False, False, True]
