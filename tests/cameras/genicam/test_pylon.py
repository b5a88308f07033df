"""`pylon://` against the cameras that pylon emulates."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from edge.cameras.description import DescribedSource
from edge.cameras.factory import is_live
from edge.cameras.source import TriggeredSource
from edge.config.camera import CameraSettings
from edge.errors import CameraUnavailable, ConfigError
from tests.support.genicam import fire_three_times, opened, source_of
from tests.support.pylon import OTHER, SERIAL

ADDRESS = f"pylon://{SERIAL}"
SMALL = {"Width": 320, "Height": 240, "AcquisitionFrameRateEnable": True}


def access_of(source):
    """The features of the camera that the source has open."""
    return source._session._access


def test_a_camera_is_opened_by_its_serial_number_and_says_what_it_is() -> None:
    began_ns = time.monotonic_ns()
    with opened(ADDRESS, **SMALL, ExposureTime=800, Gain=4, PixelFormat="BayerRG8") as source:
        frames = [source.read() for _ in range(3)]
        assert isinstance(source, DescribedSource)
        assert isinstance(source, TriggeredSource)
        about = source.description
    assert (about.serial, about.vendor, about.model) == (SERIAL, "Basler", "Emulation")
    assert about.driver.startswith("pypylon ")
    assert (about.pixel_format, about.demosaicing) == ("BayerRG8", "bilinear")
    expected = {"Width": 320, "Height": 240, "ExposureTime": 800.0, "TriggerMode": "Off"}
    assert expected.items() <= about.features.items()
    assert about.features["Gain"] == pytest.approx(4, rel=0.01)
    assert [frame.fault for frame in frames] == [None] * 3
    assert [frame.size_wh for frame in frames] == [(320, 240)] * 3
    assert [frame.frame_id for frame in frames] == [0, 1, 2]
    assert frames[0].acquisition.device_id == SERIAL
    assert frames[0].acquisition.pixel_format == "BayerRG8"
    assert frames[0].acquisition.device_timestamp_ns is None
    captured = [frame.captured_ns for frame in frames]
    assert began_ns < captured[0] < captured[1] < captured[2] < time.monotonic_ns()


@pytest.mark.parametrize(
    "pixel_format", ["Mono8", "Mono10", "Mono12", "BGR8Packed", "RGB8Packed", "BGRA8Packed"]
)
def test_formats_of_the_camera_become_pictures(pixel_format: str) -> None:
    with opened(ADDRESS, **SMALL, PixelFormat=pixel_format) as source:
        frame = source.read()
    assert frame.fault is None
    assert frame.pixels_bgr.shape == (240, 320, 3)
    assert frame.pixels_bgr.std() > 10


@pytest.mark.parametrize(
    ("features", "line"),
    [
        ({"ExposureTime": 0.5}, "got 0.5; the nearest allowed value is 1"),
        ({"ExposurTime": 800}, "no such feature; did you mean ExposureTime?"),
        ({"PixelFormat": "Mono9"}, "got 'Mono9'; did you mean"),
        ({"PixelFormat": "RGB16Packed"}, "a pixel format that can be converted, found RGB16"),
        ({"DeviceVendorName": "me"}, "the camera does not let it be set at present"),
    ],
)
def test_a_feature_that_the_camera_cannot_have_is_one_line(features, line) -> None:
    with pytest.raises(CameraUnavailable) as caught:
        source_of(ADDRESS, **features).open()
    assert line in str(caught.value)
    assert str(caught.value).startswith("top: ")
    assert "\n" not in str(caught.value)


def test_another_camera_is_refused_and_those_found_are_named() -> None:
    with pytest.raises(CameraUnavailable) as caught:
        source_of("pylon://4711").open()
    assert str(caught.value) == (
        f"top: pylon://4711: expected a camera with this serial number or user name, found "
        f"{SERIAL} (Emulation), {OTHER} (Emulation); check power, cable and network address"
    )


def test_buffers_that_fail_are_faults_and_are_counted() -> None:
    with opened(ADDRESS, **SMALL) as source:
        source.read()
        access = access_of(source)
        access.write("ForceFailedBufferCount", 3)
        access.write("ForceFailedBuffer", True)
        frames = [source.read() for _ in range(20)]
        counts = source.transport_counts
    faults = [frame for frame in frames if frame.fault]
    assert len(faults) == 3
    assert counts["incomplete_frames"] == 3
    assert all(frame.pixels_bgr is None for frame in faults)
    assert all("the frame came incomplete (The buffer" in frame.fault for frame in faults)
    ids = [frame.frame_id for frame in frames]
    assert ids == list(range(ids[0], ids[0] + 20))


def test_software_triggers_give_one_frame_each_and_waiting_is_no_fault() -> None:
    with opened(ADDRESS, 0.5, **SMALL, TriggerMode=True, TriggerSource="Software") as source:
        fire_three_times(source)
    with pytest.raises(CameraUnavailable, match="closed"):
        source.fire()


def test_a_camera_that_runs_freely_takes_no_trigger() -> None:
    with opened(ADDRESS) as source, pytest.raises(CameraUnavailable, match="TriggerMode is Off"):
        source.fire()


def read_until_lost(source, ids) -> None:
    while True:
        ids.append(source.read().frame_id)


@pytest.mark.parametrize("trigger", [{}, {"TriggerMode": True, "TriggerSource": "Software"}])
def test_an_unplugged_camera_is_lost_within_two_seconds_and_comes_back(trigger) -> None:
    source = source_of(ADDRESS, **SMALL, **trigger)
    source.open()
    if trigger:
        source.fire()
    ids = [source.read().frame_id]
    access_of(source).write("FirePnPCallback", True)
    began = time.monotonic()
    with pytest.raises(CameraUnavailable, match="the camera was lost: it does not answer"):
        read_until_lost(source, ids)
    assert time.monotonic() - began < 2
    source.open()
    if trigger:
        source.fire()
    assert source.read().frame_id == ids[-1] + 1
    source.close()


def test_two_cameras_run_at_a_time() -> None:
    with opened(ADDRESS, **SMALL) as one, opened(f"pylon://{OTHER}", **SMALL) as other:
        ids = [source.read().acquisition.device_id for source in (one, other, one, other)]
    assert ids == [SERIAL, OTHER, SERIAL, OTHER]


@pytest.mark.parametrize(
    ("address", "line"),
    [
        ("pylon://", "expected pylon://SERIAL"),
        ("pylon://a/b", "expected pylon://SERIAL"),
        ("pylon://1?buffer=4", "did you mean buffers"),
        ("pylon://1?buffers=1", "buffers: expected a whole number from 2"),
        ("pylon://1?buffers=1000", "buffers up to 256"),
    ],
)
def test_a_wrong_address_is_one_line(address: str, line: str) -> None:
    with pytest.raises(ConfigError, match=line):
        source_of(address)


def test_it_is_live() -> None:
    assert is_live(CameraSettings(source=ADDRESS))


MISSING = """
import sys
sys.modules["pypylon"] = None
from edge.cameras.factory import make_source
from edge.config.camera import CameraSettings
from edge.errors import CameraUnavailable
try:
    make_source(CameraSettings(source="pylon://1")).open()
except CameraUnavailable as error:
    print(error)
"""


def test_a_missing_library_is_one_line_that_says_what_to_install() -> None:
    done = subprocess.run(
        [sys.executable, "-c", MISSING],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[3],
        check=True,
    )
    assert done.stdout.count("\n") == 1
    assert "pip install 'edge-inspection[pylon]'" in done.stdout
