"""Masks as labelling tools write them, and where they put them."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.data.image_set import ImageSet, Sample, check_masks, read_image_set
from edge.data.labelled_pictures import TypedPicture, mosaic, read_ids
from edge.data.masks import read_mask_file, shrink
from edge.errors import DataError

SPOT = np.zeros((64, 64), np.uint8)
cv2.circle(SPOT, (40, 24), 9, 255, -1)
ZERO = SPOT * 0
TWO = SPOT.copy()
TWO[24:, :] = np.where(SPOT[24:, :] > 0, 120, 0)

FORMS: dict[str, np.ndarray] = {
    "0/255": SPOT,
    "0/1": SPOT // 255,
    "classes 1 and 2": np.where(TWO == 120, 1, np.where(TWO == 255, 2, 0)).astype(np.uint8),
    "classes 120 and 255": TWO,
    "red": np.dstack([ZERO, ZERO, SPOT]),
    "green": np.dstack([ZERO, SPOT, ZERO]),
    "palette": np.dstack([ZERO, ZERO, SPOT // 255 * 128]),
    "alpha": np.dstack([ZERO, ZERO, ZERO, SPOT]),
    "red with alpha": np.dstack([ZERO, ZERO, SPOT, SPOT]),
    "opaque": np.dstack([SPOT, SPOT, SPOT, ZERO + 255]),
    "16 bits": SPOT.astype(np.uint16) * 257,
    "255 in 16 bits": SPOT.astype(np.uint16),
    "blur": cv2.GaussianBlur(SPOT, (0, 0), 2),
    "faint blur": cv2.GaussianBlur(SPOT // 3, (0, 0), 1),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_every_common_form_shows_the_same_defect(tmp_path: Path, form: str, suffix: str) -> None:
    path = tmp_path / f"m{suffix}"
    cv2.imwrite(str(path), FORMS[form])
    found, spot = read_mask_file(path), SPOT > 0
    assert (found & spot).sum() / (found | spot).sum() > 0.9


@pytest.mark.parametrize("suffix", [".jpg", ".webp", ".bmp"])
def test_lossy_formats_show_it_too(tmp_path: Path, suffix: str) -> None:
    cv2.imwrite(str(tmp_path / f"m{suffix}"), SPOT)
    found, spot = read_mask_file(tmp_path / f"m{suffix}"), SPOT > 0
    assert (found & spot).sum() / (found | spot).sum() > 0.9
    cv2.imwrite(str(tmp_path / f"n{suffix}"), ZERO)
    assert not read_mask_file(tmp_path / f"n{suffix}").any()


def photo() -> np.ndarray:
    x = np.linspace(30, 220, 64)
    return (x[:, None] * 0.6 + x[None] * 0.4).astype(np.uint8)


@pytest.mark.parametrize(
    ("pixels", "message"),
    [
        (255 - SPOT, "its background is white and its defect black; invert it"),
        (SPOT // 255 + 1, "expected black around the defect"),
        (np.dstack([255 - SPOT, 255 - SPOT, ZERO + 255]), "expected black around|white"),
        (photo(), "found a photo"),
        (SPOT.astype(np.float32), "8 or 16 bits"),
    ],
)
def test_what_is_no_mask_is_refused_by_name(
    tmp_path: Path, pixels: np.ndarray, message: str
) -> None:
    path = tmp_path / "m.tif"
    cv2.imwrite(str(path), pixels)
    with pytest.raises(DataError, match=rf"m\.tif: .*({message})"):
        read_mask_file(path)


@pytest.fixture
def part(tmp_path: Path) -> Path:
    """A set with two defects named t0 and t1, without masks."""
    for name in ("train/good/p.png", "test/good/g.png", "test/spot/t0.png", "test/spot/t1.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(tmp_path / name), np.full((64, 64, 3), 90, np.uint8))
    return tmp_path


def put(root: Path, name: str, mask: np.ndarray = SPOT) -> None:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(root / name), mask)


@pytest.mark.parametrize(
    "name",
    ["ground_truth/spot/{}_mask.png", "ground_truth/spot/{}.png", "ground_truth/spot/{}_mask.jpg",
     "ground_truth/spot/{}_MASK.PNG", "ground_truth/spot/{}_gt.bmp", "ground_truth/Spot/{}.png",
     "masks/spot/{}.png", "masks/spot/{}_mask.tif", "masks/{}.png", "mask/mask_{}.png",
     "masks/test/spot/{}.png", "test/ground_truth/spot/{}.png", "test/spot/masks/{}.png",
     "test/spot/{}_mask.png", "Ground Truth/spot/{}.png.png", "gt/spot/{}_ground_truth.png"],
)  # fmt: skip
def test_masks_are_found_where_people_put_them(
    part: Path, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    for stem in ("t0", "t1"):
        put(part, name.format(stem))
    with caplog.at_level(logging.WARNING):
        images = check_masks(read_image_set(part))
    assert [s.path.name for s in images.test] == ["g.png", "t0.png", "t1.png"]
    assert all(s.mask is not None for s in images.test if not s.is_good)
    assert caplog.text == ""


def test_missing_empty_and_left_over_masks_are_listed(
    part: Path, caplog: pytest.LogCaptureFixture
) -> None:
    put(part, "ground_truth/spot/t0_mask.png", ZERO)
    put(part, "ground_truth/spot/t9_mask.png")
    with caplog.at_level(logging.WARNING):
        images = check_masks(read_image_set(part))
    assert all(s.mask is None for s in images.test)
    assert "1 defects have no mask: spot/t1.png" in caplog.text
    assert "1 masks show no defect: spot/t0_mask.png" in caplog.text
    assert "1 masks without a picture: ground_truth/spot/t9_mask.png" in caplog.text


def test_two_masks_for_one_picture_are_refused(part: Path) -> None:
    put(part, "ground_truth/spot/t0_mask.png")
    put(part, "masks/t0.png")
    put(part, "ground_truth/spot/t0.png")
    with pytest.raises(DataError, match=r"t0\.png: .* and .* may both be its mask"):
        read_image_set(part)


def test_a_mask_for_pictures_of_two_types_is_refused(part: Path) -> None:
    put(part, "test/hole/t0.png")
    put(part, "masks/t0.png")
    with pytest.raises(DataError, match="pictures of several types are named t0"):
        read_image_set(part)


@pytest.mark.parametrize(("size", "is_read"), [((32, 32), True), ((128, 128), True),
                                               ((100, 64), False), ((64, 20), False)])  # fmt: skip
def test_a_mask_of_another_size_is_scaled_and_of_another_shape_refused(
    part: Path, size: tuple[int, int], is_read: bool
) -> None:
    for stem in ("t0", "t1"):
        put(part, f"ground_truth/spot/{stem}.png", cv2.resize(SPOT, size))
    if is_read:
        assert check_masks(read_image_set(part)).test[1].mask is not None
    else:
        with pytest.raises(DataError, match=rf"t0\.png: expected .* found {size[0]}x{size[1]}"):
            check_masks(read_image_set(part))


POSITIONS = [(x, y) for x in range(4) for y in range(4)]


@pytest.mark.parametrize("smaller", ["map of training", "size of evaluation", "mosaic"])
def test_a_defect_of_four_pixels_survives_wherever_it_lies(tmp_path: Path, smaller: str) -> None:
    lost: Callable[[Sample], bool] = {
        "map of training": lambda s: not read_ids(TypedPicture(s, 0, 5), (64, 64)).any(),
        "size of evaluation": lambda s: not shrink(read_mask_file(tmp_path / "m.png"),
                                                   (512, 428)).any(),
        "mosaic": lambda s: not _mosaic(read_ids(TypedPicture(s, 0, 5), (64, 64))).any(),
    }[smaller]  # fmt: skip
    for x, y in POSITIONS:
        mask = np.zeros((2048, 2448), np.uint8)
        mask[1001 + 3 * y : 1003 + 3 * y, 1201 + 3 * x : 1203 + 3 * x] = 255
        cv2.imwrite(str(tmp_path / "m.png"), mask)
        assert not lost(Sample(tmp_path / "p.png", "spot", "1", tmp_path / "m.png")), (x, y)


def _mosaic(ids: np.ndarray) -> np.ndarray:
    pictures = [np.zeros((64, 64, 3), np.uint8)] * 4
    return mosaic(pictures, [ids, ids * 0, ids * 0, ids * 0])[1]


def test_no_set_is_changed_by_checking_it(part: Path) -> None:
    images: ImageSet = read_image_set(part)
    assert check_masks(images) == images
