import socket
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest

from edge.cameras.factory import make_source
from edge.config.camera import CameraSettings
from edge.drop_counts import DropCounts
from edge.errors import CameraTimeout, CameraUnavailable
from edge.station.capture.capture import Capture
from edge.station.capture.mailbox import Mailbox
from tests.support.rtsp_server import RtspServer

pytestmark = pytest.mark.skipif(
    cv2.CAP_FFMPEG not in cv2.videoio_registry.getStreamBackends(),
    reason="this OpenCV was built without FFmpeg",
)


def source(address, stall_timeout_s=1.5):
    settings = CameraSettings(name="top", source=address, stall_timeout_s=stall_timeout_s)
    return make_source(settings)


@pytest.fixture
def server():
    with RtspServer() as server:
        yield server


def test_the_stream_plays_and_begins_with_a_fresh_picture(server):
    camera = source(server.url() + "?transport=tcp&latency=50&channel=1&subtype=0+1")
    camera.open()
    started = server.pictures_sent
    taken = [camera.read() for _ in range(10)]
    camera.close()
    assert [frame.frame_id for frame in taken] == list(range(10))
    assert taken[0].size_wh == (160, 120)
    assert taken[0].fault is None
    levels = [int(frame.pixels_bgr[0, 0, 0]) for frame in taken]
    assert levels == list(range(levels[0], levels[0] + 10)), "every picture, in order"
    assert abs(server.level(started) - levels[0]) <= 8, "not one that waited in a buffer"
    assert f"DESCRIBE {server.url()}?channel=1&subtype=0+1" in server.requests


@pytest.mark.parametrize("where", ["env", "file"])
def test_credentials_come_from_the_environment_or_a_file(tmp_path, monkeypatch, where):
    monkeypatch.setenv("CAM_USER", "station")
    monkeypatch.setenv("CAM_PASSWORD", "p@ss/w:rd")
    (tmp_path / "secret").write_text("p@ss/w:rd\n")
    (tmp_path / "secret").chmod(0o600)
    keys = {
        "env": "user_env=CAM_USER&password_env=CAM_PASSWORD",
        "file": f"user_env=CAM_USER&password_file={tmp_path}/secret",
    }
    with RtspServer(login="station:p@ss/w:rd") as server:
        camera = source(f"{server.url()}?{keys[where]}")
        camera.open()
        assert camera.read() is not None
        camera.close()
        assert all("user" not in request for request in server.requests)


def test_a_wrong_password_is_refused_and_shown_to_nobody(monkeypatch):
    with RtspServer(login="station:right") as server:
        program = f"""
from edge.cameras.factory import make_source
from edge.config.camera import CameraSettings
from edge.errors import CameraUnavailable
address = "{server.url("station@")}?password_env=CAM_PASSWORD"
try:
    make_source(CameraSettings(source=address)).open()
except CameraUnavailable as error:
    print(error)
"""
        monkeypatch.setenv("CAM_PASSWORD", "wr0ng")
        done = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True
        )
    assert "expected a video stream within 10 s, got none" in done.stdout
    assert "wr0ng" not in done.stdout
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (
            "password_env=CAM_NOT_SET",
            "expected a secret in the variable CAM_NOT_SET, it is not set",
        ),
        (
            "password_file=/nowhere/pw",
            "password_file: /nowhere/pw: expected a readable file, got No such",
        ),
        ("password_file=/dev/null", "password_file: /dev/null: expected a regular file"),
    ],
)
def test_a_missing_secret_says_which(query, expected):
    with pytest.raises(CameraUnavailable) as caught:
        source(f"rtsp://station@127.0.0.1:9/p?{query}").open()
    assert expected in str(caught.value)


def test_a_transport_that_the_camera_refuses_is_not_exchanged_for_another(server):
    with pytest.raises(CameraUnavailable, match="check the path, the credentials and the transp"):
        source(server.url() + "?transport=udp").open()
    assert "SETUP" in server.requests[-1]


def test_an_absent_camera_says_so_at_once():
    with socket.create_server(("127.0.0.1", 0)) as closed_soon:
        port = closed_soon.getsockname()[1]
    with pytest.raises(CameraUnavailable, match="got: connection refused; check power, network"):
        source(f"rtsp://127.0.0.1:{port}/p").open()


def test_a_silent_camera_is_a_timeout(server):
    camera = source(server.url(), stall_timeout_s=1.0)
    camera.open()
    assert camera.read() is not None
    server.silent.set()
    start = time.monotonic()
    with pytest.raises(CameraTimeout, match=r"ended or was silent for 0\.8 s"):
        [camera.read() for _ in range(50)]
    assert time.monotonic() - start < 15, "by itself FFmpeg waits for 30 s"
    camera.close()


def test_after_the_camera_restarts_frames_resume():
    """The failure that makes people restart their stations every night."""
    settings = {"stall_timeout_s": 10, "retry_interval_s": 0.1, "retry_max_s": 0.3}
    server = RtspServer()
    changes, drops = [], DropCounts()
    box = Mailbox("latest", 1, drops)
    camera = CameraSettings(name="top", source=server.url(), **settings)
    capture = Capture(
        camera,
        make_source(camera),
        box,
        drops,
        on_refused=pytest.fail,
        on_change=changes.append,
    )

    def take_until(condition):
        ids, deadline = [], time.monotonic() + 60
        while not condition():
            assert time.monotonic() < deadline, capture.state
            capture.check(time.monotonic_ns())
            frame = box.take(0.1)
            if frame is not None:
                ids.append(frame.frame_id)
        return ids

    try:
        capture.open()
        capture.start()
        before = take_until(lambda: capture.state.frames >= 5)
        server.kill()
        take_until(lambda: not capture.state.connected)
        time.sleep(0.5)
        server = RtspServer(port=server.port)
        take_until(lambda: capture.state.connected)
        seen = capture.state.frames
        after = take_until(lambda: capture.state.frames >= seen + 5)
    finally:
        capture.stop()
        assert capture.join(60)
        server.kill()
    assert [change.connected for change in changes] == [True, False, True]
    assert capture.state.reconnects == 1
    assert before == sorted(set(before))
    assert after[0] > before[-1]
    assert changes[1].detail


def test_options_of_a_stream_do_not_reach_a_video_opened_after_it(server, tmp_path):
    # FFmpeg's nobuffer makes a video lose its first frame.
    camera = source(server.url())
    camera.open()
    camera.close()
    writer = cv2.VideoWriter(str(tmp_path / "x.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 10, (64, 48))
    for _ in range(20):
        writer.write(np.zeros((48, 64, 3), np.uint8))
    writer.release()
    video = source(f"file://{tmp_path}/x.avi")
    video.open()
    assert len(list(iter(video.read, None))) == 20
