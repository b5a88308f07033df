"""edge-calibrate on rendered pictures of a board: what it writes, says and refuses."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

from edge.cli.calibrate import main
from edge.geometry.geometry import read_geometry
from edge.geometry.place import read_place
from edge.geometry.view_transform import ViewTransform
from tests.support.checkerboards import (
    BENT,
    ROUND_THE_FRAME,
    STRAIGHT,
    Pose,
    corners_mm,
    project,
    render,
)  # fmt: skip
from tests.support.in_process import run_here

FLAT = Pose((15, 5, 3), (5, 3), 200)


def calibrate(*arguments):
    return run_here(main, "edge-calibrate", *arguments)


def save(path, frame):
    path.parent.mkdir(exist_ok=True)
    cv2.imwrite(str(path), frame)
    return path


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    for index, pose in enumerate(ROUND_THE_FRAME):
        save(folder / "boards" / f"{index}.png", render(BENT, pose, seed=index))
    save(folder / "flat.png", render(BENT, FLAT))
    save(folder / "moved.png", render(BENT, FLAT.slid(-20, 4)))
    save(folder / "straight.png", render(STRAIGHT, Pose()))
    save(folder / "blurred.png", render(STRAIGHT, Pose(), blur_px=1.9))
    return folder


def test_lens_plane_and_scale_of_one_place(pictures, tmp_path) -> None:
    out, board = tmp_path / "place.yaml", ("--board", "9x6", "--pitch-mm", "8")
    done = calibrate("lens", pictures / "boards", *board, "--out", out)
    assert done.returncode == 0, done.stderr
    assert "reprojection error 0.0" in done.stdout
    assert "uncertain by 0." in done.stdout
    done = calibrate("rectify", pictures / "flat.png", *board, "--out", out)
    assert done.returncode == 0, done.stderr
    assert "mm per pixel, uncertainty" in done.stdout
    by_plane = read_place(out).place
    done = calibrate("scale", pictures / "moved.png", *board, "--out", out)
    assert done.returncode == 0, done.stderr
    place = read_place(out).place
    assert place.lens == by_plane.lens
    assert place.rectification == by_plane.rectification
    assert place.scale.method == "checkerboard"
    assert place.scale.measured_on is not None
    difference = abs(place.mm_per_px - by_plane.mm_per_px)
    uncertainty = place.scale.uncertainty_mm_per_px + by_plane.scale.uncertainty_mm_per_px
    assert difference < uncertainty
    # The true distance between two corners, by the whole chain: 64 mm.
    truth = project(corners_mm(), BENT, FLAT)
    first, last = place.from_frame(truth[[0, 8]])
    assert np.linalg.norm(last - first) * place.mm_per_px == pytest.approx(64, rel=3e-3)
    # Another lens makes plane and scale stale: that is said, and the file is refused.
    done = calibrate("lens", *sorted((pictures / "boards").iterdir())[:6], *board, "--out", out)
    assert done.returncode == 0, done.stderr
    assert "run edge-calibrate rectify again" in done.stdout
    assert set(yaml.safe_load(out.read_text())) == {"lens", "rectification", "scale"}
    done = calibrate("scale", pictures / "moved.png", *board, "--out", out)
    assert done.returncode == 2
    assert "rectification was measured with another lens" in done.stderr


def test_a_known_length(pictures, tmp_path) -> None:
    ends = project(corners_mm(), STRAIGHT, Pose())[[0, 8]].ravel()
    between = ",".join(f"{value:.1f}" for value in ends)
    options = ("--length-mm", 64, "--between", between, "--out", tmp_path / "place.yaml")
    done = calibrate("scale", pictures / "straight.png", *options)
    assert done.returncode == 0, done.stderr
    place = read_place(tmp_path / "place.yaml").place
    assert place.scale.method == "length"
    assert abs(place.mm_per_px - 200 / 700) < place.scale.uncertainty_mm_per_px


def test_four_points_of_a_rectangle(pictures, tmp_path) -> None:
    truth = project(corners_mm(), STRAIGHT, Pose())[[0, 8, 53, 45]].ravel()
    points = ",".join(f"{value:.2f}" for value in truth)
    options = ("--points", points, "--rectangle-mm", "64x40", "--out", tmp_path / "place.yaml")
    done = calibrate("rectify", pictures / "straight.png", *options)
    assert done.returncode == 0, done.stderr
    place = read_place(tmp_path / "place.yaml").place
    assert place.rectification.size_wh == (225, 141)
    assert abs(place.mm_per_px - 200 / 700) < place.scale.uncertainty_mm_per_px


@pytest.mark.parametrize(
    ("arguments", "code", "problem"),
    [
        ("scale blurred.png --board 9x6 --pitch-mm 8", 10, "the board is blurred"),
        ("scale straight.png --board 8x6 --pitch-mm 8", 10, "no board with 8x6 inner corners"),
        ("scale straight.png --board 10x7 --pitch-mm 8", 10, "--board counts inner corners"),
        ("scale flat.png --board 9x6 --pitch-mm 8", 10, "the camera looks at an angle"),
        ("scale straight.png --board 9x6", 2, "--pitch-mm: missing"),
        ("scale straight.png --board nine --pitch-mm 8", 2, "--board: expected inner corners"),
        ("scale straight.png --board 9x6 --pitch-mm 0", 2, "--pitch-mm"),
        ("scale straight.png", 2, "expected --board with --pitch-mm"),
        ("scale straight.png --length-mm 5 --between 1,2,3", 2, "--between: expected 4 numbers"),
        ("scale straight.png --length-mm 5 --between 1,2,9000,4", 10, "points inside 640x480"),
        ("scale absent.png --board 9x6 --pitch-mm 8", 10, "absent.png: cannot be read"),
        ("lens straight.png --board 9x6", 10, "at least 5 pictures of the board, found 1"),
        ("lens boards/0.png blurred.png --board 9x6", 10, "the board is blurred"),
        ("rectify straight.png --points 1,1,9,1,1,9,9,9 --rectangle-mm 5x5", 10, "clockwise"),
        ("align straight.png --box 0,0,100", 2, "--box: expected 4 numbers"),
        ("align straight.png --box 0,0,60,60", 10, "shows too little"),
        ("align straight.png --box 600,0,60,60", 10, "inside the picture of 640x480"),
    ],
)
def test_what_is_wrong_is_one_line_and_writes_nothing(
    arguments, code, problem, pictures, tmp_path
) -> None:
    words = [str(pictures / word) if word.endswith(".png") else word for word in arguments.split()]
    done = calibrate(*words, "--out", tmp_path / "place.yaml")
    assert done.returncode == code, done.stderr
    assert problem in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_a_file_that_is_no_place_file_stays_as_it_is(pictures, tmp_path) -> None:
    out = tmp_path / "station.yaml"
    out.write_text("node: box1\n")
    options = ("--board", "9x6", "--pitch-mm", "8", "--out", out)
    done = calibrate("scale", pictures / "straight.png", *options)
    assert done.returncode == 2
    assert "node: unknown key" in done.stderr
    assert out.read_text() == "node: box1\n"


def test_a_template_is_taught_into_a_geometry_file(tmp_path) -> None:
    from tests.geometry.test_alignment import BOX, part, shifted

    picture, out = save(tmp_path / "good.png", part()), tmp_path / "geometry.yaml"
    out.write_text("# the lid\nrotate: 0\n")
    done = calibrate("align", picture, "--box", "200,150,120,100", "--out", out)
    assert done.returncode == 0, done.stderr
    assert out.read_text().startswith("# the lid\nrotate: 0\n")
    alignment = read_geometry(out).alignment
    assert alignment is not None
    found = alignment.find(shifted(part(), BOX, (12.5, -8.5), 3)[0])
    assert np.allclose(found.shift_xy, (12.5, -8.5), atol=0.2)
    assert found.angle_deg == pytest.approx(3, abs=0.1)


def test_a_template_is_taught_in_the_view_that_alignment_sees(tmp_path) -> None:
    from tests.geometry.test_alignment import BOX, part, shifted

    lying = np.rot90(part()).copy()  # by 90 degrees against the clock
    picture, out = save(tmp_path / "good.png", lying), tmp_path / "geometry.yaml"
    out.write_text("rotate: 90\n")
    done = calibrate("align", picture, "--box", "200,150,120,100", "--out", out)
    assert done.returncode == 0, done.stderr
    moved = np.rot90(shifted(part(), BOX, (12, -8), 3)[0]).copy()
    view = ViewTransform(read_geometry(out)).view(moved).pixels_bgr
    x, y, w, h = BOX
    away = view[y : y + h, x : x + w].astype(int) - part()[y : y + h, x : x + w]
    assert np.abs(away).mean() < 3
    out.write_text("rotat: 90\n")
    done = calibrate("align", picture, "--box", "200,150,120,100", "--out", out)
    assert done.returncode == 2
    assert "rotat: unknown key; did you mean rotate?" in done.stderr
