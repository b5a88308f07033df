"""Time as an outbox counts it: time that passed, whatever the wall clock says.

The clock of an outbox is CLOCK_BOOTTIME, which nobody can set and which runs on while the machine
sleeps, plus an offset that carries it over restarts of the process. How long a machine was switched
off only the wall clock could tell, and that may be years wrong: such time does not count.
"""

from __future__ import annotations

import time
from pathlib import Path

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class OutboxClock:
    """Seconds that have passed since the outbox was made.

    Args:
        boot: `boot_id` of the machine's run that `offset_s` belongs to.
        offset_s: what the outbox's clock was ahead of `boot_s` in that run.
        least_s: the latest moment that the outbox has noted; the clock never goes back behind it.
    """

    def __init__(self, boot: str, offset_s: float, least_s: float):
        self.boot = boot_id()
        present_s = boot_s()
        is_same = bool(boot) and boot == self.boot and present_s + offset_s >= least_s
        self.offset_s = offset_s if is_same else least_s - present_s

    def now(self) -> float:
        """Return the present."""
        return boot_s() + self.offset_s


def boot_s() -> float:
    """Return the seconds since the machine was switched on, sleep included."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def boot_id() -> str:
    """Name this run of the machine; empty where the system does not tell."""
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return ""
