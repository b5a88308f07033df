from __future__ import annotations

import numpy as np
import pytest

from edge.inspection.frame_quality import grey_statistics, quality_problem, quality_range


def test_statistics_are_over_every_fourth_row_and_all_channels() -> None:
    image = np.random.default_rng(0).integers(0, 255, (40, 50, 3), np.uint8)
    rows = image[::4]
    assert grey_statistics(image) == pytest.approx((rows.mean(), rows.std()), rel=1e-6)


def test_lens_cap_and_glare_are_noticed_and_ordinary_change_is_not() -> None:
    accepted = quality_range([(100.0, 40.0), (110.0, 44.0), (120.0, 42.0)])
    assert quality_problem((108.0, 41.0), accepted) is None
    assert quality_problem((95.0, 35.0), accepted) is None
    assert "brightness 3 outside" in (quality_problem((3.0, 2.0), accepted) or "")
    assert "brightness 254" in (quality_problem((254.0, 2.0), accepted) or "")
    assert "contrast 5 outside" in (quality_problem((110.0, 5.0), accepted) or "")


def test_dark_products_still_have_a_lower_limit_of_contrast() -> None:
    accepted = quality_range([(20.0, 10.0), (24.0, 12.0)])
    assert accepted.std[0] == pytest.approx(5.0)
