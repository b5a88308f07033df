"""Help for tests between threads and clocks: nothing here depends on how fast a machine is."""

from __future__ import annotations

import threading


class WatchedCondition(threading.Condition):
    """Tells that a thread begins to wait; it still holds the lock then, and lets it go next."""

    def __init__(self) -> None:
        super().__init__()
        self.has_waiter = threading.Event()

    def wait(self, timeout: float | None = None) -> bool:
        self.has_waiter.set()
        return super().wait(timeout)


class FakeTime:
    """Stands in for the module `time`: the clock moves only when somebody sleeps or waits.

    Attributes:
        now_s: what `monotonic` returns, seconds.
        waits: every time that was slept or waited, seconds.
    """

    def __init__(self) -> None:
        self.now_s = 1000.0
        self.waits: list[float] = []

    def monotonic(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now_s += seconds


class FakeEvent:
    """Stands in for a `threading.Event` that nobody sets: waiting for it moves the clock."""

    def __init__(self, clock: FakeTime):
        self._clock = clock
        self._is_set = False

    def wait(self, seconds: float) -> bool:
        if not self._is_set:
            self._clock.sleep(seconds)
        return self._is_set

    def set(self) -> None:
        self._is_set = True

    def clear(self) -> None:
        self._is_set = False

    def is_set(self) -> bool:
        return self._is_set
