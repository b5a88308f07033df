"""What a station publishes besides results: states, alerts, and answers to commands."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from edge.messages.identity import Identity, now
from edge.messages.message import Reply
from edge.messages.payload import Payload, alert_payload, alerts_payload

BIRTH = ("status", "info", "state", "counters", "alerts")
# An alert that comes back sooner after its end flutters: it is the same one, and its next end is
# told only once it has been quiet for so long.
QUIET_S = 30.0
# So many pictures wait for the broker; they are for eyes, and old ones are of no use.
MOST_PICTURES = 8
_SEVERITIES = ("info", "warning", "error", "critical")


class Post(NamedTuple):
    """A message to publish; `reply` is where the sender of a command wants its answer too."""

    kind: str
    payload: Payload
    reply: Reply | None = None


class StateBoard:
    """Holds messages until they are published; any thread writes, the publisher's reads.

    The newest state of each kind is kept, so that a new connection can repeat it; older ones that
    were not published yet are replaced. Raised and cleared alerts and answers to commands wait in
    a queue of a hundred, from which the oldest are dropped: the list of active alerts says what
    remains true, and a command may be sent again. `on_change` is called after every change, in the
    thread that made it.
    """

    def __init__(self, identity: Identity):
        self.on_change: Callable[[], None] = lambda: None
        self._identity = identity
        self._lock = threading.Lock()
        self._newest: dict[str, Payload] = {}
        self._dirty: dict[str, None] = {}  # kinds to publish, in this order
        self._active: dict[str, Payload] = {}
        self._events: deque[Post] = deque(maxlen=100)
        self._pictures: deque[Post] = deque(maxlen=MOST_PICTURES)
        self._has_repeats = False
        self._ended: dict[str, Payload] = {}  # alerts that ended lately
        self._flutters: set[str] = set()
        self._quiet_since: dict[str, float] = {}  # fluttering alerts that are not raised now

    def renew(self, kind: str) -> None:
        """Publish the newest state of a kind again."""
        with self._lock:
            self._dirty[kind] = None
        self.on_change()

    def begin(self) -> None:
        """Mark everything but health to be published again, over a new connection."""
        with self._lock:
            self._dirty = dict.fromkeys(BIRTH)
            self._pictures.clear()

    def put(self, kind: str, payload: Payload) -> None:
        """Renew a state."""
        with self._lock:
            self._newest[kind] = payload
            self._dirty[kind] = None
        self.on_change()

    def answer(self, ack: Payload, reply: Reply | None = None) -> None:
        """Queue the answer to a command; it is published after the states that have changed."""
        with self._lock:
            self._events.append(Post("ack", ack, reply))
        self.on_change()

    def show(self, picture: Payload) -> None:
        """Queue a picture; it is published after everything else, or replaced by newer ones."""
        with self._lock:
            self._pictures.append(Post("picture", picture))
        self.on_change()

    def take(self) -> Post | None:
        """Remove and return the next message to publish, None when there is none."""
        with self._lock:
            while self._dirty:
                kind = next(iter(self._dirty))
                del self._dirty[kind]
                if kind == "alerts":
                    return Post(kind, alerts_payload(self._identity, list(self._active.values())))
                if kind in self._newest:
                    return Post(kind, self._newest[kind])
            if self._events:
                return self._events.popleft()
            return self._pictures.popleft() if self._pictures else None

    def raise_alert(self, code: str, severity: str, detail: str) -> None:
        """Raise an alert; of an active one only the count and the detail change.

        A higher severity is news, a lower one is not: what raised it may be there still.
        """
        with self._lock:
            self._end_quiet()
            known, moment = self._active.get(code), now()
            before = known or self._ended.pop(code, None)  # it flutters if it has just ended
            if known and _rank(known["severity"]) > _rank(severity):
                severity = known["severity"]
            alert = alert_payload(
                self._identity,
                code=code,
                severity=severity,
                state="raised",
                since=known["since"] if known else moment,
                detail=detail,
                count=before["count"] + 1 if before else 1,
                first_at=before["first_at"] if before else moment,
                last_at=moment,
            )
            self._quiet_since.pop(code, None)
            if before and not known:
                self._flutters.add(code)
            if known and known["severity"] == severity:
                alert |= {key: known[key] for key in ("acknowledged",) if key in known}
                self._has_repeats = True
            else:
                self._events.append(Post("alert", alert))
                self._dirty["alerts"] = None
            self._active[code] = alert
        self.on_change()

    def clear_alert(self, code: str) -> None:
        """End an alert; one that is not active is ignored, one that flutters waits for quiet."""
        with self._lock:
            self._end_quiet()
            if code in self._active and code in self._flutters:
                self._quiet_since.setdefault(code, time.monotonic())
            elif code in self._active:
                self._end(code)
        self.on_change()

    def _end_quiet(self) -> None:
        """End the fluttering alerts that have been quiet, and forget those that ended long ago."""
        latest = time.monotonic() - QUIET_S
        for code in [code for code, since in self._quiet_since.items() if since <= latest]:
            del self._quiet_since[code]
            self._flutters.discard(code)
            self._end(code)
            self._ended.pop(code)
        for code in [code for code, alert in self._ended.items() if alert["ended_s"] <= latest]:
            del self._ended[code]

    def _end(self, code: str) -> None:
        alert = self._active.pop(code)
        self._ended[code] = {**alert, "ended_s": time.monotonic()}
        self._events.append(Post("alert", {**alert, "ts": now(), "state": "cleared"}))
        self._dirty["alerts"] = None

    def acknowledge_alert(self, code: str, by: str) -> bool:
        """Note who has seen an alert; False when it is not active."""
        with self._lock:
            alert = self._active.get(code)
            if alert is not None:
                self._active[code] = {**alert, "acknowledged": {"by": by, "ts": now()}}
                self._dirty["alerts"] = None
        self.on_change()
        return alert is not None

    def note_repeats(self) -> None:
        """Publish counts that changed since, and ends that were held; called once a second."""
        with self._lock:
            self._end_quiet()
            if self._has_repeats:
                self._dirty["alerts"] = None
            self._has_repeats = False


def _rank(severity: str) -> int:
    return _SEVERITIES.index(severity)
