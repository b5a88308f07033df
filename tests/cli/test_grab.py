"""edge-grab on the simulated conveyor and on files."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest
import typer

from edge.cli.grab import app
from edge.errors import CameraUnavailable, ConfigError
from edge.picture_file import read_picture
from tests.support.bundles import ROOT

COMMAND = [sys.executable, "-c", "from edge.cli.grab import main; main()"]
CONVEYOR = "test://conveyor?defect_rate=0&size=160x120"


def grab(*arguments):
    return app([str(each) for each in arguments], standalone_mode=False)


def grab_json(capsys, *arguments):
    grab(*arguments, "--json")
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def parts(folder, count=4):
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(1)
    for number in range(count):
        pixels = cv2.resize(rng.integers(0, 255, (12, 16, 3), np.uint8), (64, 48))
        cv2.imwrite(str(folder / f"{number}.png"), pixels)
    return folder


def test_a_live_frame_becomes_a_file_with_figures(tmp_path, capsys):
    grab(f"{CONVEYOR}&fps=100", "--out", tmp_path / "new")
    (path,) = (tmp_path / "new").iterdir()
    assert path.suffix == ".png"
    assert read_picture(path).shape == (120, 160, 3)
    out = capsys.readouterr().out
    assert f"{path}: 160x120 pixels" in out
    for figure in ("sharpness", "brightness", "dark", "saturated", "histogram"):
        assert figure in out


def test_the_file_is_what_the_source_gave(tmp_path, capsys):
    source = parts(tmp_path / "in", 1) / "0.png"
    (said,) = grab_json(capsys, f"file://{source}", "--out", tmp_path)
    assert (read_picture(tmp_path / said["picture"]) == read_picture(source)).all()
    assert said["size_wh"] == [64, 48]
    assert sum(said["histogram"]) == pytest.approx(1)


def test_a_broken_picture_is_passed_over_and_only_broken_ones_are_an_error(tmp_path, capsys):
    folder = parts(tmp_path / "in", 1)
    (folder / "-1.png").write_bytes(b"\x89PNG\r\n")
    grab(f"file://{folder}", "--out", tmp_path)
    (folder / "0.png").unlink()
    with pytest.raises(CameraUnavailable, match="expected a frame with a picture, got none: -1"):
        grab(f"file://{folder}", "--out", tmp_path)


def test_watching_shows_figures_until_the_end(capsys):
    lines = grab_json(capsys, f"{CONVEYOR}&parts=5", "--watch")
    assert lines
    assert {"sharpness", "mean", "dark", "saturated"} <= set(lines[-1])
    grab(f"{CONVEYOR}&parts=5", "--watch")
    assert "(best " in capsys.readouterr().out


def test_good_pictures_are_collected_and_earlier_ones_stay(tmp_path, capsys):
    folder = tmp_path / "train" / "good"
    (said,) = grab_json(capsys, f"{CONVEYOR}&parts=30", "--out", tmp_path, "--good", 8)
    assert said["new"] == said["pictures"] == 8
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert len(before) == 8
    (said,) = grab_json(capsys, f"{CONVEYOR}&seed=2&parts=30", "--out", tmp_path, "--good", 5)
    assert (said["new"], said["pictures"]) == (5, 13)
    after = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert before.items() <= after.items()
    assert len(after) == 13


def test_near_duplicates_are_refused_and_counted_also_against_earlier_runs(tmp_path, capsys):
    address = f"file://{parts(tmp_path / 'in', 4)}?loop=1"
    (said,) = grab_json(capsys, address, "--out", tmp_path / "out", "--good", 4)
    assert said["refused"]["alike"] == 0
    with pytest.raises(CameraUnavailable, match=r"expected 1 new pictures .* ended after 0"):
        grab(address.removesuffix("?loop=1"), "--out", tmp_path / "out", "--good", 1)
    assert "refused: 4 near-duplicates" in capsys.readouterr().out


def test_a_part_that_stays_is_told(tmp_path, capsys):
    folder = parts(tmp_path / "in", 1)
    for number in range(1, 120):
        os.link(folder / "0.png", folder / f"{number}.png")
    with pytest.raises(CameraUnavailable):
        grab(f"file://{folder}", "--out", tmp_path, "--good", 2)
    assert "100 frames in a row show what was taken before: move the part" in (
        capsys.readouterr().err
    )


def test_simulated_defects_and_broken_frames_are_no_good_parts(tmp_path, capsys):
    address = "test://conveyor?defect_rate=0.5&size=160x120&parts=60&fault=corrupt:0.2"
    (said,) = grab_json(capsys, address, "--out", tmp_path, "--good", 10)
    assert said["refused"]["defect"] > 0
    assert said["refused"]["unusable"] > 0


def test_a_station_file_gives_the_camera_and_its_pipelines(tmp_path, capsys):
    parts(tmp_path / "in", 1)
    text = "node: a\nstation: b\nbundle: nowhere\ncamera: {source: 'file://in', name: top}\n"
    (tmp_path / "station.yaml").write_text(text)
    (said,) = grab_json(capsys, "--station", tmp_path / "station.yaml", "--out", tmp_path)
    assert "/top-" in said["picture"]
    with pytest.raises(ConfigError, match="expected a pipeline of the station file"):
        grab("gst://belt", "--station", tmp_path / "station.yaml", "--out", tmp_path)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "expected a camera address, or --station FILE"),
        ([CONVEYOR, "--good", "5"], "--good needs --out FOLDER"),
        ([CONVEYOR, "--good", "5", "--out", "x", "--watch"], "goes without --watch"),
    ],
)
def test_options_that_make_no_sense_are_refused(arguments, expected):
    with pytest.raises(typer.BadParameter, match=expected):
        grab(*arguments)


@pytest.mark.parametrize(
    ("address", "code", "expected"),
    [
        ("foo", 2, "error: expected a camera address such as v4l2:///dev/video0"),
        ("tset://conveyor", 2, "error: camera address tset://conveyor: tset:// is unknown"),
        ("v4l2:///dev/nowhere", 5, "error: cam0: /dev/nowhere: expected a video device"),
    ],
)
def test_exit_codes(address, code, expected, tmp_path):
    done = subprocess.run(
        [*COMMAND, address, "--out", str(tmp_path)],
        capture_output=True, text=True, cwd=ROOT, check=False,
    )  # fmt: skip
    assert done.returncode == code
    assert done.stderr.startswith(expected)
    assert done.stderr.count("\n") == 1


def test_a_folder_that_cannot_be_written_is_exit_code_8(tmp_path):
    (tmp_path / "file").write_text("")
    for more in ([], ["--good", "2"]):
        done = subprocess.run(
            [*COMMAND, CONVEYOR, "--out", str(tmp_path / "file" / "x"), *more],
            capture_output=True, text=True, cwd=ROOT, check=False,
        )  # fmt: skip
        assert done.returncode == 8, done.stderr
        assert done.stderr.splitlines()[-1].startswith(f"error: {tmp_path}/file")


def test_ctrl_c_keeps_what_was_taken_and_says_so(tmp_path):
    folder = tmp_path / "train" / "good"
    running = subprocess.Popen(
        [*COMMAND, f"{CONVEYOR}&fps=50", "--out", str(tmp_path), "--good", "100000"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT,
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while not folder.is_dir() or len([*folder.glob("*.png")]) < 3:
        assert time.monotonic() < deadline
        assert running.poll() is None, running.communicate()
        time.sleep(0.02)
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=30)
    assert running.returncode == 130, err
    files = [*folder.iterdir()]
    assert f"{len(files)} new pictures, {len(files)} in all" in out
    for path in files:
        read_picture(path)
    assert "Traceback" not in err
