"""Multi-type segmentation of a bundle: the volume says what the line says."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.data.image_set import Sample
from edge.evaluation.type_pixels import TypePixels, as_json
from edge.geometry.view_transform import View
from edge.inspection.type_shares import TypeShares

NAMES = ("crack", "hole")
SEEN = np.ones((16, 16), np.bool_)


def defect(folder: Path, label: str, rows: slice) -> Sample:
    mask = np.zeros((16, 16), np.uint8)
    mask[rows, 4:8] = 255
    path = folder / f"{label}_mask.png"
    cv2.imwrite(str(path), mask)
    return Sample(folder / f"{label}.png", label, label, path)


def shares(crack: float, hole: float) -> TypeShares:
    logits = np.zeros((3, 16, 16), np.float32)
    logits[0], logits[1], logits[2] = 50, crack, hole  # normal has no part in the shares
    pixels = np.zeros((16, 16, 3), np.uint8)
    return TypeShares(logits, View(pixels), (16, 16), (16, 16))


def level(rows: slice) -> np.ndarray:
    found = np.full((16, 16), 0.1, np.float32)
    found[rows, 4:8] = 3
    return found


def test_a_map_on_the_masks_and_the_right_type_are_perfect(tmp_path: Path) -> None:
    pixels = TypePixels(NAMES, threshold=1.0)
    pixels.add(defect(tmp_path, "crack", slice(2, 6)), level(slice(2, 6)), shares(4, 0), SEEN)
    pixels.add(defect(tmp_path, "hole", slice(8, 12)), level(slice(8, 12)), shares(0, 4), SEEN)
    pixels.add(Sample(tmp_path / "good.png", "good", "g"), level(slice(0, 0)), None, SEEN)
    found = pixels.segmentation()
    assert found is not None
    assert list(found.per_type) == ["good", *NAMES]
    assert (found.auroc, found.ap, found.f1) == pytest.approx((1, 1, 1))
    assert as_json(found)["per_type"]["hole"]["f1"] == 1


def test_types_confused_cost_types_and_not_normal(tmp_path: Path) -> None:
    pixels = TypePixels(NAMES, threshold=1.0)
    pixels.add(defect(tmp_path, "crack", slice(2, 6)), level(slice(2, 6)), shares(0, 4), SEEN)
    pixels.add(defect(tmp_path, "hole", slice(8, 12)), level(slice(8, 12)), shares(4, 0), SEEN)
    found = pixels.segmentation()
    assert found.per_type["good"].f1 == 1
    assert found.per_type["crack"].f1 == 0
    assert found.per_type["crack"].auroc < 1


def test_below_the_threshold_a_pixel_is_called_normal(tmp_path: Path) -> None:
    pixels = TypePixels(NAMES, threshold=4.0)
    pixels.add(defect(tmp_path, "crack", slice(2, 6)), level(slice(2, 6)), shares(4, 0), SEEN)
    assert pixels.segmentation().per_type["crack"].f1 == 0
    assert pixels.segmentation().per_type["crack"].auroc == 1


def test_hidden_pixels_unknown_types_and_sets_without_masks_count_nowhere(tmp_path: Path) -> None:
    pixels = TypePixels(NAMES, threshold=1.0)
    pixels.add(Sample(tmp_path / "good.png", "good", "g"), level(slice(0, 4)), None, SEEN)
    pixels.add(defect(tmp_path, "dent", slice(2, 6)), level(slice(2, 6)), shares(4, 0), SEEN)
    assert pixels.segmentation() is None
    assert TypePixels((), 1.0).segmentation() is None
    seen = SEEN.copy()
    seen[12:] = False
    wrong = level(slice(2, 6))
    wrong[13:] = 3
    lone = TypePixels(NAMES, threshold=1.0)
    lone.add(defect(tmp_path, "crack", slice(2, 6)), wrong, shares(4, 0), seen)
    assert lone.segmentation().per_type["crack"].f1 == 1
