"""`genicam://` when chosen packets of chosen frames never arrive, or arrive when asked for again.

The camera is by other authors than the driver, and leaves out exactly the packets it is told to.
"""

from __future__ import annotations

from contextlib import contextmanager

import pytest

from tests.support.genicam import opened
from tests.support.gige_camera import HOST, camera_port
from tests.support.gobject import gobject_or_skip

testing = pytest.importorskip("viva_genicam.testing")
gobject_or_skip("Aravis", "0.8")

ADDRESS = f"genicam://VIVA-FAKE-001?host={HOST}&packet_size=1500"


@contextmanager
def camera_without(packets, **options):
    """Run a camera that never sends these (block id, packet id)."""
    settings = {"width": 320, "height": 240, "fps": 20, "drop_packets": packets, **options}
    with camera_port(), testing.FakeGigeCamera(**settings) as camera:
        yield camera


def frames_until(source, block_id):
    frames = [source.read()]
    while (frames[-1].acquisition.block_id or 0) < block_id:
        frames.append(source.read())
    return frames


@pytest.mark.parametrize("packet", [1, 20, 40], ids=["first", "middle", "late"])
def test_frames_that_lost_a_packet_are_faults_and_the_others_are_pictures(packet) -> None:
    lost = [3, 6, 7]
    packets = [(block, packet) for block in lost]
    with camera_without(packets, packet_resend=False), opened(ADDRESS) as source:
        frames = frames_until(source, 12)
        counts = source.transport_counts
    faulty = [frame.acquisition.block_id for frame in frames if frame.fault]
    assert faulty == lost
    assert all("the frame came incomplete" in frame.fault for frame in frames if frame.fault)
    assert all(frame.pixels_bgr is None for frame in frames if frame.fault)
    assert counts["incomplete_frames"] == 3
    assert counts["missing_packets"] >= 3
    first = frames[0].acquisition.block_id
    ids = [frame.frame_id for frame in frames]
    assert ids == [frame.acquisition.block_id - first for frame in frames]


@pytest.mark.parametrize("lost", [1, 99], ids=["leader", "all"])
def test_a_frame_of_which_not_even_the_number_came_is_no_picture_and_counts(lost, capfd) -> None:
    """Of such a frame the driver knows nothing: its number is a fault without one, or a gap."""
    packets = [(4, i) for i in range(lost)]
    with camera_without(packets, packet_resend=False), opened(ADDRESS) as source:
        frames = frames_until(source, 8)
    pictures = [frame.acquisition.block_id for frame in frames if not frame.fault]
    assert 4 not in pictures
    assert {5, 6, 7, 8} <= set(pictures)
    by_block = {frame.acquisition.block_id: frame.frame_id for frame in frames}
    assert by_block[8] - by_block[3] == 5
    assert "CRITICAL" not in capfd.readouterr().err


def test_packets_that_are_asked_for_again_make_the_frame_whole() -> None:
    packets = [(3, 5), (5, 0)]
    with camera_without(packets, packet_resend=True), opened(ADDRESS) as source:
        frames = frames_until(source, 8)
        counts = source.transport_counts
    assert [frame.fault for frame in frames] == [None] * len(frames)
    assert counts["resent_packets"] >= 2
    assert counts["incomplete_frames"] == 0
