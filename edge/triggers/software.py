"""Triggers on request, from whatever door a request comes in by: a command, HTTP, later a PLC."""

from __future__ import annotations

import re
from collections.abc import Mapping

from edge.trigger import Trigger
from edge.triggers.source import Fire, NotTaken, TriggerMaker

ARGUMENTS = ("trigger_id", "part_id", "barcode")
_LINE = re.compile(r"[^\x00-\x1f\x7f]{1,200}")


class SoftwareTriggers:
    """Makes a trigger of each request. Any thread may call.

    Args:
        maker: stamps triggers.
        fire: takes them.
    """

    def __init__(self, maker: TriggerMaker, fire: Fire):
        self._maker = maker
        self._fire = fire

    def request(self, arguments: Mapping[str, object]) -> Trigger | NotTaken:
        """Announce a part.

        Args:
            arguments: `trigger_id`, chosen by the sender, and the part's identity as `part_id` or
                as the text of its `barcode`; all may be left out.

        Raises:
            ValueError: one line saying what is wrong with the arguments.
        """
        values = _checked(arguments)
        barcode = values.get("barcode")
        trigger = self._maker.make(
            "software",
            trigger_id=values.get("trigger_id"),
            part_id=barcode or values.get("part_id"),
            part_id_source="barcode" if barcode else "command",
        )
        return self._fire(trigger) or trigger


def _checked(arguments: Mapping[str, object]) -> dict[str, str]:
    values: dict[str, str] = {}
    for name, value in arguments.items():
        if name not in ARGUMENTS:
            raise ValueError(f"expected {', '.join(ARGUMENTS)}, got {str(name)[:40]!r}")
        if value is None:
            continue
        if not isinstance(value, str) or not _LINE.fullmatch(value):
            raise ValueError(f"{name}: expected one line of 1 to 200 characters")
        values[name] = value
    if "part_id" in values and "barcode" in values:
        raise ValueError("expected one of part_id and barcode, got both")
    return values
