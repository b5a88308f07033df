"""From a frame to the view that is inspected, and back."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from edge.geometry.frame_unfit import FrameUnfit
from edge.geometry.geometry import Geometry
from edge.geometry.lens import Lens
from edge.geometry.place import Place
from edge.geometry.rectification import Rectification
from edge.geometry.region import Region
from edge.geometry.teaching import teach_alignment
from edge.geometry.view_transform import ViewTransform
from edge.grey_picture import as_bgr
from edge.picture_file import encode_picture
from tests.support.geometry_pictures import moved_part, part_picture

RECTANGLE = Region(rectangle_xywh=(10, 20, 60, 50))
TRIANGLE = Region(polygon_xy=((10, 20), (69, 20), (10, 69)))


def frame(width: int = 160, height: int = 100) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


def test_without_a_geometry_the_frame_itself_is_the_view() -> None:
    whole = frame()
    view = ViewTransform().view(whole)
    assert view.pixels_bgr is whole
    assert view.seen is None
    assert not view.moves


@pytest.mark.parametrize("rotate", [0, 90, 180, 270])
@pytest.mark.parametrize("region", [None, RECTANGLE, TRIANGLE])
def test_each_pixel_of_the_view_is_that_of_its_place_in_the_frame(rotate, region) -> None:
    whole = frame()
    view = ViewTransform(Geometry(rotate=rotate, region=region)).view(whole)
    x, y = np.meshgrid(*(np.arange(side) for side in view.size_wh))
    seen = np.ones(x.shape, bool) if view.seen is None else view.seen
    points = np.column_stack([x[seen], y[seen]])
    back = np.rint(view.to_frame(points)).astype(int)
    assert np.array_equal(view.pixels_bgr[seen], whole[back[:, 1], back[:, 0]])
    assert np.allclose(view.from_frame(view.to_frame(points)), points)


def test_a_quarter_turn_is_clockwise_as_seen() -> None:
    whole = frame()
    assert np.array_equal(
        ViewTransform(Geometry(rotate=90)).view(whole).pixels_bgr[0, -1], whole[0, 0]
    )


def test_shares_of_the_sides_fit_frames_of_any_size() -> None:
    quarter = Region(rectangle_xywh=(0.5, 0, 0.5, 0.5), unit="share")
    transform = ViewTransform(Geometry(region=quarter))
    for size in ((160, 100), (320, 200)):
        whole = frame(*size)
        half = (size[1] // 2, size[0] // 2)
        assert np.array_equal(transform.view(whole).pixels_bgr, whole[: half[0], half[1] :])


def test_what_lies_in_a_mask_or_outside_of_a_polygon_changes_no_pixel_of_the_view(tmp_path) -> None:
    painted = np.zeros((100, 160), np.uint8)
    painted[60:66, 12:20] = 255
    (tmp_path / "mask.png").write_bytes(encode_picture(painted))
    path = tmp_path / "geometry.yaml"
    path.write_text(
        "region: {polygon_xy: [[10, 20], [90, 20], [10, 90]]}\n"
        "ignore:\n- rectangle_xywh: [20, 30, 8, 8]\n- file: mask.png\n"
        "- polygon_xy: [[40, 25], [50, 25], [50, 35]]\n"
        "fill_bgr: [1, 2, 3]\n"
    )
    from edge.geometry.geometry import read_geometry

    geometry = read_geometry(path)
    # What run and recipe store needs the picture's file no more.
    geometry = Geometry.model_validate(geometry.model_dump(mode="json"))
    transform = ViewTransform(geometry)
    whole = frame()
    view = transform.view(whole)
    x, y = np.meshgrid(*(np.arange(side) for side in view.size_wh))
    at = view.to_frame(np.column_stack([x[view.seen], y[view.seen]])).astype(int)
    outside = np.ones(whole.shape[:2], bool)
    outside[at[:, 1], at[:, 0]] = False
    assert outside[60:66, 12:20].all()
    assert outside[30:38, 20:28].all()
    assert outside[26, 49]
    assert outside[80:, 80:].all()
    assert not outside[40, 40]
    changed = whole.copy()
    changed[outside] = 255 - changed[outside]
    assert np.array_equal(transform.view(changed).pixels_bgr, view.pixels_bgr)
    assert (view.pixels_bgr[~view.seen] == (1, 2, 3)).all()
    changed[40, 40] = 255 - changed[40, 40]
    assert not np.array_equal(transform.view(changed).pixels_bgr, view.pixels_bgr)
    assert np.array_equal(whole, frame()), "the frame stays as it is"


def test_masks_of_defects_move_with_the_picture() -> None:
    marked = np.zeros((100, 160), bool)
    marked[40, 50] = marked[90, 150] = True
    view = ViewTransform(Geometry(rotate=180, region=RECTANGLE)).view(frame())
    assert not view.mask(marked).any(), "outside of the region"
    view = ViewTransform(Geometry(rotate=90, region=Region(rectangle_xywh=(40, 30, 30, 30)))).view(
        frame()
    )
    ((y, x),) = np.argwhere(view.mask(marked))
    assert view.to_frame([[x, y]]).tolist() == [[50, 40]]


def test_a_part_that_lies_elsewhere_gives_the_view_of_the_taught_one() -> None:
    taught = part_picture()
    alignment = teach_alignment(taught, (120, 90, 96, 80), max_shift_px=30)
    region = Region(rectangle_xywh=(100, 70, 140, 120))
    transform = ViewTransform(Geometry(alignment=alignment, region=region))
    moved, matrix = moved_part(taught, (9.0, -6.0), 3.0)
    view, of_taught = transform.view(moved), transform.view(taught)
    point = np.array([[60.0, 50.0]])
    expected = matrix @ np.append(of_taught.to_frame(point)[0], 1)
    assert np.abs(view.to_frame(point)[0] - expected).max() < 0.5
    difference = np.abs(view.pixels_bgr.astype(int) - of_taught.pixels_bgr)
    assert difference[5:-5, 5:-5].mean() < 8


BENT_PLACE = Place(
    lens=Lens(
        size_wh=(160, 100), focal_xy_px=(140.0, 141.0), centre_xy_px=(80.5, 49.0),
        distortion=(-0.3, 0.1, 0.001, -0.002, 0.0),
    ),
    rectification=Rectification(
        points_xy=((3, 2), (150, 8), (155, 95), (1, 90)), size_wh=(150, 96), frame_wh=(160, 100)
    ),
)  # fmt: skip


@pytest.mark.parametrize("place", [None, BENT_PLACE], ids=["as it is", "bent"])
@pytest.mark.parametrize("region", [None, TRIANGLE, RECTANGLE])
@pytest.mark.parametrize("fill_bgr", [None, (1, 2, 3)])
def test_a_grey_frame_gives_the_view_that_three_equal_channels_give(
    place, region, fill_bgr
) -> None:
    grey = frame()[..., 0]
    transform = ViewTransform(Geometry(rotate=90, region=region, fill_bgr=fill_bgr), place)
    expected = transform.view(np.repeat(grey[..., None], 3, axis=2))
    view = transform.view(as_bgr(grey))
    assert np.array_equal(view.pixels_bgr, expected.pixels_bgr)
    assert view.steps == expected.steps


def test_a_part_is_found_and_moved_back_alike_in_a_grey_frame() -> None:
    grey = cv2.cvtColor(part_picture(), cv2.COLOR_BGR2GRAY)
    three = np.repeat(grey[..., None], 3, axis=2)
    alignment = teach_alignment(three, (120, 90, 96, 80), max_shift_px=30)
    transform = ViewTransform(Geometry(alignment=alignment))
    moved = moved_part(three, (9.0, -6.0), 3.0)[0]
    view = transform.view(as_bgr(np.ascontiguousarray(moved[..., 0])))
    assert np.array_equal(view.pixels_bgr, transform.view(moved).pixels_bgr)
    assert view.steps


def test_the_place_stands_in_for_the_lens_and_the_plane_of_the_training() -> None:
    left, right = (
        Rectification(points_xy=((x, 0), (x + 63, 0), (x + 63, 63), (x, 63)), size_wh=(64, 64))
        for x in (0, 96)
    )
    whole, geometry = frame(), Geometry(rectification=left, rotate=180)
    view = ViewTransform(geometry, Place(rectification=right)).view(whole)
    assert np.array_equal(view.pixels_bgr, whole[63::-1, 159:95:-1])
    assert np.array_equal(
        ViewTransform(geometry, Place()).view(whole).pixels_bgr, whole[63::-1, 63::-1]
    )


@pytest.mark.parametrize(
    ("geometry", "problem"),
    [
        (Geometry(size_wh=(320, 200)), "geometry: expected a frame of 320x200, got 160x100"),
        (
            Geometry(region=Region(rectangle_xywh=(100, 0, 80, 50))),
            "region: expected a region inside",
        ),
        (Geometry(region=Region(rectangle_xywh=(0, 0, 4, 4))), "at least 8x8 pixels, found 4x4"),
        (Geometry(ignore=({"rectangle_xywh": (0, 0, 160, 100)},)), "all are ignored"),
    ],
)
def test_a_frame_that_does_not_fit_is_refused_in_one_line(geometry, problem) -> None:
    with pytest.raises(FrameUnfit, match=problem):
        ViewTransform(geometry).view(frame())
