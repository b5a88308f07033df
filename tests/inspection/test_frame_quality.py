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


def test_a_range_is_widened_by_its_own_width_where_that_is_more_than_the_least_margin() -> None:
    wide = quality_range([(80.0, 30.0), (140.0, 60.0)])
    assert wide.mean == pytest.approx((80 - 60, 140 + 60))
    assert wide.std[1] == pytest.approx(60 + 30)
    narrow = quality_range([(100.0, 40.0), (104.0, 41.0)])
    assert narrow.mean == pytest.approx((100 - 16, 104 + 16))


def test_a_value_at_the_end_of_the_range_is_accepted_and_one_beyond_is_not() -> None:
    accepted = quality_range([(80.0, 30.0), (140.0, 60.0)])
    low, high = accepted.mean
    assert quality_problem((low, 40.0), accepted) is None
    assert quality_problem((high, 40.0), accepted) is None
    assert quality_problem((low - 0.1, 40.0), accepted) is not None
    assert quality_problem((high + 0.1, 40.0), accepted) is not None
