import os
import subprocess
import sys

import cv2
import numpy as np
import pytest

from edge.cameras.factory import make_source
from edge.cameras.video import VideoSource
from edge.config.camera import CameraSettings
from edge.errors import CameraUnavailable

pytestmark = pytest.mark.skipif(
    "FFMPEG"
    not in [cv2.videoio_registry.getBackendName(b) for b in cv2.videoio_registry.getBackends()],
    reason="this OpenCV was built without FFmpeg",
)
FPS = 20


def record(path, count, fourcc="MJPG"):
    """Write a video whose frames carry their number as a grey value and as texture."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*fourcc), FPS, (64, 48))
    assert writer.isOpened()
    noise = np.random.default_rng(0).integers(0, 60, (48, 64, 3), np.uint8)
    for number in range(count):
        writer.write(noise + np.uint8(2 * number % 190))
    writer.release()
    return path


def cut(path, share):
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path


def opened(path, query=""):
    source = make_source(CameraSettings(name="top", source=f"file://{path}{query}"))
    source.open()
    return source


def frames(source, limit=300):
    taken = []
    while len(taken) < limit and (frame := source.read()) is not None:
        taken.append(frame)
    return taken


@pytest.mark.parametrize(("suffix", "fourcc"), [(".avi", "MJPG"), (".mp4", "mp4v")])
def test_a_whole_video_gives_every_frame_and_no_fault(tmp_path, suffix, fourcc):
    path = record(tmp_path / f"parts{suffix}", 30, fourcc)
    taken = frames(opened(path))
    assert [frame.fault for frame in taken] == [None] * 30
    assert [frame.frame_id for frame in taken] == list(range(30))
    assert taken[7].part.id == f"parts{suffix}#000007"
    levels = [frame.pixels_bgr.mean() for frame in taken]
    assert np.all(np.diff(levels) > 1), "every picture is the next one"


@pytest.mark.parametrize("share", [0.3, 0.5, 0.62, 0.8])
def test_a_truncated_video_gives_its_whole_frames_then_one_fault_then_ends(tmp_path, share):
    path = cut(record(tmp_path / "parts.avi", 60), share)
    *whole, last = frames(opened(path))
    assert 60 * share - 6 < len(whole) < 60 * share + 2
    assert all(frame.fault is None for frame in whole)
    assert np.all(np.abs(np.diff([frame.pixels_bgr.mean() for frame in whole]) - 2) < 1)
    assert last.pixels_bgr is None
    assert last.fault == (
        f"parts.avi: recording breaks off: expected 60 frames, got {len(whole)} whole ones; "
        f"copy the file again"
    )


def test_a_container_that_only_estimates_its_frames_does_not_cry_wolf(tmp_path, monkeypatch):
    path = record(tmp_path / "parts.avi", 200)
    for estimate in (198, 202, 203, 204):
        source = opened(path)
        source._expected = estimate
        assert all(frame.fault is None for frame in frames(source)), estimate


@pytest.mark.parametrize(
    ("expected", "fps"),
    [
        (400, 40),  # too many frames estimated, but the clock shows all 10 s were played
        (200, 10),  # 10 s are less than the rate tells, but every frame is there
    ],
)
def test_variable_rate_does_not_cry_wolf(tmp_path, expected, fps):
    source = opened(record(tmp_path / "parts.avi", 200))
    source._expected, source._fps = expected, fps
    assert all(frame.fault is None for frame in frames(source))


def test_loop_starts_again_and_tells_of_the_break_every_time(tmp_path):
    path = cut(record(tmp_path / "parts.avi", 30), 0.5)
    taken = frames(opened(path, "?loop=1"), limit=40)
    broken = [frame.frame_id for frame in taken if frame.fault]
    assert len(broken) >= 2
    assert taken[broken[0] + 1].part.id == "parts.avi#000000"
    assert [frame.frame_id for frame in taken] == list(range(40))


def test_original_timing_plays_at_the_recording_s_rate(tmp_path, periods):
    frames(opened(record(tmp_path / "parts.avi", 11), "?timing=original"))
    assert periods == pytest.approx([0, *[1 / FPS] * 10], abs=0.002)


def test_fps_overrides_the_recording_s_rate(tmp_path, periods):
    frames(opened(record(tmp_path / "parts.avi", 11), "?fps=50"))
    assert periods == [0.02] * 11


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda path: None, "expected a video file, found no such file; check the path"),
        (lambda path: path.mkdir(), "expected a video file, found a folder"),
        (lambda path: path.write_bytes(b""), "found nothing that FFmpeg can open"),
        (lambda path: path.write_bytes(bytes(5000)), "found nothing that FFmpeg can open"),
        (lambda path: cut(record(path, 20, "mp4v"), 0.5), "found nothing that FFmpeg can open"),
    ],
)
def test_what_is_no_video_is_an_error_at_open(tmp_path, make, expected):
    path = tmp_path / "parts.mp4"
    make(path)
    with pytest.raises(CameraUnavailable) as caught:
        opened(path)
    assert expected in str(caught.value)


def test_opencv_and_ffmpeg_print_nothing_of_their_own(tmp_path):
    # FFmpeg's log level is taken at its first use in a process, so this needs one of its own.
    for name in ("broken.mp4", "broken.avi"):
        cut(record(tmp_path / name, 60, "mp4v" if name.endswith("mp4") else "MJPG"), 0.62)
    program = f"""
from edge.cameras.factory import make_source
from edge.cameras.video import VideoSource
from edge.config.camera import CameraSettings
from edge.errors import CameraUnavailable
for name in ("broken.mp4", "broken.avi"):
    source = make_source(CameraSettings(source="file://{tmp_path}/" + name))
    try:
        source.open()
        while source.read() is not None:
            pass
    except CameraUnavailable:
        print("refused", name)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True
    )
    assert done.stdout == "refused broken.mp4\n"
    assert done.stderr == ""


def test_reading_after_close_is_an_error_and_not_a_regular_end(tmp_path):
    source = opened(record(tmp_path / "parts.avi", 10))
    source.read()
    source.close()
    source.close()
    with pytest.raises(CameraUnavailable, match="closed"):
        source.read()


def test_a_name_that_is_not_utf8_is_refused_and_does_not_crash(tmp_path):
    record(tmp_path / "parts.avi", 3).rename(os.fsdecode(os.fsencode(tmp_path) + b"/\xe4.avi"))
    words = r"\\xe4\.avi: expected a path in UTF-8, found other bytes; rename it"
    with pytest.raises(CameraUnavailable, match=words):
        opened(f"{tmp_path}/%E4.avi")


@pytest.mark.parametrize("begins_at_s", [5.0, 3600.0])
def test_the_clock_of_a_recording_may_begin_anywhere(tmp_path, monkeypatch, periods, begins_at_s):
    """A piece of a longer recording keeps its clock; it still breaks off where it breaks off."""
    clock = VideoSource._clock_s
    monkeypatch.setattr(VideoSource, "_clock_s", lambda self: clock(self) + begins_at_s)
    whole = frames(opened(record(tmp_path / "whole.avi", 60), "?timing=original"))
    assert [frame.fault for frame in whole] == [None] * 60
    assert periods == pytest.approx([0, *[1 / FPS] * 59], abs=0.002)
    *_, last = frames(opened(cut(record(tmp_path / "cut.avi", 60), 0.5)))
    assert "recording breaks off: expected 60 frames" in last.fault
