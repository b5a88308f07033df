from typing import ClassVar

import cv2
import numpy as np
import pytest

from edge.cameras import v4l2
from edge.cameras.factory import make_source
from edge.cameras.v4l2_device import Capability
from edge.config.camera import CameraSettings
from edge.errors import CameraTimeout, CameraUnavailable, ConfigError


def source(address):
    return make_source(CameraSettings(name="top", source=address))


class Driver:
    """Stands in for cv2.VideoCapture: takes what `can` allows, for everything else its own."""

    own: ClassVar = {
        cv2.CAP_PROP_FRAME_WIDTH: 640.0,
        cv2.CAP_PROP_FRAME_HEIGHT: 480.0,
        cv2.CAP_PROP_FPS: 25.0,
        cv2.CAP_PROP_FOURCC: float(cv2.VideoWriter_fourcc(*"YUYV")),
    }
    can: ClassVar = {}
    frames = 2
    released = 0

    def __init__(self, target, backend, parameters):
        assert (target, backend) == ("/dev/null", cv2.CAP_V4L2)
        self.now = dict(self.own)

    def isOpened(self):  # noqa: N802
        return True

    def set(self, key, value):
        if value in self.can.get(key, ()):
            self.now[key] = value

    def get(self, key):
        return self.now[key]

    def read(self):
        if not Driver.frames:
            return False, None
        Driver.frames -= 1
        return True, np.zeros((480, 640, 3), np.uint8)

    def release(self):
        Driver.released += 1


@pytest.fixture
def driver(monkeypatch):
    monkeypatch.setattr(cv2, "VideoCapture", Driver)
    monkeypatch.setattr(Driver, "can", {})
    monkeypatch.setattr(Driver, "frames", 2)
    monkeypatch.setattr(Driver, "released", 0)
    return Driver


def test_an_absent_camera_says_which_are_connected(tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(v4l2, "_present", lambda: "connected are /dev/video2")
    with pytest.raises(CameraUnavailable) as caught:
        source("v4l2:///dev/video-nowhere").open()
    assert str(caught.value) == (
        "top: /dev/video-nowhere: expected a video device, found no such file or directory; "
        "connected are /dev/video2"
    )
    assert capfd.readouterr().err == ""


def test_a_file_is_no_camera(tmp_path):
    (tmp_path / "video0").write_text("x")
    with pytest.raises(CameraUnavailable, match="found a file of another kind"):
        source(f"v4l2://{tmp_path}/video0").open()


def test_a_device_that_is_no_camera_is_refused_quietly(capfd):
    with pytest.raises(CameraUnavailable, match="cannot be opened for capture"):
        source("v4l2:///dev/null").open()
    assert capfd.readouterr().err == ""


def test_frames_come_until_the_driver_has_none(driver):
    camera = source("v4l2:///dev/null")
    camera.open()
    assert [camera.read().frame_id for _ in range(2)] == [0, 1]
    with pytest.raises(CameraTimeout, match="expected a frame, got none; check the cable"):
        camera.read()
    camera.close()
    assert driver.released == 1


def test_a_camera_that_takes_another_size_is_refused_and_released(driver):
    driver.can = {cv2.CAP_PROP_FRAME_WIDTH: (640,), cv2.CAP_PROP_FRAME_HEIGHT: (480,)}
    camera = source("v4l2:///dev/null?width=1280&height=720")
    with pytest.raises(CameraUnavailable, match="expected width=1280, the camera gives 640"):
        camera.open()
    assert driver.released == 1


def test_a_camera_that_takes_another_format_is_refused(driver):
    with pytest.raises(CameraUnavailable, match="expected fourcc=MJPG, the camera gives YUYV"):
        source("v4l2:///dev/null?fourcc=MJPG").open()


def test_a_camera_that_rounds_the_rate_is_taken_with_a_warning(driver, caplog):
    source("v4l2:///dev/null?fps=30").open()
    assert "wanted=30 got=25" in caplog.text


def test_a_camera_that_takes_everything(driver, caplog):
    mjpg = cv2.VideoWriter_fourcc(*"MJPG")
    driver.can = {
        cv2.CAP_PROP_FRAME_WIDTH: (1280,),
        cv2.CAP_PROP_FRAME_HEIGHT: (720,),
        cv2.CAP_PROP_FPS: (30,),
        cv2.CAP_PROP_FOURCC: (mjpg,),
    }
    source("v4l2:///dev/null?width=1280&height=720&fps=30&fourcc=MJPG").open()
    assert caplog.text == ""


def test_controls_stand_in_the_address_or_in_features(driver, monkeypatch):
    applied = []

    class Device:
        def __init__(self, path):
            assert str(path) == "/dev/null"

        def capability(self):
            return Capability("uvcvideo", "Acme 4K", "usb-1", True)

        def close(self):
            applied.append("closed")

    def apply(device, wanted, camera):
        applied.append((dict(wanted), camera))
        if wanted.get("gain") == 200:
            raise CameraUnavailable("top: camera.features.gain: expected 0 to 100")
        return dict(wanted)

    monkeypatch.setattr(v4l2, "V4l2Device", Device)
    monkeypatch.setattr(v4l2.v4l2_controls, "apply", apply)
    address = "v4l2:///dev/null?exposure=80&focus=10"
    settings = CameraSettings(name="top", source=address, features={"sharpness": 3})
    camera = make_source(settings)
    camera.open()
    assert applied == [({"sharpness": 3, "exposure": 80, "focus": 10}, "top"), "closed"]
    about = camera.description
    assert (about.driver, about.model) == ("V4L2 uvcvideo", "Acme 4K")
    assert about.features == {"sharpness": 3, "exposure": 80, "focus": 10}
    with pytest.raises(CameraUnavailable, match="expected 0 to 100"):
        source("v4l2:///dev/null?gain=200").open()
    assert driver.released == 1


def test_controls_of_a_driver_without_are_refused(driver):
    with pytest.raises(CameraUnavailable, match="expected a camera with controls"):
        source("v4l2:///dev/null?gain=20").open()
    assert driver.released == 1


@pytest.mark.parametrize(
    ("query", "line"),
    [("gain=-1", "gain: expected a whole number"), ("gian=1", "did you mean gain"),
     ("gain=3", "gain: also stands in camera.features")],
)  # fmt: skip
def test_wrong_controls_of_an_address_are_one_line(query, line):
    with pytest.raises(ConfigError, match=line):
        make_source(CameraSettings(source=f"v4l2:///dev/null?{query}", features={"gain": 5}))
