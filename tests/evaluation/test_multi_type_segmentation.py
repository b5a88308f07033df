from __future__ import annotations

import numpy as np
import pytest

from edge.evaluation.multi_type_segmentation import over_products, segmentation


def test_segmentation_of_a_perfect_and_a_blind_volume() -> None:
    truth = np.random.default_rng(0).integers(0, 3, (2, 8, 8))
    perfect = np.eye(3)[truth].transpose(0, 3, 1, 2)
    result = segmentation(list(perfect), list(truth), ("normal", "crack", "hole"))
    assert (result.auroc, result.ap, result.f1, result.skipped) == (1, 1, 1, 0)
    blind = segmentation(list(np.ones((2, 3, 8, 8))), list(truth), ("normal", "crack", "hole"))
    assert blind.auroc == pytest.approx(0.5)
    assert blind.ap == pytest.approx(1 / 3)
    assert blind.per_type["crack"].f1 == 0


def test_segmentation_by_hand() -> None:
    """Two classes, four pixels: ranks as metrics.md section 8, and one wrong pixel."""
    defect = np.array([0.9, 0.8, 0.7, 0.1])
    volume = np.stack([1 - defect, defect]).reshape(2, 2, 2)
    truth = np.array([[1, 0], [1, 0]])
    result = segmentation([volume], [truth], ("normal", "hole"))
    assert result.per_type["hole"].auroc == pytest.approx(0.75)
    assert result.per_type["hole"].ap == pytest.approx(0.5 + 0.5 * 2 / 3)
    assert result.per_type["hole"].f1 == pytest.approx(2 * 2 / (2 + 3))
    assert result.per_type["normal"].f1 == pytest.approx(2 * 1 / (2 + 1))
    assert result.f1 == pytest.approx((0.8 + 2 / 3) / 2)


def test_a_class_without_pixels_is_skipped_and_counted() -> None:
    truth = np.zeros((1, 4, 4), int)
    truth[0, :2] = 1
    volume = np.eye(3)[truth].transpose(0, 3, 1, 2)
    one = segmentation(list(volume), list(truth), ("normal", "crack", "hole"))
    assert one.skipped == 1
    assert set(one.per_type) == {"normal", "crack"}
    truth[0, 2] = 2
    volume = np.eye(3)[np.ones_like(truth)].transpose(0, 3, 1, 2)
    other = segmentation(list(volume), list(truth), ("normal", "crack", "hole"))
    both = over_products([one, other])
    assert both.skipped == 1
    assert both.auroc == pytest.approx((one.auroc + other.auroc) / 2)
    assert both.per_type["hole"] == other.per_type["hole"]
    assert both.per_type["crack"].f1 == pytest.approx((1 + other.per_type["crack"].f1) / 2)
