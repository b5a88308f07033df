"""Progress in lines of text, where standard error is no terminal."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from edge.printable_text import escaped

EVERY_S = 10.0


class PlainProgress:
    """Prints how far a job is every `every_s` seconds, also while one step takes longer."""

    def __init__(self, title: str, total: int, every_s: float = EVERY_S):
        self._title, self._total, self._done = title, total, 0
        self._every_s, self._started_s = every_s, time.monotonic()
        self._ended = threading.Event()

    def step(self, steps: int) -> None:
        """Count the steps done since."""
        self._done += steps

    @contextmanager
    def running(self) -> Iterator[PlainProgress]:
        """Print lines until the job ends, and a last one when it has succeeded."""
        thread = threading.Thread(target=self._say_regularly, name="progress", daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._ended.set()
            thread.join()
        self._say("")

    def _say_regularly(self) -> None:
        while not self._ended.wait(self._every_s):
            self._say(time_left(self._done, self._total, time.monotonic() - self._started_s))

    def _say(self, ending: str) -> None:
        line = f"{escaped(self._title)} {self._done}/{self._total}{ending}"
        print(line, file=sys.stderr, flush=True)


def time_left(done: int, total: int, passed_s: float) -> str:
    """Return the time left at this pace, such as ", 3 min left"; empty before the first step.

    `passed_s` is how many seconds the steps done so far took.
    """
    if done <= 0 or done >= total:
        return ""
    left_s = round(passed_s / done * (total - done))
    if left_s < 60:
        return f", {left_s} s left"
    minutes = round(left_s / 60)
    return (
        f", {minutes} min left" if minutes < 60 else f", {minutes // 60} h {minutes % 60} min left"
    )
