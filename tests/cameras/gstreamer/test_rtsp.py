"""A network camera decoded by GStreamer, against a real server on loopback."""

from __future__ import annotations

import time

import pytest

from edge.cameras.factory import is_live, make_source
from edge.cameras.gstreamer.rtsp import rtsp_pipeline
from edge.config.camera import CameraSettings
from edge.errors import CameraError, CameraTimeout, CameraUnavailable, ConfigError
from tests.support.gobject import gobject_or_skip
from tests.support.rtsp_server import RtspServer

gobject_or_skip("Gst", "1.0")


def source(address, stall_timeout_s=3.0):
    return make_source(CameraSettings(name="top", source=address, stall_timeout_s=stall_timeout_s))


def test_the_stream_plays_with_the_cameras_own_keys():
    with RtspServer() as server:
        camera = source(f"{server.url()}?decoder=gst-jpeg&channel=1&transport=tcp")
        camera.open()
        frames = [camera.read() for _ in range(5)]
        camera.close()
    assert frames[0].size_wh == (160, 120)
    levels = [int(frame.pixels_bgr[0, 0, 0]) for frame in frames]
    for before, after, level, later in zip(frames, frames[1:], levels, levels[1:]):
        assert abs(later - level - (after.frame_id - before.frame_id)) <= 2
    assert f"DESCRIBE {server.url()}?channel=1" in "\n".join(server.requests)


def test_a_password_reaches_the_camera_and_no_message(monkeypatch):
    monkeypatch.setenv("CAM_PASSWORD", "p@ss/w:rd")
    keys = "decoder=gst-jpeg&password_env=CAM_PASSWORD"
    with RtspServer(login="station:p@ss/w:rd") as server:
        camera = source(f"{server.url('station@')}?{keys}")
        camera.open()
        assert camera.read() is not None
        camera.close()
    with RtspServer(login="station:other") as server:
        with pytest.raises(CameraError) as caught:
            source(f"{server.url('station@')}?{keys}").open()
        assert "ss/w:rd" not in str(caught.value)
        assert "credentials" in str(caught.value)
        assert "\n" not in str(caught.value)


def test_another_codec_than_expected_says_which_key_to_change():
    with RtspServer() as server, pytest.raises(CameraError) as caught:
        source(f"{server.url()}?decoder=gst", 0.5).open()
    text = str(caught.value)
    assert "not installed" in text or "decoder=gst-h265 or decoder=gst-jpeg" in text, text


def test_silence_and_loss_are_told_apart_from_the_end():
    with RtspServer() as server:
        camera = source(f"{server.url()}?decoder=gst-jpeg", 1.0)
        camera.open()
        server.silent.set()
        started = time.monotonic()
        with pytest.raises((CameraTimeout, CameraUnavailable)):
            [camera.read() for _ in range(50)]
        assert time.monotonic() - started < 15
        camera.close()


def test_an_absent_camera_says_so_at_once():
    server = RtspServer()
    server.kill()
    with pytest.raises(CameraUnavailable, match="connection refused; check power, network and"):
        source(f"{server.url()}?decoder=gst").open()


def test_the_decoder_is_a_key_of_ours():
    assert is_live(CameraSettings(source="rtsp://h/p?decoder=gst"))
    with pytest.raises(ConfigError, match=r"decoder: expected ffmpeg or gst or .*, got nvdec"):
        source("rtsp://h/p?decoder=nvdec")
    with pytest.raises(ConfigError, match="unknown key decodr; did you mean decoder"):
        source("rtsp://h/p?decodr=gst")
    assert source("rtsp://h/p?encoder=h264")._place.path == "/p?encoder=h264"


def test_the_pipeline_of_a_platform():
    assert rtsp_pipeline("h265", "jetpack7", lambda _: True) == (
        "rtspsrc name=camera ! application/x-rtp,media=video ! rtph265depay ! h265parse ! "
        "nvv4l2decoder ! nvvidconv ! video/x-raw,format=BGRx"
    )
