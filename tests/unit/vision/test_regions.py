from __future__ import annotations

import numpy as np
import pytest

from edge.vision.regions import MAX_REGIONS, find_regions, type_maps, whole_frame


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


def test_a_region_gets_the_type_that_prevails_inside_it() -> None:
    anomaly_map = np.zeros((40, 60), np.float32)
    anomaly_map[5:15, 5:15] = anomaly_map[25:35, 40:50] = 2.0
    logits = np.zeros((3, 20, 30), np.float32)
    logits[1, :, :15] = 4.0  # left half: scratch
    logits[2, :, 15:] = 4.0  # right half: dent
    types = type_maps(logits, ("scratch", "dent"), (60, 40))
    assert types.probabilities.shape == (2, 40, 60)
    found = {r.bbox_xywh[0]: r for r in find_regions(anomaly_map, 1.0, (60, 40), None, types)}
    assert (found[5].type, found[40].type) == ("scratch", "dent")
    # softmax of 4 against two zeros, and its share among the types alone
    assert found[5].type_score == pytest.approx(np.exp(4) / (np.exp(4) + 1), abs=1e-3)


def test_a_region_without_a_convincing_type_is_unknown() -> None:
    anomaly_map = np.full((8, 8), 2.0, np.float32)
    types = type_maps(np.zeros((4, 8, 8), np.float32), ("a", "b", "c"), (8, 8))
    (region,) = find_regions(anomaly_map, 1.0, (8, 8), None, types)
    assert region.type == "unknown"
    assert region.type_score == pytest.approx(1 / 3)


def test_the_whole_frame_is_a_region() -> None:
    region = whole_frame(np.full((4, 6), 0.5, np.float32), (60, 40), mm_per_px=0.5)
    assert region.bbox_xywh == (0, 0, 60, 40)
    assert region.area_px == 2400
    assert region.area_mm2 == pytest.approx(600)
    assert region.peak == 0.5
