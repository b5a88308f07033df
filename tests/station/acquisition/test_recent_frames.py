"""Which frames of a camera are kept for parts that another camera sees, and which is nearest."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from edge.cameras.source import frame_now
from edge.frame import Frame
from edge.station.acquisition.recent_frames import RecentFrames

PIXELS = np.zeros((8, 8, 3), np.uint8)


def frame(frame_id: int, at_ns: int) -> Frame:
    return replace(frame_now("left", frame_id, PIXELS), captured_ns=at_ns)


def recent(*times_ns: int, within_ns: int = 50, most: int = 4) -> RecentFrames:
    frames = RecentFrames(within_ns, most)
    for index, at_ns in enumerate(times_ns):
        frames.add(frame(index, at_ns))
    return frames


def nearest(frames: RecentFrames, at_ns: int) -> int | None:
    found = frames.use(at_ns)
    return None if found is None else found.captured_ns


def test_the_nearest_frame_counts_before_or_after() -> None:
    frames = recent(100, 133, 166)
    assert nearest(frames, 149) == 133
    assert nearest(frames, 150) == 166
    assert nearest(frames, 0) is None


def test_the_window_has_an_end() -> None:
    frames = recent(100)
    assert [nearest(frames, at) for at in (49, 50, 150, 151)] == [None, 100, 100, None]


def test_a_time_is_reached_once_no_later_frame_can_be_nearer() -> None:
    assert not recent().reaches(0)
    assert not recent(100, 133).reaches(134)
    assert recent(100, 133).reaches(133)


def test_memory_is_bounded_however_long_nobody_asks() -> None:
    frames = recent(*range(0, 100_000, 100))
    assert len(frames) == 4


def test_an_awaited_frame_is_kept_however_long_it_takes() -> None:
    frames = recent(100, 200, 300)
    frames.keep_for([195], 300)
    for index, at_ns in enumerate(range(400, 100_000, 100), start=3):
        frames.add(frame(index, at_ns))
        frames.keep_for([195], at_ns)
    assert nearest(frames, 195) == 200
    assert len(frames) <= 3


def test_a_frame_that_comes_later_may_be_nearer_to_an_awaited_time() -> None:
    frames = recent(100)
    frames.keep_for([140], 160)
    frames.add(frame(1, 145))
    frames.keep_for([140], 300)
    assert nearest(frames, 140) == 145


def test_every_frame_that_was_no_view_is_counted_once() -> None:
    frames, gone = recent(100, 200, 300), 0
    assert nearest(frames, 205) == 200
    gone += frames.keep_for([], 400)
    gone += frames.add(frame(3, 500))
    gone += frames.clear()
    assert gone == 3
    assert len(frames) == 0
