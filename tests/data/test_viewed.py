"""Pictures to learn from, seen through a geometry."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edge.data.few_shot import write_shots
from edge.data.image_set import (
    Sample,
    check_masks,
    frame_size,
    read_image_set,
    read_mask,
    read_view,
)
from edge.data.synthetic_defects import DEFECTS, add_defect
from edge.data.viewed import fitted, viewed, viewed_set
from edge.errors import DataError
from edge.geometry.geometry import Geometry
from edge.geometry.view_transform import ViewTransform
from edge.picture_file import encode_picture, read_picture

LEFT = {"rectangle_xywh": [0, 0, 32, 48]}


def written(path: Path, level: int = 100, size_wh: tuple[int, int] = (64, 48)) -> Sample:
    pixels = np.full((size_wh[1], size_wh[0], 3), level, np.uint8)
    pixels[:, : size_wh[0] // 2] = 10
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode_picture(pixels))
    return Sample(path, "good", path.stem)


def test_hidden_pixels_have_the_mean_colour_of_the_seen_ones(tmp_path: Path) -> None:
    samples = [written(tmp_path / f"{level}.png", level) for level in (100, 120)]
    geometry = fitted(Geometry(ignore=[LEFT]), samples)
    assert geometry.fill_bgr == (110, 110, 110)
    assert geometry.size_wh == (64, 48)
    (first, _) = viewed(samples, ViewTransform(geometry))
    assert (read_view(first).pixels_bgr[:, :32] == 110).all()


def test_a_picture_that_the_geometry_does_not_fit_is_named(tmp_path: Path) -> None:
    samples = [written(tmp_path / "a.png"), written(tmp_path / "b.png", size_wh=(80, 60))]
    region = {"rectangle_xywh": [0, 0, 40, 40]}
    with pytest.raises(DataError, match=r"b\.png: geometry: expected a frame of 64x48, got 80x60"):
        fitted(Geometry(region=region, ignore=[LEFT]), samples)
    with pytest.raises(DataError, match=r"a\.png: expected a region inside the view of 64x48"):
        fitted(Geometry(region={"rectangle_xywh": [0, 0, 65, 48]}), samples)
    quarter = Geometry(region={"rectangle_xywh": [0, 0, 0.5, 0.5], "unit": "share"})
    assert fitted(quarter, samples).size_wh is None
    assert frame_size(viewed(samples[1:], ViewTransform(quarter))) == (40, 30)


def test_masks_follow_their_pictures_and_hidden_defects_take_no_part(
    tmp_path: Path, caplog
) -> None:
    for name in ("left", "right"):
        written(tmp_path / "train" / "good" / f"{name}.png")
        written(tmp_path / "test" / "dent" / f"{name}.png")
        mask = np.zeros((48, 64), np.uint8)
        mask[20, 5 if name == "left" else 60] = 255
        path = tmp_path / "ground_truth" / "dent" / f"{name}_mask.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode_picture(mask))
    geometry = Geometry(rotate=180, ignore=[{"rectangle_xywh": [32, 0, 32, 48]}])
    images = check_masks(viewed_set(read_image_set(tmp_path), geometry))
    left, right = images.test
    assert left.mask is None
    assert "1 masks show no defect: dent/left_mask.png" in caplog.text
    assert np.argwhere(read_mask(right, (64, 48))).tolist() == [[27, 3]]


@pytest.mark.parametrize("kind", DEFECTS)
def test_synthetic_defects_are_drawn_where_pixels_are_seen(kind: str) -> None:
    picture = np.random.default_rng(2).integers(0, 256, (96, 96, 3), np.uint8)
    seen = np.zeros((96, 96), bool)
    seen[:, 48:] = True
    changed, mask, _ = add_defect(picture, np.random.default_rng(0), kind, seen)
    assert mask.any()
    assert not mask[:, :48].any()
    assert np.array_equal(changed[:, :48], picture[:, :48])
    assert not np.array_equal(changed, picture)


def test_changed_copies_of_few_pictures_are_hidden_like_their_originals(tmp_path: Path) -> None:
    samples = [written(tmp_path / "a.png")]
    geometry = fitted(Geometry(ignore=[LEFT]), samples)
    made = write_shots(tmp_path / "shots", viewed(samples, ViewTransform(geometry)))
    for copy in made:
        pixels = read_picture(copy.path)
        assert (pixels[:, :32] == geometry.fill_bgr).all()
    # What is mirrored into view is the part, not the fill.
    assert (read_picture(made[17].path)[:, 32:] == 10).all()
