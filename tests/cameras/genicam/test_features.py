"""Features: checked, set in order, read back."""

from __future__ import annotations

import math

import pytest

from edge.cameras.genicam.features import Feature, apply
from edge.errors import CameraUnavailable

STEPS = "expected 16 to 1280 in steps of 16"
NEAREST = "the nearest allowed value is"


class Camera:
    """The features of a camera that behaves: rounds its exposure, locks what is automatic."""

    def __init__(self) -> None:
        self.values = {
            "PixelFormat": "Mono8",
            "Width": 640,
            "OffsetX": 0,
            "ExposureAuto": "Continuous",
            "ExposureTime": 5000.0,
            "Gain": 0.0,
            "TriggerMode": "On",
            "ReverseX": False,
            "DeviceUserID": "top",
        }
        self.written: list[str] = []

    def find(self, name: str) -> Feature | None:
        values = self.values
        return {
            "PixelFormat": Feature("enumeration", entries=("Mono8", "BayerRG8")),
            "Width": Feature("integer", True, 16, 1280, 16),
            "OffsetX": Feature("integer", True, 0, 1280 - values["Width"], 4),
            "ExposureAuto": Feature("enumeration", entries=("Off", "Once", "Continuous")),
            "ExposureTime": Feature("float", values["ExposureAuto"] == "Off", 10.0, 1e6),
            "Gain": Feature("float", True, 0.0, 24.0, 0.5),
            "TriggerMode": Feature("enumeration", entries=("Off", "On")),
            "ReverseX": Feature("boolean"),
            "DeviceUserID": Feature("string"),
            "UserSetLoad": Feature("command"),
        }.get(name)

    def names(self) -> list[str]:
        return [*self.values, "UserSetLoad"]

    def read(self, name: str) -> bool | int | float | str:
        return self.values[name]

    def write(self, name: str, value: bool | float | str) -> None:
        self.written.append(name)
        if name == "ExposureTime":
            value = round(value / 7.4) * 7.4  # whole lines
        if name != "UserSetLoad":
            self.values[name] = value


def test_features_are_set_in_an_order_that_the_file_does_not_decide() -> None:
    wanted = {
        "OffsetX": 320,
        "Gain": 4,
        "ExposureTime": 800,
        "ExposureAuto": False,
        "ReverseX": True,
        "DeviceUserID": "left",
        "Width": 960,
        "UserSetLoad": True,
    }
    one, other = Camera(), Camera()
    got = apply(one, wanted, camera="top")
    assert apply(other, dict(reversed(wanted.items())), camera="top") == got
    expected = ["TriggerMode", "UserSetLoad", "Width", "OffsetX", "ReverseX", "ExposureAuto"]
    assert one.written == [*expected, "ExposureTime", "Gain", "DeviceUserID"]
    assert other.written == one.written
    assert got["ExposureTime"] == pytest.approx(799.2)
    assert got | {"ExposureTime": 0} == {
        "PixelFormat": "Mono8",
        "Width": 960,
        "OffsetX": 320,
        "ReverseX": True,
        "TriggerMode": "Off",
        "ExposureAuto": "Off",
        "ExposureTime": 0,
        "Gain": 4.0,
        "DeviceUserID": "left",
    }


def test_a_camera_left_in_trigger_mode_runs_freely_unless_the_file_says_otherwise() -> None:
    camera = Camera()
    assert apply(camera, {}, camera="top")["TriggerMode"] == "Off"
    assert apply(camera, {"TriggerMode": True}, camera="top")["TriggerMode"] == "On"


@pytest.mark.parametrize(
    ("name", "value", "line"),
    [
        ("Width", 2000, f"{STEPS}, got 2000; {NEAREST} 1280"),
        ("Width", 100, f"{STEPS}, got 100; {NEAREST} 96"),
        ("Width", -5, f"{STEPS}, got -5; {NEAREST} 16"),
        ("Width", 640.5, "expected a whole number, got 640.5"),
        ("Width", "640", "expected a whole number, got '640'"),
        ("Width", True, "expected a whole number, got true"),
        ("Width", 10**400, "the nearest allowed value is 1280"),
        ("Gain", 4.2, "expected 0 to 24 in steps of 0.5, got 4.2; the nearest allowed value is 4"),
        ("Gain", -1, "expected 0 to 24 in steps of 0.5, got -1; the nearest allowed value is 0"),
        ("Gain", 10**400, "the nearest allowed value is 24"),
        ("ReverseX", 1, "expected true or false, got 1"),
        ("ReverseX", "yes", "expected true or false, got 'yes'"),
        ("DeviceUserID", 5, "expected text, got 5"),
        ("UserSetLoad", False, "expected true, got false"),
        ("PixelFormat", "BayerRG", "Mono8, BayerRG8, got 'BayerRG'; did you mean BayerRG8?"),
        ("ExposureAuto", 3, "expected one of Off, Once, Continuous, got 3"),
        ("ExposureTime", 800, "not let it be set at present; set ExposureAuto: Off as well"),
        ("ExposurTime", 800, "the camera has no such feature; did you mean ExposureTime?"),
        ("Zzz", 800, "the camera has no such feature; it has 10 others"),
    ],
)  # fmt: skip
def test_what_the_camera_cannot_do_is_one_line(name: str, value: object, line: str) -> None:
    with pytest.raises(CameraUnavailable) as caught:
        apply(Camera(), {name: value}, camera="top")
    shown = str(caught.value)
    assert shown.startswith(f"top: camera.features.{name}: ")
    assert line in shown
    assert "\n" not in shown


def test_every_trigger_that_was_left_in_the_camera_is_taken_out() -> None:
    class Triggers(Camera):
        def __init__(self):
            super().__init__()
            self.modes = {"FrameStart": "On", "AcquisitionStart": "On", "FrameBurstStart": "Off"}
            self.values["TriggerSelector"] = "AcquisitionStart"

        def find(self, name):
            if name == "TriggerSelector":
                return Feature("enumeration", entries=tuple(self.modes))
            return super().find(name)

        def read(self, name):
            is_mode = name == "TriggerMode"
            return self.modes[self.values["TriggerSelector"]] if is_mode else super().read(name)

        def write(self, name, value):
            if name == "TriggerMode":
                self.modes[self.values["TriggerSelector"]] = value
            super().write(name, value)

    camera = Triggers()
    assert apply(camera, {"TriggerMode": "On"}, camera="top")["TriggerMode"] == "On"
    assert camera.modes == {"FrameStart": "On", "AcquisitionStart": "Off", "FrameBurstStart": "Off"}


def test_whole_numbers_may_be_written_with_a_point() -> None:
    assert apply(Camera(), {"Width": 960.0, "Gain": 4}, camera="top")["Width"] == 960


def test_a_camera_that_keeps_another_value_is_refused() -> None:
    class Stubborn(Camera):
        def write(self, name, value):
            super().write(name, 0.5 if name == "Gain" else value)

    with pytest.raises(CameraUnavailable, match=r"expected the camera to take 4, it has 0.5"):
        apply(Stubborn(), {"Gain": 4.0}, camera="top")


def test_a_locked_feature_that_has_the_value_already_is_fine() -> None:
    assert apply(Camera(), {"ExposureTime": 5000}, camera="top")["ExposureTime"] == 5000


def test_ranges_without_end_are_taken() -> None:
    class Open(Camera):
        def find(self, name):
            return Feature("float", True, -math.inf, math.inf, 1e-3) if name == "Gain" else None

    assert apply(Open(), {"Gain": 1e9}, camera="top") == {"Gain": 1e9}
