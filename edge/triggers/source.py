"""The protocol of everything that announces parts, and how a trigger is made."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Literal, Protocol

from edge.config.trigger import TriggerSettings
from edge.trigger import Kind, Trigger


@dataclass(frozen=True, slots=True)
class NotTaken:
    """Why a trigger was refused.

    Attributes:
        code: `not_ready`: too many wait; `used`: its id was used before; `not_judging`: the station
            is stopped or has no recipe; `stopping`: it ends.
        detail: one line for people.
    """

    code: Literal["not_ready", "used", "not_judging", "stopping"]
    detail: str


# Takes a trigger; returns why it was refused, None if it was not.
Fire = Callable[[Trigger], NotTaken | None]


class TriggerSource(Protocol):
    """Something that announces parts by itself, in a thread of its own."""

    def start(self, fire: Fire) -> None:
        """Begin to call `fire` at each trigger; it returns at once.

        Raises:
            EdgeError: the source cannot be used.
        """

    def stop(self, timeout_s: float) -> bool:
        """Announce nothing more; False when a thread did not end in time."""


class TriggerMaker:
    """Stamps triggers with both clocks and the deadline of the station file."""

    def __init__(self, settings: TriggerSettings, new_id: Callable[[], str]):
        """`new_id` names triggers that bring no id."""
        self._new_id = new_id
        deadline_ms = settings.deadline_ms
        self._deadline_ns = None if deadline_ms is None else int(deadline_ms * 1e6)

    def make(
        self,
        source: Kind,
        *,
        trigger_id: str | None = None,
        part_id: str | None = None,
        part_id_source: str = "command",
        at_ns: int | None = None,
    ) -> Trigger:
        """Make a trigger of now, or of an earlier moment `at_ns` of the monotonic clock."""
        now_ns, now = time.monotonic_ns(), datetime.now(timezone.utc)
        if at_ns is None:
            at_ns, at = now_ns, now
        else:
            at = datetime.fromtimestamp(now.timestamp() - (now_ns - at_ns) / 1e9, timezone.utc)
        deadline_ns = None if self._deadline_ns is None else at_ns + self._deadline_ns
        return Trigger(
            trigger_id or self._new_id(), source, at_ns, at, part_id, part_id_source, deadline_ns
        )
