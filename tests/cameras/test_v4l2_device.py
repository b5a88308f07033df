"""V4L2 by ioctl. No video device is at hand: the structs are compared with the kernel's header, and
a driver is played below the system call.
"""

from __future__ import annotations

import errno
import shutil
import struct
import subprocess
from contextlib import closing
from pathlib import Path

import pytest

from edge.cameras import v4l2_controls, v4l2_device
from edge.cameras.v4l2_device import Format, V4l2Device, named
from edge.errors import CameraUnavailable
from tests.support.v4l2_driver import Driver

REQUESTS = {
    "VIDIOC_QUERYCAP": ("QUERYCAP", "QUERYCAP_STRUCT", "v4l2_capability"),
    "VIDIOC_ENUM_FMT": ("ENUM_FMT", "FMT_STRUCT", "v4l2_fmtdesc"),
    "VIDIOC_ENUM_FRAMESIZES": ("ENUM_FRAMESIZES", "SIZE_STRUCT", "v4l2_frmsizeenum"),
    "VIDIOC_ENUM_FRAMEINTERVALS": ("ENUM_FRAMEINTERVALS", "INTERVAL_STRUCT", "v4l2_frmivalenum"),
    "VIDIOC_G_CTRL": ("G_CTRL", "CTRL_STRUCT", "v4l2_control"),
    "VIDIOC_S_CTRL": ("S_CTRL", "CTRL_STRUCT", "v4l2_control"),
    "VIDIOC_QUERYCTRL": ("QUERYCTRL", "QUERYCTRL_STRUCT", "v4l2_queryctrl"),
    "VIDIOC_QUERYMENU": ("QUERYMENU", "MENU_STRUCT", "v4l2_querymenu"),
}
CONTROLS = {
    "exposure_auto": "V4L2_CID_EXPOSURE_AUTO",
    "exposure": "V4L2_CID_EXPOSURE_ABSOLUTE",
    "gain_auto": "V4L2_CID_AUTOGAIN",
    "gain": "V4L2_CID_GAIN",
    "white_balance_auto": "V4L2_CID_AUTO_WHITE_BALANCE",
    "white_balance": "V4L2_CID_WHITE_BALANCE_TEMPERATURE",
    "focus_auto": "V4L2_CID_FOCUS_AUTO",
    "focus": "V4L2_CID_FOCUS_ABSOLUTE",
}


def test_requests_structs_and_numbers_are_the_kernels(tmp_path) -> None:
    if shutil.which("cc") is None or not Path("/usr/include/linux/videodev2.h").is_file():
        pytest.skip("needs a C compiler and the kernel's headers")
    lines = [
        f'printf("%lu %zu\\n", (unsigned long){request}, sizeof(struct {name}));'
        for request, (_, _, name) in REQUESTS.items()
    ]
    lines += [f'printf("%lu 0\\n", (unsigned long){name});' for name in CONTROLS.values()]
    body = "#include <stdio.h>\n#include <linux/videodev2.h>\nint main(void){" + "".join(lines)
    (tmp_path / "a.c").write_text(f"{body}return 0;}}")
    subprocess.run(["cc", "a.c", "-o", "a"], cwd=tmp_path, check=True)
    shown = subprocess.run([tmp_path / "a"], capture_output=True, text=True, check=True).stdout
    got = [tuple(map(int, line.split())) for line in shown.splitlines()]
    expected = [
        (getattr(v4l2_device, request), struct.calcsize(getattr(v4l2_device, layout)))
        for request, layout, _ in REQUESTS.values()
    ]
    assert got == expected + [(v4l2_controls.NAMED[name].id, 0) for name in CONTROLS]


@pytest.fixture
def driver():
    return Driver()


@pytest.fixture
def device(driver):
    with closing(V4l2Device(Path("/dev/null"), driver)) as device:
        yield device


def test_a_camera_says_what_it_is_and_what_it_can(device) -> None:
    capability = device.capability()
    assert (capability.driver, capability.card, capability.is_capture) == (
        "uvcvideo",
        "Acme 4K",
        True,
    )
    assert list(device.formats()) == [
        Format("MJPG", (1920, 1080), (30.0, 14.985)),
        Format("MJPG", (640, 480), (60.0,)),
        Format("YUYV", (800, 600), (60.0,)),
    ]


def test_controls_have_the_names_of_v4l2_ctl(device) -> None:
    controls = device.controls()
    assert list(controls) == [
        "white_balance_automatic",
        "gain",
        "power_line_frequency",
        "white_balance_temperature",
        "auto_exposure",
        "exposure_time_absolute",
        "reset",
    ]
    assert controls["auto_exposure"].entries == {1: "Manual Mode", 3: "Aperture Priority Mode"}
    assert not controls["exposure_time_absolute"].is_writable


def test_a_value_turns_its_automatic_off_first_and_is_read_back(device, driver) -> None:
    wanted = {"exposure": 80, "white_balance": 4500, "power_line_frequency": "60 Hz", "gain": 20}
    got = v4l2_controls.apply(device, wanted, "top")
    assert driver.written == [
        (0x009A0901, 1),
        (0x0098090C, 0),
        (0x009A0902, 80),
        (0x0098091A, 4500),
        (0x00980918, 2),
        (0x00980913, 20),
    ]
    assert got == {
        "exposure": 80,
        "exposure_auto": "Manual Mode",
        "gain": 20,
        "power_line_frequency": "60 Hz",
        "white_balance": 4500,
        "white_balance_auto": False,
    }


def test_an_automatic_that_is_named_stays(device, driver) -> None:
    wanted = {"exposure_auto": "Aperture Priority Mode", "reset": True}
    assert v4l2_controls.apply(device, wanted, "top") == {"exposure_auto": "Aperture Priority Mode"}
    assert driver.written == [(0x009A0901, 3), (0x009A0910, 1)]


@pytest.mark.parametrize(
    ("wanted", "line"),
    [
        ({"gain": 101}, "gain: expected 0 to 100 in steps of 5, got 101; the nearest allowed"),
        ({"gain": 12}, "in steps of 5, got 12; the nearest allowed value is 10"),
        ({"gain": "high"}, "gain: expected a whole number, got 'high'"),
        ({"focus": 10}, "focus: the camera has no such feature"),
        ({"gian": 10}, "gian: the camera has no such feature; did you mean gain?"),
        ({"exposure": 80, "exposure_auto": "Aperture Priority Mode"}, "not let it be set"),
        ({"power_line_frequency": "70 Hz"}, "expected one of Disabled, 50 Hz, 60 Hz, got '70 Hz'"),
    ],
)
def test_what_the_camera_cannot_do_is_one_line(device, wanted, line) -> None:
    with pytest.raises(CameraUnavailable) as caught:
        v4l2_controls.apply(device, wanted, "top")
    assert str(caught.value).startswith("top: camera.features.")
    assert line in str(caught.value)


def test_a_driver_that_refuses_is_one_line(device, driver) -> None:
    def busy(data):
        raise OSError(errno.EBUSY, "Device or resource busy")

    driver.set = busy
    with pytest.raises(CameraUnavailable, match="top: gain: the driver says: Device or resource"):
        v4l2_controls.apply(device, {"gain": 10}, "top")


def test_a_file_that_is_no_camera_says_so() -> None:
    with closing(V4l2Device(Path("/dev/null"))) as device, pytest.raises(OSError, match="ioctl"):
        device.capability()


def test_names_are_those_of_v4l2_ctl() -> None:
    assert named("White Balance, Automatic") == "white_balance_automatic"
    assert named("  LED1 Mode ") == "led1_mode"
