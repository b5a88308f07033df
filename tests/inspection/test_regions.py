from __future__ import annotations

import numpy as np
import pytest

from edge.inspection.regions import MAX_REGIONS, find_regions, whole_frame
from edge.inspection.type_naming import Named


def test_a_square_is_found_where_it_is() -> None:
    level = np.zeros((64, 128), np.float32)
    level[16:24, 32:48] = 2.0
    level[20, 40] = 3.5
    (region,) = find_regions(level, 1.0, (1280, 640), mm_per_px=0.1)
    assert region.bbox_xywh == (320, 160, 160, 80)
    assert region.area_px == pytest.approx(160 * 80)
    assert region.area_mm2 == pytest.approx(128.0)
    assert region.centroid_xy == pytest.approx((400, 200), abs=1)
    assert region.peak == 3.5
    xs, ys = zip(*region.polygon_xy)
    assert (min(xs), max(xs), min(ys), max(ys)) == (325, 475, 165, 235)
    assert region.type == "unknown"


def test_frame_and_map_may_have_other_aspect_ratios() -> None:
    level = np.zeros((10, 10), np.float32)
    level[9, 0] = 1.0
    (region,) = find_regions(level, 0.5, (100, 50))
    assert region.bbox_xywh == (0, 45, 10, 5)
    assert region.area_mm2 is None


def test_regions_come_strongest_first_and_touch_at_corners() -> None:
    level = np.zeros((40, 40), np.float32)
    level[5, 5] = level[6, 6] = 1.0  # one region, 8-connected
    level[20, 20] = 9.0
    level[30, 30] = 4.0
    regions = find_regions(level, 0.5, (40, 40))
    assert [region.peak for region in regions] == [9.0, 4.0, 1.0]
    assert regions[2].area_px == 2


def test_nothing_above_the_threshold_is_no_region() -> None:
    assert find_regions(np.ones((8, 8), np.float32), 1.0, (8, 8)) == ()


def test_the_number_of_regions_is_bounded() -> None:
    level = np.zeros((64, 64), np.float32)
    level[::2, ::2] = np.arange(1, 1025, dtype=np.float32).reshape(32, 32)
    regions = find_regions(level, 0.5, (64, 64))
    assert len(regions) == MAX_REGIONS
    assert regions[0].peak == 1024
    assert regions[-1].peak == 1024 - MAX_REGIONS + 1


def test_the_whole_frame_is_a_region() -> None:
    region = whole_frame(np.full((4, 6), 0.5, np.float32), (60, 40), mm_per_px=0.5)
    assert region.bbox_xywh == (0, 0, 60, 40)
    assert region.area_px == 2400
    assert region.area_mm2 == pytest.approx(600)
    assert region.peak == 0.5


def test_regions_are_named_by_their_own_pixels() -> None:
    level = np.zeros((20, 30), np.float32)
    level[2:6, 2:6], level[12:18, 20:28] = 3.0, 2.0
    seen = []

    def name(inside):
        seen.append(inside)
        return Named(f"peak {inside.max():.0f}", 0.75, inside.max() / 4)

    regions = find_regions(level, 1.0, (300, 200), None, name)
    assert [(r.type, r.type_score) for r in regions] == [("peak 3", 0.75), ("peak 2", 0.75)]
    assert [r.false_alarm for r in regions] == [0.75, 0.5]
    assert np.array_equal(seen[0] + seen[1], level)


def test_a_whole_frame_is_named_by_its_most_conspicuous_place() -> None:
    level = np.full((20, 30), 0.1, np.float32)
    level[2:6, 2:6] = 0.5
    region = whole_frame(
        level, (300, 200), namer=lambda inside: Named(str(int((inside > 0).sum())), 1, 0.25)
    )
    assert (region.type, region.false_alarm) == ("16", 0.25)
