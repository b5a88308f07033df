"""The stand-in for a frame that did not come: it carries its trigger, if any, to the result."""

from __future__ import annotations

import time
from datetime import datetime, timezone

from edge.frame import Frame, Part
from edge.trigger import Trigger


def missing_frame(camera: str, frame_id: int, trigger: Trigger | None, why: str) -> Frame:
    """Make a frame without pixels.

    Args:
        camera: name of the camera in the station file.
        frame_id: of the camera's newest frame.
        trigger: what no frame came for; None where cameras run freely.
        why: one line for people.
    """
    return Frame(
        camera=camera,
        frame_id=frame_id,
        captured_ns=time.monotonic_ns(),
        captured_at=datetime.now(timezone.utc),
        pixels_bgr=None,
        fault=why,
        part=None if trigger is None else part_of(trigger, None),
        trigger=trigger,
        is_missing=True,
    )


def part_of(trigger: Trigger, seen: Part | None) -> Part | None:
    """Return the identity of the part: the trigger's, or else what the source knows."""
    if trigger.part_id is None:
        return seen
    label = seen.label if seen is not None else None
    return Part(trigger.part_id, trigger.part_id_source, label)
