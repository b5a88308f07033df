"""Copies of good pictures in other light and another position."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edge.data.image_set import Sample
from edge.data.shifted_copies import shifted, write_shifted
from edge.picture_file import encode_picture, read_picture


@pytest.fixture
def sample(tmp_path: Path) -> Sample:
    rng = np.random.default_rng(0)
    pixels = np.kron(rng.integers(60, 180, (8, 10, 3)), np.ones((8, 8, 1))).astype(np.uint8)
    path = tmp_path / "a.png"
    path.write_bytes(encode_picture(pixels))
    return Sample(path, "good", "part-1")


def test_a_copy_differs_a_little_and_belongs_to_the_same_part(
    sample: Sample, tmp_path: Path
) -> None:
    (copy,) = write_shifted(tmp_path / "out", [sample], seed=3)
    before, after = read_picture(sample.path), read_picture(copy.path)
    assert (copy.label, copy.group, after.shape) == ("good", "part-1", before.shape)
    assert not np.array_equal(before, after)
    # Within 15 % of exposure and 6 % of warmth; what is moved keeps its mean.
    assert 0.75 < after.mean() / before.mean() < 1.25


def test_the_same_seed_writes_the_same_and_keeps_what_is_there(
    sample: Sample, tmp_path: Path
) -> None:
    (one,) = write_shifted(tmp_path / "one", [sample], seed=3)
    (two,) = write_shifted(tmp_path / "two", [sample], seed=3)
    (other,) = write_shifted(tmp_path / "other", [sample], seed=4)
    assert one.path.read_bytes() == two.path.read_bytes() != other.path.read_bytes()
    two.path.write_bytes(b"of an interrupted run")
    write_shifted(tmp_path / "two", [sample], seed=3)
    assert two.path.read_bytes() == b"of an interrupted run"


def test_grey_pictures_stay_grey() -> None:
    grey = np.repeat(np.arange(0, 240, 5, dtype=np.uint8).reshape(6, 8)[..., None], 3, 2)
    found = [shifted(grey, np.random.default_rng(seed)) for seed in range(5)]
    assert all((each == each[..., :1]).all() for each in found)
    colour = grey.copy()
    colour[..., 2] //= 2
    blue = [shifted(colour, np.random.default_rng(seed))[..., 0].mean() for seed in range(5)]
    red = [shifted(colour, np.random.default_rng(seed))[..., 2].mean() for seed in range(5)]
    assert len({round(float(r / b), 2) for r, b in zip(red, blue, strict=True)}) > 1
