"""What there is to publish apart from results: the newest states, the alerts and their events."""

from __future__ import annotations

import threading
from collections import deque

from edge.mqtt.identity import Identity, now
from edge.mqtt.payload import Payload, alert_payload, alerts_payload

BIRTH = ("status", "info", "state", "counters", "alerts")


class Board:
    """Written from any thread, read by the publisher's.

    States are kept, so that a new connection can repeat them; of several changes in between only
    the newest counts. Events of alerts are queued, a hundred at most: the list of active alerts
    says what remains true.
    """

    def __init__(self, identity: Identity):
        self._identity = identity
        self._lock = threading.Lock()
        self._newest: dict[str, Payload] = {}
        self._dirty: dict[str, None] = {}  # kinds to publish, in this order
        self._active: dict[str, Payload] = {}
        self._events: deque[Payload] = deque(maxlen=100)
        self._has_repeats = False

    def begin(self) -> None:
        """Mark everything that a new connection has to repeat; health is not."""
        with self._lock:
            self._dirty = dict.fromkeys(BIRTH)

    def put(self, kind: str, payload: Payload) -> None:
        """Renew a state."""
        with self._lock:
            self._newest[kind] = payload
            self._dirty[kind] = None

    def take(self) -> tuple[str, Payload] | None:
        """Return the next message to publish and its kind."""
        with self._lock:
            while self._dirty:
                kind = next(iter(self._dirty))
                del self._dirty[kind]
                if kind == "alerts":
                    return kind, alerts_payload(self._identity, list(self._active.values()))
                if kind in self._newest:
                    return kind, self._newest[kind]
            return ("alert", self._events.popleft()) if self._events else None

    def raise_alert(self, code: str, severity: str, detail: str) -> None:
        """Raise an alert; of an active one only the count and the detail change."""
        with self._lock:
            known = self._active.get(code)
            self._active[code] = alert_payload(
                self._identity,
                code=code,
                severity=severity,
                state="raised",
                since=known["since"] if known else now(),
                detail=detail,
                count=known["count"] + 1 if known else 1,
            )
            if known and known["severity"] == severity:
                self._has_repeats = True
            else:
                self._events.append(self._active[code])
                self._dirty["alerts"] = None

    def clear_alert(self, code: str) -> None:
        """End an alert; one that is not active is ignored."""
        with self._lock:
            alert = self._active.pop(code, None)
            if alert is not None:
                self._events.append({**alert, "ts": now(), "state": "cleared"})
                self._dirty["alerts"] = None

    def note_repeats(self) -> None:
        """Publish counts that changed since; called about once a second."""
        with self._lock:
            if self._has_repeats:
                self._dirty["alerts"] = None
            self._has_repeats = False
