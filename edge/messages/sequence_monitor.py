"""What a subscriber can know of a station: gaps, duplicates, totals. Pure; payloads are untrusted.

The rule for consumers: `(node, station, outbox_id, seq)` is the key, `msg_id` tells a repetition,
and the counters say how far delivery has come, so that even a missing tail is seen.
"""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from dataclasses import dataclass, field
from typing import Any

from edge.messages.payload_reader import read_payload
from edge.result import VERDICTS

REMEMBERED = 10_000
MOST_GAPS = 1000
MOST_ALERTS = 100
LONGEST_NAME = 200
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
        self._boot_ids: OrderedDict[str, None] = OrderedDict()
        self._forgotten = 0  # missing ones whose gap is no longer kept
        self._outbox_id = ""
        self._former: OrderedDict[str, None] = OrderedDict()  # outboxes that were replaced
        self.outboxes = 0  # that have given numbers

    @property
    def missing(self) -> int:
        """Decisions that exist and have not arrived."""
        return self._forgotten + sum(last - first + 1 for first, last in self._gaps)

    def see(self, seq: int, msg_id: str, boot_id: str, outbox_id: str = "") -> bool:
        """Note a result; False for a repetition of one already seen.

        `outbox_id` is empty in results of former versions: there, a lower number of another boot
        means that numbering began again.
        """
        if msg_id in self._seen:
            self.duplicates += 1
            return False
        _remember(self._seen, msg_id)
        is_new_boot = boot_id not in self._boot_ids
        _remember(self._boot_ids, boot_id)
        self.received += 1
        if self._is_of_former(outbox_id):
            self.late += 1
        elif self._high is None or seq > self._high:
            self._reach(seq - 1)
            self._high = seq
        elif not self._fill(seq) and is_new_boot and not outbox_id:
            self._gaps, self._high, self._forgotten = [], seq, 0  # numbering began again
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
                _remember(self._former, self._outbox_id)
                self._forgotten = self.missing  # what the former outbox lost comes no more
                self._gaps, self._high = [], None
            self._outbox_id = outbox_id
            self.outboxes += 1
        return False

    def _reach(self, seq: int) -> None:
        if self._high is not None and seq > self._high:
            self._gaps.append((self._high + 1, seq))
        if len(self._gaps) > MOST_GAPS:
            first, last = self._gaps.pop(0)
            self._forgotten += last - first + 1

    def _fill(self, seq: int) -> bool:
        """Take `seq` out of the gaps; False when it was not missing."""
        for i, (first, last) in enumerate(self._gaps):
            if first <= seq <= last:
                rest = [(first, seq - 1), (seq + 1, last)]
                self._gaps[i : i + 1] = [(a, b) for a, b in rest if a <= b]
                return True
        return False


def _remember(known: OrderedDict[str, None], name: str) -> None:
    known[name] = None
    if len(known) > REMEMBERED:
        known.popitem(last=False)


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
    _boots_alive: OrderedDict[str, None] = field(default_factory=OrderedDict)

    def take(self, kind: str, data: bytes, *, is_stored: bool) -> dict[str, Any] | None:
        """Take a message; return the payload if it is a result, repeated or not, else None.

        Args:
            kind: of payload, from `Topics.parse`.
            data: the message.
            is_stored: the broker sent it from memory (retain flag), it may be old.
        """
        self.last_seen_s = time.monotonic()
        try:
            return self._note(kind, read_payload(data), is_stored=is_stored)
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
            self.state = _name(payload.get("mode") or payload["state"])
        elif kind == "counters":
            counts = {name: _count(payload["counts"][name]) for name in VERDICTS}
            last = _count(payload["last_seq"]) - _count(payload["pending"])
            outbox_id = _outbox_of(payload)
            self.counts, self.lost = counts, _count(payload["lost"])
            if not is_stored:
                self.seqs.delivered(_count(last), outbox_id)
        elif kind == "alerts":
            active = payload["alerts"][:MOST_ALERTS]
            self.alerts = {_name(alert["code"]): _name(alert["severity"]) for alert in active}
        return None

    def _note_result(self, payload: dict[str, Any]) -> dict[str, Any]:
        seq, outbox_id = _count(payload["seq"]), _outbox_of(payload)
        msg_id, boot_id = _name(payload["msg_id"]), _name(payload["boot_id"])
        if payload["result"] not in VERDICTS:
            raise ValueError
        total_ms = float(payload["times"]["total_ms"])
        _remember(self._boots_alive, boot_id)
        if self.seqs.see(seq, msg_id, boot_id, outbox_id):
            self.last = payload
            self._latency_ms.append(total_ms)
            self._arrivals_s.append(time.monotonic())
        return payload

    def _note_status(self, state: str, boot_id: str, *, is_stored: bool) -> None:
        """A stored `stopped` counts only for a run that we have seen alive."""
        self.presence = _name(state)
        if state == "online":
            _remember(self._boots_alive, _name(boot_id))
        is_ours = not is_stored or boot_id in self._boots_alive
        self.has_stopped = state == "stopped" and is_ours


def station_of(data: bytes) -> str | None:
    """Return the station that a message of a node is about, None when it does not say."""
    try:
        return _name(read_payload(data).get("station"))
    except ValueError:
        return None


def _outbox_of(payload: dict[str, Any]) -> str:
    return _name(payload["outbox_id"]) if payload.get("outbox_id") else ""


def _name(value: object) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= LONGEST_NAME:
        raise ValueError("expected a short text")
    return value


def _count(value: object) -> int:
    if type(value) is not int or value < 0:
        raise ValueError("expected a count")
    return value
