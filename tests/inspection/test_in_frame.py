from __future__ import annotations

import cv2
import numpy as np
import pytest

from edge.geometry.lens import Lens
from edge.geometry.place import Place
from edge.geometry.rectification import Rectification
from edge.inspection.in_frame import map_grid, map_in_frame, region_in_frame
from edge.inspection.regions import find_regions
from edge.result import Region

LENS = Lens(
    size_wh=(640, 480),
    focal_xy_px=(700, 700),
    centre_xy_px=(322, 238),
    distortion=(-0.25, 0.08, 0.001, -0.0008, 0),
)
PLANE = Rectification(points_xy=((60, 40), (580, 60), (610, 440), (30, 420)), size_wh=(500, 400))
PLACES = (Place(lens=LENS), Place(rectification=PLANE), Place(lens=LENS, rectification=PLANE))


def spot(size_wh, at, radius):
    picture = np.zeros((size_wh[1], size_wh[0]), np.uint8)
    cv2.circle(picture, at, radius, 255, -1)
    return picture


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("at", [(320, 240), (120, 110), (500, 380)])
def test_a_region_of_the_view_lies_on_its_defect_in_the_frame(place, at) -> None:
    frame = spot((640, 480), at, 14)
    view = place.apply(frame)
    level = (view / 255).astype(np.float32)
    (seen,) = find_regions(level, 0.5, (view.shape[1], view.shape[0]), 0.1)
    region = region_in_frame(seen, place, (640, 480))
    (true,) = find_regions((frame / 255).astype(np.float32), 0.5, (640, 480))
    assert np.abs(np.subtract(region.centroid_xy, true.centroid_xy)).max() < 1
    assert region.area_px == pytest.approx(true.area_px, rel=0.03)
    assert region.area_mm2 == seen.area_mm2
    x, y, w, h = region.bbox_xywh
    tx, ty, tw, th = true.bbox_xywh
    # The box of a turned box is larger than that of what is in it.
    assert 0 <= tx - x <= 4
    assert 0 <= ty - y <= 4
    assert 0 <= (x + w) - (tx + tw) <= 4
    assert 0 <= (y + h) - (ty + th) <= 4
    for px, py in region.polygon_xy:
        assert abs(np.hypot(px - at[0], py - at[1]) - 14) < 2.5


@pytest.mark.parametrize("place", PLACES)
def test_a_map_of_the_view_lies_on_its_defect_in_the_frame(place) -> None:
    frame = spot((640, 480), (150, 330), 20)
    view = place.apply(frame)
    view_wh = (view.shape[1], view.shape[0])
    small = cv2.resize((view / 255).astype(np.float32), (200, 160), interpolation=cv2.INTER_AREA)
    grid = map_grid(place, view_wh, (640, 480), (200, 160))
    shown = map_in_frame(small, grid)
    assert shown.shape == small.shape
    large = cv2.resize(shown, (640, 480), interpolation=cv2.INTER_LINEAR)
    where = np.argwhere(large > 0.5)
    assert np.abs(where.mean(axis=0) - (330, 150)).max() < 1
    if place.rectification is not None:
        assert shown[0].max() == 0, "what the view does not show"


def test_what_lies_outside_of_the_frame_is_cut_off() -> None:
    wide = Rectification(
        points_xy=((-100, -100), (700, -100), (700, 600), (-100, 600)), size_wh=(400, 350)
    )
    whole = Region((0, 0, 400, 350), ((0, 0), (399, 0), (399, 349), (0, 349)), 140000, None,
                   (200, 175), 1.0)  # fmt: skip
    region = region_in_frame(whole, Place(rectification=wide), (640, 480))
    assert region.bbox_xywh == (0, 0, 640, 480)
    assert region.polygon_xy == ((0, 0), (639, 0), (639, 479), (0, 479))
