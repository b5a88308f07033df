"""`gentl://` against the simulated producer of the package genicam."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest

from edge.cameras.description import DescribedSource
from edge.cameras.factory import is_live
from edge.cameras.genicam import gentl_producer
from edge.cameras.source import TriggeredSource
from edge.config.camera import CameraSettings
from edge.errors import CameraUnavailable, ConfigError
from tests.support.genicam import STALL_S, opened, source_of
from tests.support.gentl import CTI

ADDRESS = f"gentl://1?cti={CTI}"


def test_a_camera_is_opened_by_its_serial_number_and_says_what_it_is() -> None:
    began_ns = time.monotonic_ns()
    with opened(ADDRESS, Width=300, Height=200) as source:
        frames = [source.read() for _ in range(3)]
        assert isinstance(source, DescribedSource)
        assert isinstance(source, TriggeredSource)
        about = source.description
    assert (about.serial, about.model) == ("1", "Viky")
    assert about.vendor == "Machine Vision Games Ltd."
    assert about.driver.endswith(", viky.cti")
    assert (about.pixel_format, about.demosaicing) == ("RGBa8", None)
    assert {"Width": 300, "Height": 200, "PixelFormat": "RGBa8"}.items() <= about.features.items()
    assert [frame.fault for frame in frames] == [None] * 3
    assert [frame.size_wh for frame in frames] == [(300, 200)] * 3
    assert frames[0].frame_id == 0
    blocks = [frame.acquisition.block_id for frame in frames]
    ids = [frame.frame_id for frame in frames]
    assert [each - blocks[0] for each in blocks] == ids
    assert frames[0].acquisition.device_id == "1"
    assert frames[0].acquisition.pixel_format == "RGBa8"
    assert frames[0].acquisition.device_timestamp_ns is None
    captured = [frame.captured_ns for frame in frames]
    assert began_ns < captured[0] < captured[1] < captured[2] < time.monotonic_ns()


def test_colours_are_those_of_the_camera() -> None:
    """Each of the three cameras paints its ball in its own colour."""
    for index in range(3):
        with opened(f"gentl://{index}?cti={CTI}") as source:
            pixels = source.read().pixels_bgr
        spread = pixels.reshape(-1, 3).std(axis=0)
        ball = 2 - index
        assert [i for i in range(3) if spread[i] == spread.min()] == [ball]


def test_grey_is_taken() -> None:
    with opened(ADDRESS, PixelFormat="Mono8") as source:
        frame = source.read()
    assert frame.acquisition.pixel_format == "Mono8"
    assert frame.pixels_bgr.shape == (400, 400, 3)


@pytest.mark.parametrize(
    ("features", "line"),
    [
        ({"Width": 5000}, "got 5000; the nearest allowed value is"),
        ({"Widht": 800}, "no such feature; did you mean Width?"),
        ({"PixelFormat": "RGB8"}, "expected one of RGBa8, Mono8, got 'RGB8'"),
        ({"TriggerMode": "On"}, "the camera has no such feature"),
    ],
)
def test_a_feature_that_the_camera_cannot_have_is_one_line(features, line) -> None:
    with pytest.raises(CameraUnavailable) as caught:
        source_of(ADDRESS, **features).open()
    assert line in str(caught.value)
    assert str(caught.value).startswith("top: camera.features.")
    assert "\n" not in str(caught.value)
    with opened(ADDRESS) as source:
        assert source.read().fault is None


def test_another_camera_is_refused_and_those_found_are_named() -> None:
    with pytest.raises(CameraUnavailable) as caught:
        source_of(f"gentl://7?cti={CTI}").open()
    assert str(caught.value).startswith(
        "top: gentl://7: expected a camera with this serial number or user name, found 0 (Viky), "
        "1 (Viky), 2 (Viky); check power"
    )


def test_cameras_share_a_producer_and_come_and_go_on_their_own() -> None:
    with opened(ADDRESS) as first:
        assert first.read().frame_id == 0
        with opened(f"gentl://2?cti={CTI}") as second:
            assert second.read().acquisition.device_id == "2"
            assert first.read().acquisition.device_id == "1"
            with pytest.raises(CameraUnavailable, match="found but cannot be opened"):
                source_of(ADDRESS).open()
        assert first.read().fault is None
        second.open()
        assert second.read().acquisition.device_id == "2"
        second.close()
        assert first.read().fault is None


def test_cameras_of_one_producer_are_opened_at_the_same_time() -> None:
    sources = [source_of(f"gentl://{i}?cti={CTI}") for i in range(3)]
    for _ in range(3):
        failed: list[str] = []

        def open_one(source, failed=failed) -> None:
            try:
                source.open()
            except CameraUnavailable as error:
                failed.append(str(error))

        threads = [threading.Thread(target=open_one, args=(source,)) for source in sources]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(STALL_S)
        assert failed == []
        ids = [source.read().acquisition.device_id for source in sources]
        for source in sources:
            source.close()
        assert ids == ["0", "1", "2"]


def test_producers_of_the_environment_are_searched(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv(gentl_producer.PATHS, f"{tmp_path}{os.pathsep}{CTI.parent}")
    with opened("gentl://VikyTL_DEV_blue") as source:
        assert source.read().acquisition.device_id == "2"


def test_no_producer_is_one_line(monkeypatch, tmp_path) -> None:
    monkeypatch.delenv(gentl_producer.PATHS, raising=False)
    with pytest.raises(CameraUnavailable, match=r"found none; write \?cti=.*GENICAM_GENTL64_PATH"):
        source_of("gentl://1").open()
    with pytest.raises(CameraUnavailable, match="found no file"):
        source_of(f"gentl://1?cti={tmp_path}/no.cti").open()
    (tmp_path / "text.cti").write_text("no library")
    with pytest.raises(CameraUnavailable, match=r"expected a GenTL producer at .*text.cti, found"):
        source_of(f"gentl://1?cti={tmp_path}/text.cti").open()
    shutil.copy(CTI.with_name("_genapi.so"), tmp_path / "other.cti")
    with pytest.raises(CameraUnavailable, match=r"other\.cti, found"):
        source_of(f"gentl://1?cti={tmp_path}/other.cti").open()


def test_an_incomplete_buffer_is_a_fault_and_is_counted() -> None:
    """The producer sends none, so the driver is told that a real buffer is one."""
    with opened(ADDRESS) as source:
        first = source.read()
        monitors = source._session._acquirer._new_buffer_event_monitor_dict
        ((key, monitor),) = monitors.items()

        class Buffer:
            def __init__(self, buffer):
                self._buffer = buffer

            def is_complete(self):
                monitors[key] = monitor
                return False

            def __getattr__(self, name):
                return getattr(self._buffer, name)

        class Monitor:
            def update_event_data(self, timeout):
                monitor.update_event_data(timeout)

            @property
            def buffer(self):
                # The first question is whether it is complete; it is queued again as what it is.
                is_first = monitors[key] is not monitor
                return Buffer(monitor.buffer) if is_first else monitor.buffer

        monitors[key] = Monitor()
        frames = [source.read() for _ in range(3)]
        counts = source.transport_counts
    assert "the frame came incomplete" in frames[0].fault
    assert [frame.fault is None for frame in frames] == [False, True, True]
    assert counts == {"incomplete_frames": 1}
    ids = [frame.frame_id for frame in (first, *frames)]
    assert ids == sorted(set(ids))


def read_until_lost(source, ids) -> None:
    while True:
        ids.append(source.read().frame_id)


def test_a_camera_that_is_gone_is_lost_within_two_seconds_and_comes_back() -> None:
    source = source_of(ADDRESS)
    source.open()
    last = source.read().frame_id
    session = source._session
    # The producer's cameras cannot be unplugged: take this one away below the driver.
    session._acquirer._device_proxy.module.close()
    began = time.monotonic()
    ids = [last]
    with pytest.raises(CameraUnavailable, match="the camera was lost"):
        read_until_lost(source, ids)
    assert time.monotonic() - began < 2
    source.open()
    assert source.read().frame_id == ids[-1] + 1
    source.close()


def test_close_ends_a_waiting_read_and_nothing_piles_up() -> None:
    source, folder = source_of(ADDRESS), Path(tempfile.gettempdir())
    before = set(folder.iterdir())
    threads, errors = [], []
    for _ in range(4):
        source.open()

        def read() -> None:
            try:
                while True:
                    source.read()
            except CameraUnavailable as error:
                errors.append(str(error))

        reader = threading.Thread(target=read)
        reader.start()
        time.sleep(0.05)
        source.close()
        source.close()
        reader.join(STALL_S)
        threads.append(threading.active_count())
    assert errors == ["top: gentl://1: the camera is closed"] * 4
    assert max(threads) <= threads[0] + 1
    assert not [path for path in set(folder.iterdir()) - before if "xml" in path.name.lower()]


@pytest.mark.parametrize(
    ("address", "line"),
    [
        ("gentl://", r"expected gentl://SERIAL\?cti="),
        ("gentl://a/b", r"expected gentl://SERIAL\?cti="),
        ("gentl://1?ctl=/a.cti", "did you mean cti"),
        ("gentl://1?cti=a.cti", "cti: expected an absolute path"),
        ("gentl://1?cti=/a.so", "cti: expected an absolute path"),
        ("gentl://1?buffers=1000", "buffers up to 256"),
    ],
)
def test_a_wrong_address_is_one_line(address: str, line: str) -> None:
    with pytest.raises(ConfigError, match=line):
        source_of(address)


def test_it_is_live() -> None:
    assert is_live(CameraSettings(source=ADDRESS))


MISSING = """
import sys
sys.modules["harvesters"] = None
from edge.cameras.factory import make_source
from edge.config.camera import CameraSettings
from edge.errors import CameraUnavailable
try:
    make_source(CameraSettings(source=sys.argv[1])).open()
except CameraUnavailable as error:
    print(error)
"""


def test_a_missing_library_is_one_line_that_says_what_to_install() -> None:
    done = subprocess.run(
        [sys.executable, "-c", MISSING, ADDRESS],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[3],
        check=True,
    )
    assert done.stdout.count("\n") == 1
    assert "pip install 'edge-inspection[genicam]'" in done.stdout
