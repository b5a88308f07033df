"""Triggers by the clock."""

from __future__ import annotations

import threading
import time

from edge.triggers.source import Fire, TriggerMaker


class IntervalTriggers:
    """Announces a part each `period_s` seconds.

    The times do not drift. Those that passed while the process was held up are left out: a burst
    would show one part many times.
    """

    def __init__(self, period_s: float, maker: TriggerMaker):
        self._period_s = period_s
        self._maker = maker
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, fire: Fire) -> None:
        """Begin; the first trigger comes after one period."""
        self._thread = threading.Thread(
            target=self._run, args=(fire,), name="interval triggers", daemon=True
        )
        self._thread.start()

    def stop(self, timeout_s: float) -> bool:
        """End; False when the thread did not end in time."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout_s)
        return self._thread is None or not self._thread.is_alive()

    def _run(self, fire: Fire) -> None:
        due_s = time.monotonic() + self._period_s
        while not self._stop.wait(max(0.0, due_s - time.monotonic())):
            fire(self._maker.make("interval"))
            passed = (time.monotonic() - due_s) // self._period_s
            due_s += self._period_s * (1 + max(0.0, passed))
