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


class Driver:
    """A camera: kernel structs in, kernel structs out."""

    def __init__(self):
        # id: type, name, minimum, maximum, step, value, flags
        self.controls = {
            0x00980913: [1, b"Gain", 0, 100, 5, 50, 0],
            0x0098090C: [2, b"White Balance, Automatic", 0, 1, 1, 1, 0],
            0x0098091A: [1, b"White Balance Temperature", 2800, 6500, 10, 4000, 0x10],
            0x00980918: [3, b"Power Line Frequency", 0, 2, 1, 1, 0],
            0x009A0901: [3, b"Auto Exposure", 0, 3, 1, 3, 0],
            0x009A0902: [1, b"Exposure Time, Absolute", 3, 2047, 1, 250, 0x10],
            0x009A090D: [7, b"A text", 0, 1, 1, 0, 0],
            0x009A0910: [4, b"Reset", 0, 0, 0, 0, 0],
        }
        self.menus = {
            0x00980918: {0: b"Disabled", 1: b"50 Hz", 2: b"60 Hz"},
            0x009A0901: {1: b"Manual Mode", 3: b"Aperture Priority Mode"},
        }
        self.written: list[tuple[int, int]] = []

    def __call__(self, descriptor: int, request: int, data: bytearray) -> int:
        answers = {
            v4l2_device.QUERYCAP: self.querycap,
            v4l2_device.ENUM_FMT: self.enum_fmt,
            v4l2_device.ENUM_FRAMESIZES: self.sizes,
            v4l2_device.ENUM_FRAMEINTERVALS: self.intervals,
            v4l2_device.QUERYCTRL: self.queryctrl,
            v4l2_device.QUERYMENU: self.querymenu,
            v4l2_device.G_CTRL: self.get,
            v4l2_device.S_CTRL: self.set,
        }
        answers[request](data)
        return 0

    def querycap(self, data):
        caps = 0x85200001
        struct.pack_into(
            "=16s32s32sIII", data, 0, b"uvcvideo", b"Acme 4K", b"usb-1", 1, caps, 0x04200001
        )

    def enum_fmt(self, data):
        index, kind = struct.unpack_from("=II", data)
        assert kind == 1
        codes = [b"MJPG", b"YUYV"]
        self.within(index, codes)
        struct.pack_into("=III32s4s", data, 0, index, 1, 0, b"x", codes[index])

    def sizes(self, data):
        index, code = struct.unpack_from("=I4s", data)
        found = [(1920, 1080), (640, 480)] if code == b"MJPG" else [None]
        self.within(index, found)
        if found[index] is None:
            struct.pack_into("=I6I", data, 8, 3, 16, 800, 8, 16, 600, 8)
        else:
            struct.pack_into("=III", data, 8, 1, *found[index])

    def intervals(self, data):
        index, _, width, _ = struct.unpack_from("=4I", data)
        found = [(1, 30), (1001, 15000)] if width == 1920 else [(1, 60)]
        self.within(index, found)
        struct.pack_into("=III", data, 16, 1, *found[index])

    def queryctrl(self, data):
        (asked,) = struct.unpack_from("=I", data)
        after = asked & 0x7FFFFFFF
        later = [number for number in sorted(self.controls) if number > after]
        self.within(0, later)
        kind, name, low, high, step, _, flags = self.controls[later[0]]
        struct.pack_into("=II32siiiiI", data, 0, later[0], kind, name, low, high, step, 0, flags)

    def querymenu(self, data):
        number, index = struct.unpack_from("=II", data)
        if index not in self.menus[number]:
            raise OSError(errno.EINVAL, "Invalid argument")
        struct.pack_into("=32s", data, 8, self.menus[number][index])

    def get(self, data):
        (number,) = struct.unpack_from("=I", data)
        struct.pack_into("=i", data, 4, self.controls[number][5])

    def set(self, data):
        number, value = struct.unpack("=Ii", data)
        self.written.append((number, value))
        self.controls[number][5] = value
        if number == 0x009A0901:
            self.controls[0x009A0902][6] = 0 if value == 1 else 0x10
        if number == 0x0098090C:
            self.controls[0x0098091A][6] = 0x10 if value else 0

    @staticmethod
    def within(index, found):
        if index >= len(found):
            raise OSError(errno.EINVAL, "Invalid argument")


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
