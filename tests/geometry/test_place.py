from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from edge.errors import ConfigError
from edge.geometry.document_file import write_sections
from edge.geometry.frame_unfit import FrameUnfit
from edge.geometry.lens import Lens
from edge.geometry.place import Place, PlaceSections, digits_of, read_place
from edge.geometry.rectification import Rectification
from edge.geometry.scale import Scale
from tests.support.checkerboards import BENT, Pose, render

ROOT = Path(__file__).resolve().parents[2]
LENS = Lens(
    size_wh=BENT.size_wh,
    focal_xy_px=(700.0, 700.0),
    centre_xy_px=BENT.centre_xy,
    distortion=BENT.distortion,
)
PLANE = Rectification(points_xy=((40, 30), (600, 50), (630, 450), (20, 430)), size_wh=(500, 400))


def test_frames_are_undistorted_then_rectified(tmp_path) -> None:
    place = Place(lens=LENS, rectification=PLANE)
    frame = render(BENT, Pose())
    assert np.array_equal(place.apply(frame), PLANE.apply(LENS.apply(frame)))
    points = np.random.default_rng(0).uniform(0, 399, (40, 2))
    assert np.allclose(place.to_frame(points), LENS.to_frame(PLANE.to_frame(points)))
    assert np.abs(place.from_frame(place.to_frame(points)) - points).max() < 1e-4
    with pytest.raises(FrameUnfit, match="lens: expected a frame of 640x480"):
        place.apply(frame[:400])


def test_an_empty_place_changes_nothing() -> None:
    frame = render(BENT, Pose())
    assert Place().apply(frame) is frame
    assert Place().mm_per_px is None
    assert np.array_equal(Place().to_frame([(3, 4)]), [[3, 4]])


def test_a_file_keeps_what_was_written(tmp_path) -> None:
    path = tmp_path / "place.yaml"
    plane = PLANE.model_copy(update={"measured_through": digits_of(LENS)})
    through = PlaceSections(lens=LENS, rectification=plane).through
    scale = Scale(mm_per_px=0.0512345678901, method="checkerboard", measured_through=through)
    write_sections(path, {"scale": scale})
    write_sections(path, {"lens": LENS, "rectification": plane})
    found = read_place(path)
    assert found.place == Place(lens=LENS, rectification=plane, scale=scale)
    assert found.place.mm_per_px == scale.mm_per_px
    assert found.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_scale_of_another_lens_is_refused(tmp_path) -> None:
    path = tmp_path / "place.yaml"
    scale = Scale(mm_per_px=0.05, measured_through=PlaceSections().through)
    plane = PLANE.model_copy(update={"measured_through": digits_of(None)})
    write_sections(path, {"rectification": plane, "scale": scale, "lens": LENS})
    with pytest.raises(ConfigError) as caught:
        read_place(path)
    (problem,) = caught.value.problems
    assert "run edge-calibrate rectify again; scale was measured with another lens" in problem
    # A scale that a person states is taken as it is.
    write_sections(path, {"rectification": PLANE, "scale": Scale(mm_per_px=0.05)})
    assert read_place(path).place.mm_per_px == 0.05


def test_the_example_is_valid() -> None:
    place = read_place(ROOT / "configs" / "place.yaml").place
    assert place.lens is not None
    assert place.rectification is not None
    points = np.array([[100.0, 100.0], [1000, 900]])
    assert np.abs(place.from_frame(place.to_frame(points)) - points).max() < 1e-3


def test_other_sections_and_comments_stay(tmp_path) -> None:
    path = tmp_path / "geometry.yaml"
    before = "# of line 4\nroi: [1, 2, 3, 4]   # the lid\n\n"
    before += "scale:\n  mm_per_px: 1\n# last\nother:\n- a\n"
    path.write_text(before)
    write_sections(path, {"scale": Scale(mm_per_px=0.5)})
    assert path.read_text() == before.replace(
        "scale:\n  mm_per_px: 1\n", "scale: {mm_per_px: 0.5, method: stated}\n"
    )
    path.write_text("{scale: {mm_per_px: 1}, other: 7}")
    write_sections(path, {"scale": Scale(mm_per_px=0.5)})
    assert "other: 7" in path.read_text()
    assert "mm_per_px: 0.5" in path.read_text()
    for text in ("- a list\n", "plain\n", "\x00"):
        path.write_text(text)
        with pytest.raises(ConfigError):
            write_sections(path, {"scale": Scale(mm_per_px=0.5)})
        assert path.read_text() == text
