"""What announces a part: the trigger that a frame, and later one result, belongs to."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

Kind = Literal["interval", "software", "hardware", "encoder"]


@dataclass(frozen=True, slots=True)
class Trigger:
    """One trigger. It gets exactly one result, with a frame or without.

    Attributes:
        id: unique within a run of the station.
        source: what gave it.
        at_ns: monotonic clock at the trigger, nanoseconds; for durations only.
        at: UTC wall clock at the trigger, timezone-aware.
        part_id: identity of the part, where the trigger brought one.
        part_id_source: what gave `part_id`: command or barcode.
        deadline_ns: monotonic clock from which a result is late; None without a deadline.
    """

    id: str
    source: Kind
    at_ns: int
    at: datetime
    part_id: str | None = None
    part_id_source: str = "command"
    deadline_ns: int | None = None

    def is_late(self, now_ns: int) -> bool:
        """Tell whether a result at `now_ns` (monotonic clock) comes after the deadline."""
        return self.deadline_ns is not None and now_ns > self.deadline_ns
