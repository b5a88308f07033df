"""`genicam://` against a GigE Vision camera by other authors: chunk data, and no search."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from edge.errors import CameraUnavailable
from tests.support.genicam import opened, source_of
from tests.support.gige_camera import HOST, camera_port
from tests.support.gobject import gobject_or_skip

testing = pytest.importorskip("viva_genicam.testing")
gobject_or_skip("Aravis", "0.8")

SERIAL = "VIVA-FAKE-001"
ADDRESS = f"genicam://{SERIAL}?host={HOST}"


@pytest.fixture(scope="module", autouse=True)
def camera() -> Iterator[None]:
    with camera_port(), testing.FakeGigeCamera(width=320, height=240, fps=20):
        yield


def test_what_the_camera_says_of_a_frame_is_kept() -> None:
    with opened(ADDRESS, ExposureTime=800, Gain=4) as source:
        frames = [source.read() for _ in range(3)]
        about = source.description
    assert about.serial == SERIAL
    assert (about.features["ExposureTime"], about.features["Gain"]) == (800, 4)
    assert [frame.fault for frame in frames] == [None] * 3
    assert [frame.acquisition.exposure_us for frame in frames] == [800] * 3
    assert [frame.acquisition.block_id for frame in frames] == [1, 2, 3]


def test_chunk_data_can_be_left_off() -> None:
    with opened(ADDRESS, ChunkModeActive=False) as source:
        frame = source.read()
    assert frame.fault is None
    assert frame.acquisition.exposure_us is None


def test_software_triggers_work_right_after_another_connection() -> None:
    for _ in range(2):
        with opened(ADDRESS, TriggerMode=True, TriggerSource="Software") as source:
            source.fire()
            assert source.read().frame_id == 0


def test_another_camera_at_the_address_is_refused() -> None:
    with pytest.raises(CameraUnavailable, match=rf"expected the camera S42, found .* {SERIAL}"):
        source_of(f"genicam://S42?host={HOST}").open()


def test_nobody_at_the_address_is_one_line() -> None:
    with pytest.raises(CameraUnavailable) as caught:
        source_of(f"genicam://{SERIAL}?host=127.0.0.9", 5).open()
    assert "\n" not in str(caught.value)
    assert "expected" in str(caught.value)
