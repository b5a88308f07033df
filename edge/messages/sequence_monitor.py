"""What a subscriber can know of a station: gaps, duplicates, totals. Pure; payloads are untrusted.

The rule for consumers: `(node, station, outbox_id, seq)` is the key, `msg_id` tells a repetition,
and the counters say how far delivery has come, so that even a missing tail is seen.
"""

from __future__ import annotations

import json
import time
from collections import OrderedDict, deque
from dataclasses import dataclass, field
from typing import Any

from edge.result import VERDICTS

REMEMBERED = 10_000
# What reading a payload of any shape can raise.
_WRONG_SHAPE = (
    ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError,
)  # fmt: skip


class SeqTracker:
    """Follows one station's `seq`; counts what is missing, repeated, late.

    Nothing before the first result seen is missed: a subscriber that joins cannot know it.
    """

    def __init__(self) -> None:
        self.received = 0  # decisions, each counted once
        self.duplicates = 0
        self.late = 0  # arrived after a higher number
        self._high: int | None = None
        self._gaps: list[tuple[int, int]] = []  # first and last missing, ascending
        self._seen: OrderedDict[str, None] = OrderedDict()
        self._boot_ids: set[str] = set()
        self._outbox_id = ""
        self._former: set[str] = set()  # outboxes that another one has replaced
        self.outboxes = 0  # that have given numbers

    @property
    def missing(self) -> int:
        """Decisions that exist and have not arrived."""
        return sum(last - first + 1 for first, last in self._gaps)

    def see(self, seq: int, msg_id: str, boot_id: str, outbox_id: str = "") -> bool:
        """Note a result; False for a repetition of one already seen.

        `outbox_id` is empty in results of former versions: there, a lower number of another boot
        means that numbering began again.
        """
        if msg_id in self._seen:
            self.duplicates += 1
            return False
        self._seen[msg_id] = None
        if len(self._seen) > REMEMBERED:
            self._seen.popitem(last=False)
        is_new_boot = boot_id not in self._boot_ids
        self._boot_ids.add(boot_id)
        self.received += 1
        if self._is_of_former(outbox_id):
            self.late += 1
        elif self._high is None or seq > self._high:
            self._reach(seq - 1)
            self._high = seq
        elif (
            not self._fill(seq) and is_new_boot and not outbox_id
        ):  # numbering began again, in a new outbox
            self._gaps, self._high = [], seq
        else:
            self.late += 1
        return True

    def delivered(self, seq: int, outbox_id: str = "") -> None:
        """Note that the station has delivered everything up to `seq` (from its counters)."""
        if not self._is_of_former(outbox_id) and (self._high is None or seq > self._high):
            self._reach(seq)
            self._high = seq

    def _is_of_former(self, outbox_id: str) -> bool:
        """Begin anew with another outbox; True for one that was replaced before."""
        if outbox_id in self._former:
            return True
        if outbox_id and outbox_id != self._outbox_id:
            if self._outbox_id:
                self._former.add(self._outbox_id)
                self._gaps, self._high = [], None
            self._outbox_id = outbox_id
            self.outboxes += 1
        return False

    def _reach(self, seq: int) -> None:
        if self._high is not None and seq > self._high:
            self._gaps.append((self._high + 1, seq))

    def _fill(self, seq: int) -> bool:
        """Take `seq` out of the gaps; False when it was not missing."""
        for i, (first, last) in enumerate(self._gaps):
            if first <= seq <= last:
                rest = [(first, seq - 1), (seq + 1, last)]
                self._gaps[i : i + 1] = [(a, b) for a, b in rest if a <= b]
                return True
        return False


@dataclass
class StationView:
    """The newest known about one station, from messages that may be anything."""

    node: str
    station: str
    seqs: SeqTracker = field(default_factory=SeqTracker)
    presence: str = "?"
    state: str = "?"
    counts: dict[str, int] = field(default_factory=dict)
    lost: int = 0
    alerts: dict[str, str] = field(default_factory=dict)  # code -> severity
    last: dict[str, Any] = field(default_factory=dict)
    last_seen_s: float = 0.0
    invalid: int = 0
    has_stopped: bool = False
    _latency_ms: deque[float] = field(default_factory=lambda: deque(maxlen=500))
    _arrivals_s: deque[float] = field(default_factory=lambda: deque(maxlen=500))
    _boots_alive: set[str] = field(default_factory=set)

    def take(self, kind: str, data: bytes, *, is_stored: bool) -> dict[str, Any] | None:
        """Take a message; return the payload if it is a result, repeated or not, else None.

        Args:
            kind: of payload, from `Topics.parse`.
            data: the message.
            is_stored: the broker sent it from memory (retain flag), it may be old.
        """
        self.last_seen_s = time.monotonic()
        try:
            payload = json.loads(data)
            return self._note(kind, payload, is_stored=is_stored)
        except _WRONG_SHAPE:
            self.invalid += 1
            return None

    @property
    def is_live(self) -> bool:
        """A result or a birth has been seen."""
        return bool(self._boots_alive)

    def rate(self) -> float:
        """Return results per second over the last ten seconds."""
        now_s = time.monotonic()
        return sum(now_s - arrival <= 10.0 for arrival in self._arrivals_s) / 10.0

    def latency_ms(self, share: float) -> float | None:
        """Return a percentile of capture to verdict over the last 500 results."""
        ordered = sorted(self._latency_ms)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else None

    def _note(
        self, kind: str, payload: dict[str, Any], *, is_stored: bool
    ) -> dict[str, Any] | None:
        if kind == "result":
            return self._note_result(payload)
        if kind == "status":
            self._note_status(payload["state"], payload["boot_id"], is_stored=is_stored)
        elif kind == "state":
            self.state = str(payload.get("mode") or payload["state"])
        elif kind == "counters":
            self.counts = {name: int(payload["counts"][name]) for name in VERDICTS}
            self.lost = int(payload["lost"])
            if not is_stored:
                last = int(payload["last_seq"]) - int(payload["pending"])
                self.seqs.delivered(last, str(payload.get("outbox_id", "")))
        elif kind == "alerts":
            self.alerts = {str(a["code"]): str(a["severity"]) for a in payload["alerts"]}
        return None

    def _note_result(self, payload: dict[str, Any]) -> dict[str, Any]:
        seq, msg_id, boot_id = int(payload["seq"]), str(payload["msg_id"]), str(payload["boot_id"])
        if payload["result"] not in VERDICTS:
            raise ValueError
        total_ms = float(payload["times"]["total_ms"])
        self._boots_alive.add(boot_id)
        if self.seqs.see(seq, msg_id, boot_id, str(payload.get("outbox_id", ""))):
            self.last = payload
            self._latency_ms.append(total_ms)
            self._arrivals_s.append(time.monotonic())
        return payload

    def _note_status(self, state: str, boot_id: str, *, is_stored: bool) -> None:
        """A stored `stopped` counts only for a run that we have seen alive."""
        self.presence = str(state)
        if state == "online":
            self._boots_alive.add(str(boot_id))
        is_ours = not is_stored or boot_id in self._boots_alive
        self.has_stopped = state == "stopped" and is_ours


def station_of(data: bytes) -> str | None:
    """Return the station that a message of a node is about, None when it does not say."""
    try:
        station = json.loads(data)["station"]
    except (ValueError, TypeError, LookupError, RecursionError):
        return None
    return station if isinstance(station, str) else None
