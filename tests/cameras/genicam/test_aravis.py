"""`genicam://` against real peers: a GigE camera on loopback, and Aravis's own in-process."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

import pytest

from edge.cameras.description import DescribedSource
from edge.cameras.factory import is_live
from edge.cameras.source import TriggeredSource
from edge.config.camera import CameraSettings
from edge.errors import CameraUnavailable, ConfigError
from tests.support.genicam import STALL_S, fire_three_times, opened, source_of
from tests.support.gige_camera import GigeCamera, camera_port
from tests.support.gobject import gobject_or_skip

gobject_or_skip("Aravis", "0.8")

FAKE = "genicam://1?transport=fake"


@pytest.fixture(scope="module")
def port() -> Iterator[None]:
    with camera_port():
        yield


@pytest.fixture(scope="module")
def camera(port: None) -> Iterator[GigeCamera]:
    with GigeCamera("S42").running() as camera:
        yield camera


def test_a_camera_is_opened_by_its_serial_number_and_says_what_it_is(camera) -> None:
    began_ns, began_at = time.monotonic_ns(), datetime.now(timezone.utc)
    with opened(ExposureTimeAbs=800, PixelFormat="BayerRG8", Width=640, Height=480) as source:
        frames = [source.read() for _ in range(3)]
        assert isinstance(source, DescribedSource)
        assert isinstance(source, TriggeredSource)
        about = source.description
    assert (about.serial, about.vendor, about.model) == ("S42", "Aravis", "Fake")
    assert (about.pixel_format, about.demosaicing) == ("BayerRG8", "bilinear")
    expected = {"PixelFormat": "BayerRG8", "Width": 640, "Height": 480, "ExposureTimeAbs": 800.0}
    assert expected.items() <= about.features.items()
    assert [frame.fault for frame in frames] == [None] * 3
    assert [frame.size_wh for frame in frames] == [(640, 480)] * 3
    ids = [frame.frame_id for frame in frames]
    blocks = [frame.acquisition.block_id for frame in frames]
    assert ids[0] == 0
    assert [each - ids[0] for each in ids] == [each - blocks[0] for each in blocks]
    captured = [frame.captured_ns for frame in frames]
    assert began_ns < captured[0] < captured[1] < captured[2] < time.monotonic_ns()
    assert began_at < frames[0].captured_at < frames[2].captured_at < datetime.now(timezone.utc)
    device_ns = [frame.acquisition.device_timestamp_ns for frame in frames]
    between = (captured[2] - captured[0]) - (device_ns[2] - device_ns[0])
    assert abs(between) < 1e9
    assert frames[0].acquisition.device_id == "S42"
    assert frames[0].acquisition.pixel_format == "BayerRG8"


@pytest.mark.parametrize("pixel_format", ["Mono16", "RGB8"])
def test_formats_of_the_camera_become_pictures(camera, pixel_format) -> None:
    with opened(PixelFormat=pixel_format, Width=320, Height=240, ExposureTimeAbs=10000) as source:
        frame = source.read()
    assert frame.fault is None
    assert frame.pixels_bgr.shape == (240, 320, 3)
    assert frame.acquisition.pixel_format == pixel_format
    assert frame.pixels_bgr.std() > 10


@pytest.mark.parametrize(
    ("features", "line"),
    [
        ({"ExposureTimeAbs": 1}, "expected 10 to 10000000, got 1; the nearest allowed value is 10"),
        ({"ExposureTime": 800}, "no such feature; did you mean ExposureTimeAbs?"),
        ({"PixelFormat": "Mono9"}, "Mono16, got 'Mono9'; did you mean"),
        ({"DeviceID": "S43"}, "the camera does not let it be set at present"),
    ],
)
def test_a_feature_that_the_camera_cannot_have_is_one_line(camera, features, line) -> None:
    with pytest.raises(CameraUnavailable) as caught:
        source_of(**features).open()
    assert line in str(caught.value)
    assert str(caught.value).startswith("top: camera.features.")
    assert "\n" not in str(caught.value)


def test_another_camera_is_refused_and_named(camera) -> None:
    began = time.monotonic()
    with pytest.raises(
        CameraUnavailable, match=r"top: genicam://S43: expected .*found S42 \(Aravis"
    ):
        source_of("genicam://S43").open()
    assert time.monotonic() - began < STALL_S
    with pytest.raises(CameraUnavailable, match=r"found a network address.*write genicam://S42"):
        source_of("genicam://127.0.0.1").open()


def test_a_camera_that_another_program_has_is_refused_and_freed_by_its_close(camera) -> None:
    with opened() as first:
        first.read()
        with pytest.raises(CameraUnavailable, match="expected to control the camera, another"):
            source_of().open()
        assert first.read().fault is None
    deadline = time.monotonic() + STALL_S
    second = source_of()
    while True:
        try:
            second.open()
            break
        except CameraUnavailable:
            assert time.monotonic() < deadline
    assert second.read().fault is None
    second.close()


def test_software_triggers_give_one_frame_each_and_waiting_is_no_fault(camera) -> None:
    with opened("genicam://S42", 0.5, TriggerMode=True, TriggerSource="Software") as source:
        fire_three_times(source)
    with pytest.raises(CameraUnavailable, match="closed"):
        source.fire()


def test_a_camera_that_runs_freely_takes_no_trigger(camera) -> None:
    with opened() as source, pytest.raises(CameraUnavailable, match="TriggerMode is Off"):
        source.fire()


def test_short_block_ids_begin_again_without_a_gap() -> None:
    """The in-process camera begins near 65535, the last block id of GigE Vision 1."""
    with opened(FAKE, AcquisitionFrameRate=500, Width=64, Height=64) as source:
        frames = [source.read()]
        while frames[-1].acquisition.block_id > 1000:
            frames.append(source.read())
    blocks = [frame.acquisition.block_id for frame in frames]
    # Frames that a busy machine missed count too.
    steps = (blocks[-1] - blocks[0]) % 65535
    assert blocks[0] > 65000
    assert steps - 1 <= frames[-1].frame_id <= steps


def test_frame_ids_go_on_and_threads_do_not_pile_up_when_it_is_reopened() -> None:
    source, ids, threads = source_of(FAKE), [], []
    for _ in range(4):
        source.open()
        ids.append(source.read().frame_id)
        threads.append(len(os.listdir("/proc/self/task")))
        source.close()
    assert ids == [0, 1, 2, 3]
    assert max(threads) <= threads[0] + 1


def test_close_ends_a_waiting_read() -> None:
    source = source_of(FAKE, AcquisitionFrameRate=1)
    source.open()
    source.read()
    outcome = []

    def read() -> None:
        try:
            outcome.append(source.read())
            outcome.append(source.read())
        except CameraUnavailable as error:
            outcome.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    source.close()
    source.close()
    reader.join(STALL_S)
    assert isinstance(outcome[-1], CameraUnavailable)
    with pytest.raises(CameraUnavailable, match="closed"):
        source.read()


@pytest.mark.parametrize(
    ("address", "line"),
    [
        ("genicam://", "expected genicam://SERIAL"),
        ("genicam://a/b", "expected genicam://SERIAL"),
        ("genicam://S1?buffer=4", "did you mean buffers"),
        ("genicam://S1?buffers=1", "buffers: expected a whole number from 2"),
        ("genicam://S1?buffers=1000", "buffers up to 256"),
        ("genicam://S1?packet_size=100", "packet_size: expected a whole number from 576"),
        ("genicam://S1?packet_size=70000", "packet_size up to 65535"),
        ("genicam://S1?host=camera.local", "host: expected a network address, got camera.local"),
        ("genicam://S1?transport=cl", "expected gige or usb3 or fake"),
    ],
)
def test_a_wrong_address_is_one_line(address: str, line: str) -> None:
    with pytest.raises(ConfigError, match=line.replace("?", r"\?")):
        source_of(address)


def test_it_is_live() -> None:
    assert is_live(CameraSettings(source="genicam://S1"))


MISSING = """
import sys
sys.modules[{module!r}] = None
from edge.cameras.factory import make_source
from edge.config.camera import CameraSettings
from edge.errors import CameraUnavailable
try:
    make_source(CameraSettings(source="genicam://S1")).open()
except CameraUnavailable as error:
    print(error)
"""


def test_a_missing_library_is_one_line_that_says_what_to_install() -> None:
    code = MISSING.format(module="gi")
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[3],
        check=True,
    )
    assert done.stdout.count("\n") == 1
    assert "install the system package python3-gi" in done.stdout
