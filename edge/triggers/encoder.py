"""Triggers by distance: counts of an encoder on the belt, read from a seam."""

from __future__ import annotations

import logging
from functools import partial
from pathlib import Path
from typing import Protocol

from edge.errors import ConfigError
from edge.triggers.source import Fire, TriggerMaker
from edge.triggers.trigger_thread import TriggerThread

log = logging.getLogger(__name__)
POLL_S = 0.001
# No belt passes more places between two readings: the counter was set.
MAX_PLACES = 1000


class EncoderCounts(Protocol):
    """Something that counts the belt's way."""

    def read(self) -> int:
        """Return the present count; it may be negative and go backwards.

        Raises:
            OSError: the counter cannot be read.
            ValueError: it does not give a whole number.
        """


class CountFile:
    """A file that holds the present count as text, such as the counters of Linux in /sys."""

    def __init__(self, path: Path):
        self._path = path

    def read(self) -> int:
        """Return the present count."""
        return int(self._path.read_text(encoding="ascii"))


class EncoderTriggers(TriggerThread):
    """Announces a part each `counts_per_trigger` counts of way forward.

    A belt that goes back and forth announces no place twice: only way beyond the furthest place so
    far counts. A counter that cannot be read at present is logged once and tried again.

    Args:
        counts: the counter.
        counts_per_trigger: distance from one trigger to the next.
        maker: stamps triggers.
        poll_s: time between two readings.
    """

    def __init__(
        self,
        counts: EncoderCounts,
        counts_per_trigger: int,
        maker: TriggerMaker,
        poll_s: float = POLL_S,
    ):
        super().__init__()
        self._counts = counts
        self._distance = counts_per_trigger
        self._maker = maker
        self._poll_s = poll_s
        self._next = 0
        self._is_failing = False

    def start(self, fire: Fire) -> None:
        """Begin at the present count.

        Raises:
            ConfigError: the counter cannot be read.
        """
        try:
            self._next = self._counts.read() + self._distance
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"trigger.counts: expected a file with a whole number, got {error}"
            ) from None
        self._begin("encoder triggers", partial(self._run, fire))

    def _run(self, fire: Fire) -> None:
        while not self._stop.wait(self._poll_s):
            count = self._read()
            if count is not None and count - self._next > MAX_PLACES * self._distance:
                log.warning("encoder jumped from=%d to=%d; counting anew", self._next, count)
                self._next = count + self._distance
            while count is not None and count >= self._next and not self._stop.is_set():
                self._next += self._distance
                fire(self._maker.make("encoder"))

    def _read(self) -> int | None:
        try:
            count = self._counts.read()
        except (OSError, ValueError) as error:
            if not self._is_failing:
                log.warning("encoder cannot be read: %s", error)
            self._is_failing = True
            return None
        self._is_failing = False
        return count
