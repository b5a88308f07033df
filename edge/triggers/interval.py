"""Triggers by the clock."""

from __future__ import annotations

import time
from functools import partial

from edge.triggers.source import Fire, TriggerMaker
from edge.triggers.trigger_thread import TriggerThread


class IntervalTriggers(TriggerThread):
    """Announces a part each `period_s` seconds.

    The times do not drift. Those that passed while the process was held up are left out: a burst
    would show one part many times.
    """

    def __init__(self, period_s: float, maker: TriggerMaker):
        super().__init__()
        self._period_s = period_s
        self._maker = maker

    def start(self, fire: Fire) -> None:
        """Begin; the first trigger comes after one period."""
        self._begin("interval triggers", partial(self._run, fire))

    def _run(self, fire: Fire) -> None:
        due_s = time.monotonic() + self._period_s
        while not self._stop.wait(max(0.0, due_s - time.monotonic())):
            fire(self._maker.make("interval"))
            passed = (time.monotonic() - due_s) // self._period_s
            due_s += self._period_s * (1 + max(0.0, passed))
