"""The camera's own clock, mapped to the clock of this machine."""

from __future__ import annotations

from collections import deque

# Long enough to catch a frame that nothing held up; in ten seconds two quartz clocks drift apart
# by half a millisecond at most (50 ppm).
_WINDOW_NS = 10 * 10**9
# No driver holds a frame back for longer: a greater change is a clock that was set.
_JUMP_NS = 10**9
_NEWS = 3


class DeviceClock:
    """Estimates when a frame was captured, from the camera's time and from its arrival here.

    A frame arrives late by the transfer and by whatever holds this machine up, never early. So the
    smallest difference between arrival and device time over the last ten seconds is the offset
    between the clocks, plus the shortest transfer. The estimate is reset when the camera's clock
    is set: when it goes back, jumps ahead, or stays behind for three frames.
    """

    def __init__(self) -> None:
        self._last_device_ns = 0
        # (arrival, arrival - device time); differences rise from left to right, the first is least.
        self._least: deque[tuple[int, int]] = deque()
        self._late: list[int] = []

    def host_ns(self, device_ns: int | None, arrival_ns: int) -> int:
        """Return the monotonic time of the capture, never after `arrival_ns`.

        Args:
            device_ns: the camera's time, nanoseconds; 0 or None when it gives none.
            arrival_ns: monotonic time at which the frame arrived here, nanoseconds.
        """
        if not device_ns:
            return arrival_ns
        difference = arrival_ns - device_ns
        if device_ns <= self._last_device_ns or self._has_jumped(difference):
            self._least.clear()
            self._late.clear()
        self._last_device_ns = device_ns
        if self._late:
            return arrival_ns
        while self._least and self._least[-1][1] >= difference:
            self._least.pop()
        self._least.append((arrival_ns, difference))
        while self._least[0][0] < arrival_ns - _WINDOW_NS:
            self._least.popleft()
        return device_ns + self._least[0][1]

    def _has_jumped(self, difference: int) -> bool:
        """Tell whether the clocks are apart by more than before; late frames alone are not that."""
        if not self._least:
            return False
        excess = difference - self._least[0][1]
        if abs(excess) < _JUMP_NS:
            self._late.clear()
            return False
        if excess < 0:
            return True
        self._late.append(difference)
        recent = self._late[-_NEWS:]
        return len(recent) == _NEWS and max(recent) - min(recent) < _JUMP_NS // 10
