from __future__ import annotations

import pytest

from edge.cameras.factory import is_live, make_source
from edge.cameras.gstreamer import csi
from edge.cameras.gstreamer.csi import csi_pipeline
from edge.config.camera import CameraSettings
from edge.errors import CameraUnavailable, ConfigError
from tests.support.gobject import gobject_or_skip

TO_BGRX = " ! nvvidconv ! video/x-raw,format=BGRx"


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({}, "sensor-id=0 ! video/x-raw(memory:NVMM),format=NV12"),
        ({"mode": 0}, "sensor-id=0 sensor-mode=0 ! video/x-raw(memory:NVMM),format=NV12"),
        (
            {"mode": 2, "size_wh": (1920, 1080), "fps": 30.0},
            (
                "sensor-id=0 sensor-mode=2 ! video/x-raw(memory:NVMM),format=NV12,"
                "width=1920,height=1080,framerate=30/1"
            ),
        ),
        ({"fps": 29.97}, "sensor-id=0 ! video/x-raw(memory:NVMM),format=NV12,framerate=2997/100"),
        ({"fps": 0.5}, "sensor-id=0 ! video/x-raw(memory:NVMM),format=NV12,framerate=1/2"),
    ],
)
def test_the_pipeline_of_a_sensor(keys, expected):
    assert csi_pipeline(0, **keys) == f"nvarguscamerasrc {expected}{TO_BGRX}"


def test_the_address_makes_the_pipeline():
    config = CameraSettings(source="csi://1?mode=2&width=1280&height=720&fps=60")
    assert is_live(config)
    assert make_source(config)._text == csi_pipeline(1, mode=2, size_wh=(1280, 720), fps=60)


def test_on_another_machine_it_is_refused_in_one_line():
    with pytest.raises(
        CameraUnavailable, match=r"top: csi://0\?mode=2: expected a Jetson"
    ) as caught:
        make_source(CameraSettings(name="top", source="csi://0?mode=2")).open()
    assert "\n" not in str(caught.value)


def test_a_jetson_without_the_plug_in_says_what_to_install(monkeypatch):
    gobject_or_skip("Gst", "1.0")
    monkeypatch.setattr(csi, "find_jetpack", lambda: "jetpack6")
    with pytest.raises(CameraUnavailable, match=r"nvidia-l4t-gstreamer"):
        make_source(CameraSettings(source="csi://0")).open()


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("csi://", "expected the number of a camera, such as csi://0"),
        ("csi://top", "expected the number of a camera"),
        ("csi://-1", "expected the number of a camera"),
        ("csi://0?mod=2", "unknown key mod; did you mean mode?"),
        ("csi://0?mode=x", "mode: expected a whole number from 0 on, got x"),
        ("csi://0?width=640", "expected width and height together, got one of them"),
        ("csi://0?fps=0.1", "fps: 0.1 is a frame every 10 s"),
    ],
)
def test_a_wrong_address_says_what_is_wrong(address, expected):
    with pytest.raises(ConfigError, match="camera address csi://") as caught:
        make_source(CameraSettings(source=address))
    assert expected in str(caught.value)
