"""Tells results that a station signed just now from forged, altered and replayed ones.

A station marks what it sends again with `is_replayed`, and the mark is signed. So a result without
the mark has a higher number than all before it, was made a moment ago, and comes once.
"""

from __future__ import annotations

import time
import uuid
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from edge.messages.payload import Payload
from edge.messages.signature import VerifyKey, signature_problem

REMEMBERED = 10_000
# Results of a burst wait for their turn, and the clocks of two machines differ.
FRESH_S = 300.0


@dataclass
class _Station:
    """What is known of one station from its verified results."""

    run: tuple[Any, Any] | None = None  # boot_id, outbox_id: numbers rise within it
    high: int = 0
    newest_ms: int = 0
    earlier: OrderedDict[Any, None] = field(default_factory=OrderedDict)  # runs
    seen: OrderedDict[Any, None] = field(default_factory=OrderedDict)  # message ids

    def order_problem(self, run: tuple[Any, Any], seq: int, made_ms: int) -> str | None:
        """Return why a result that is not marked as repeated is not the newest, else note it."""
        if run != self.run:
            if run in self.earlier or made_ms < self.newest_ms:
                return "replayed: it is of an earlier run of the station"
            if self.run is not None:
                _remember(self.earlier, self.run)
            self.run, self.high = run, 0
        if seq <= self.high:
            return f"replayed: seq {seq} comes after seq {self.high}"
        self.high, self.newest_ms = seq, max(self.newest_ms, made_ms)
        return None


class ResultVerifier:
    """Checks results in the order in which they arrive.

    Args:
        keys: by their id.
    """

    def __init__(self, keys: Mapping[str, VerifyKey]):
        self._keys = keys
        self._stations: dict[tuple[str, str], _Station] = {}
        self.problems = 0

    def problem(self, payload: Payload, node: str, station: str) -> str | None:
        """Return why a result is not to be believed, None if it is.

        Args:
            payload: of the result, from anybody.
            node: of the topic.
            station: of the topic.
        """
        found = signature_problem(payload, self._keys) or self._replay(payload, node, station)
        self.problems += found is not None
        return found

    def unreadable(self, reason: str) -> str:
        """Count a message in place of a result that is none."""
        self.problems += 1
        return f"unsigned: {reason}"

    def _replay(self, payload: Payload, node: str, station: str) -> str | None:
        """Return why a result with a good signature is not what the station sends now."""
        if (payload.get("node"), payload.get("station")) != (node, station):
            return "replayed: it was signed as the result of another station"
        known = self._stations.setdefault((node, station), _Station())
        seq, boot_id, msg_id = (payload.get(key) for key in ("seq", "boot_id", "msg_id"))
        made_ms = _made_ms(msg_id)
        outbox_id = payload.get("outbox_id")
        is_named = isinstance(boot_id, str) and isinstance(outbox_id, str | None)
        if type(seq) is not int or not is_named or made_ms is None:
            return "forged: it has no number, run and id"
        is_marked = payload.get("is_replayed") is True
        was_seen = str(msg_id) in known.seen
        _remember(known.seen, str(msg_id))
        if is_marked:
            return None
        if was_seen:
            return "replayed: it came before"
        if time.time() - made_ms / 1000 > FRESH_S:
            return f"replayed: it was made more than {FRESH_S:g} s ago, or the clocks differ"
        return known.order_problem((boot_id, outbox_id), seq, made_ms)


def _remember(known: OrderedDict[Any, None], name: Any) -> None:
    known[name] = None
    if len(known) > REMEMBERED:
        known.popitem(last=False)


def _made_ms(msg_id: object) -> int | None:
    """Return when a UUID version 7 was made, in ms since 1970; None for anything else."""
    try:
        found = uuid.UUID(str(msg_id))
    except ValueError:
        return None
    return found.int >> 80 if found.version == 7 else None
