"""Which frames of cameras that run freely are one part, and what stands for those missing."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

import numpy as np
import pytest

from edge.cameras.source import frame_now
from edge.config.views import MatchingSettings, ViewSettings
from edge.drop_counts import DropCounts
from edge.frame import Frame, Part
from edge.station.acquisition.nearest_views import NearestViews
from edge.station.capture.camera_state import CameraState
from edge.station.capture.mailbox import Mailbox

PIXELS = np.zeros((8, 8, 3), np.uint8)
MS = 10**6
HOUR_MS = 600_000


class Meeting:
    """Three cameras, of which the first watches unless it is said otherwise."""

    def __init__(
        self,
        *,
        watching: str = "top",
        within_ms: float = 50,
        frame_timeout_ms: float = HOUR_MS,
        optional: tuple[str, ...] = (),
        queue_size: int = 8,
        room: int = 99,
    ):
        cameras = [
            ViewSettings(
                name=name, source="test://belt?fps=30", optional=name in optional,
                queue_size=queue_size,
            )
            for name in ("top", "left", "right")
        ]  # fmt: skip
        self.mailbox = Mailbox("every", room, DropCounts())
        self.drops = DropCounts()
        self.refused: list[Frame] = []
        matching = MatchingSettings(within_ms=within_ms, frame_timeout_ms=frame_timeout_ms)
        self.watching = watching
        self.views = NearestViews(
            cameras, watching, matching, self.mailbox, self.drops, on_refused=self.refused.append
        )
        self._ids = dict.fromkeys(("top", "left", "right"), 0)
        for camera in self._ids:
            self.state(camera, connected=True)

    def state(self, camera: str, **state: bool) -> None:
        self.views.camera_changed(camera, CameraState(**state))

    def frame(self, camera: str, at_ms: float) -> Frame:
        self._ids[camera] += 1
        made = frame_now(camera, self._ids[camera], PIXELS, part=Part(f"{camera}-{at_ms}", "test"))
        return replace(made, captured_ns=int(at_ms * MS))

    def come(self, camera: str, *times_ms: float) -> None:
        for at_ms in times_ms:
            self.views.add(camera, self.frame(camera, at_ms))

    def part(self, at_ms: float) -> None:
        """The camera that watches has chosen a frame."""
        chosen = self.frame(self.watching, at_ms)
        self.views.watched(chosen.captured_ns, (chosen.captured_ns,))
        assert self.views.put(chosen, wait=False) is None

    def taken(self) -> list[list[float | None]]:
        """Capture time of each view of each part that has gone on, ms; None = missing."""
        parts = []
        while len(self.mailbox):
            part = self.mailbox.take(0)
            assert part is not None
            views = (part, *part.others)
            assert [view.camera for view in views] == ["top", "left", "right"]
            parts.append([None if v.is_missing else v.captured_ns / MS for v in views])
        return parts


def test_the_frames_captured_nearest_are_the_views() -> None:
    one = Meeting()
    one.come("left", 80, 113, 146)
    one.come("right", 95, 128)
    one.part(100)
    assert one.taken() == [[100, 113, 95]]


def test_a_part_waits_until_no_later_frame_can_be_nearer() -> None:
    one = Meeting()
    one.come("left", 80)
    one.come("right", 100)
    one.part(100)
    assert one.taken() == []
    one.come("left", 99)
    assert one.taken() == []
    one.come("left", 105)
    assert one.taken() == [[100, 99, 100]]


def test_a_frame_outside_the_window_is_no_view() -> None:
    one = Meeting(within_ms=10)
    one.come("left", 89.9, 110.1)
    one.come("right", 90, 130)
    one.part(100)
    assert one.taken() == [[100, None, 90]]


def test_a_missing_view_says_why_and_stands_at_the_part_s_time() -> None:
    one = Meeting(within_ms=10)
    one.come("left", 130)
    one.come("right", 100)
    one.part(100)
    part = one.mailbox.take(0)
    assert part is not None
    left = part.others[0]
    assert (left.is_missing, left.trigger, left.captured_ns) == (True, None, 100 * MS)
    assert left.fault is not None
    assert "left took no picture within 10 ms of that of top" in left.fault


def test_parts_keep_their_order_and_their_identity() -> None:
    one = Meeting()
    one.part(100)
    one.part(200)
    one.come("right", 110, 210)
    one.come("left", 110, 210)
    assert one.taken() == [[100, 110, 110], [200, 210, 210]]


def test_a_frame_that_is_held_back_still_finds_its_views() -> None:
    """A part stands in the middle while the others go on looking."""
    one = Meeting()
    held = one.frame("top", 100)
    for at_ms in range(100, 60_000, 33):
        one.views.watched(at_ms * MS, (held.captured_ns,))
        one.come("left", at_ms + 5)
        one.come("right", at_ms + 9)
    one.views.put(held, wait=False)
    assert one.taken() == [[100, 105, 109]]
    assert all(len(recent) < 12 for recent in one.views._recent.values())


def test_another_camera_may_watch_and_gives_the_part_its_name() -> None:
    one = Meeting(watching="left")
    one.come("top", 90, 105)
    one.come("right", 100)
    one.part(100)
    part = one.mailbox.take(0)
    assert part is not None
    assert (part.camera, part.captured_ns) == ("top", 105 * MS)
    assert part.part == Part("left-100", "test")


def test_a_camera_that_is_away_is_not_waited_for() -> None:
    one = Meeting(optional=("left",))
    one.state("left", connected=False)
    one.come("right", 100)
    one.part(100)
    part = one.mailbox.take(0)
    assert part is not None
    assert [(v.is_missing, v.is_optional) for v in part.others] == [(True, True), (False, False)]


def test_what_a_camera_took_before_it_was_lost_counts() -> None:
    one = Meeting()
    one.come("left", 95)
    one.come("right", 100)
    one.part(100)
    one.state("left", connected=False)
    assert one.taken() == [[100, 95, 100]]


def test_a_silent_camera_holds_a_part_up_no_longer_than_it_may() -> None:
    one = Meeting(frame_timeout_ms=20)
    one.views.start()
    one.come("right", 100)
    one.part(100)
    deadline = time.monotonic() + 60
    while not len(one.mailbox):
        assert time.monotonic() < deadline
        time.sleep(0.005)
    assert one.taken() == [[100, None, 100]]
    one.views.stop()


def test_no_more_parts_wait_than_the_queue_holds() -> None:
    one = Meeting(queue_size=2)
    one.come("right", 400)
    for at_ms in (100, 200, 300, 400):
        one.part(at_ms)
    assert [part[1] for part in one.taken()] == [None, None]


def test_what_a_full_mailbox_refuses_is_told() -> None:
    one = Meeting(room=1)
    one.come("left", 100)
    one.come("right", 100)
    one.part(100)
    one.part(100)
    assert [len(frame.others) for frame in one.refused] == [2]


@pytest.mark.parametrize("is_waiting", [True, False])
def test_at_the_end_what_was_seen_goes_on_first(is_waiting: bool) -> None:
    one = Meeting()
    one.come("right", 100)
    one.part(100)
    if not is_waiting:
        one.come("left", 100)
    one.views.close()
    assert one.mailbox.closed is False
    if is_waiting:
        one.come("left", 100)
    assert one.taken() == [[100, 100, 100]]
    assert one.mailbox.closed


def test_the_end_of_a_needed_camera_ends_the_station_with_the_first_part_it_misses() -> None:
    one = Meeting()
    one.come("left", 100)
    one.state("left", connected=False, ended=True)
    one.come("right", 100, 200)
    one.part(100)
    assert not one.mailbox.closed
    one.part(200)
    one.part(200)
    assert one.taken() == [[100, 100, 100], [200, None, 200]]
    assert one.mailbox.closed


def test_the_end_of_an_optional_camera_ends_nothing() -> None:
    one = Meeting(optional=("left",))
    one.state("left", connected=False, ended=True)
    one.come("right", 100, 200)
    one.part(100)
    one.part(200)
    assert one.taken() == [[100, None, 100], [200, None, 200]]
    assert not one.mailbox.closed


def test_a_stop_closes_the_mailbox_at_once_and_ends_the_thread() -> None:
    one = Meeting()
    one.views.start()
    one.part(100)
    one.views.stop()
    assert one.mailbox.closed
    names = [thread.name for thread in threading.enumerate()]
    deadline = time.monotonic() + 60
    while "views" in names:
        assert time.monotonic() < deadline
        time.sleep(0.005)
        names = [thread.name for thread in threading.enumerate()]


def test_frames_of_the_others_that_were_no_view_are_counted() -> None:
    one = Meeting()
    for at_ms in range(0, 1000, 10):
        one.come("left", at_ms)
        one.come("right", at_ms)
        if at_ms % 100 == 0:
            one.part(at_ms)
    one.views.close()
    assert len(one.taken()) == 10
    assert one.drops.snapshot() == {("views", "unmatched"): 2 * (100 - 10)}
