"""What is known of every station at this moment; payloads are untrusted."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from edge.dashboard.shown import ALERT, KINDS, MOST_ITEMS, shown
from edge.messages.payload import Payload

MOST_STATIONS = 200


def _nothing(kind: str) -> Callable[[], Payload]:
    return lambda: shown({}, KINDS[kind])


@dataclass(frozen=True, slots=True)
class StationNow:
    """One station.

    Attributes:
        node, station: its names.
        status, info, state, counters, health: what is shown of the newest of each kind.
        alerts: the active ones.
        last: the newest result, None before one; `last_id` is its row in the history.
        heard_s: when anything came last, monotonic clock.
    """

    node: str
    station: str
    status: Payload = field(default_factory=_nothing("status"))
    info: Payload = field(default_factory=_nothing("info"))
    state: Payload = field(default_factory=_nothing("state"))
    counters: Payload = field(default_factory=_nothing("counters"))
    health: Payload = field(default_factory=_nothing("health"))
    alerts: tuple[Payload, ...] = ()
    last: Payload | None = None
    last_id: int = 0
    heard_s: float = 0.0

    @property
    def presence(self) -> str:
        """online, stopped or lost; unknown before the station has said it."""
        if self.status["state"] in ("online", "stopped", "lost"):
            return str(self.status["state"])
        return "unknown"


class Plant:
    """The stations that were heard; safe in any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stations: dict[tuple[str, str], StationNow] = {}

    def stations(self) -> list[StationNow]:
        """Return all stations, by name."""
        with self._lock:
            return [self._stations[key] for key in sorted(self._stations)]

    def station(self, node: str, station: str) -> StationNow | None:
        """Return one station, None when it was never heard."""
        with self._lock:
            return self._stations.get((node, station))

    def hear(self, node: str, station: str, kind: str, payload: Payload) -> bool:
        """Note a state of a station; False where its shape is wrong or there are too many."""
        changes: dict[str, Any] = {"heard_s": time.monotonic()}
        if kind == "alerts":
            alerts = payload.get("alerts")
            if not isinstance(alerts, list) or not all(isinstance(each, dict) for each in alerts):
                return False
            changes["alerts"] = tuple(shown(each, ALERT) for each in alerts[:MOST_ITEMS])
        elif kind in KINDS:
            changes[kind] = shown(payload, KINDS[kind])
        else:
            return False
        return self._change(node, station, changes)

    def result(self, node: str, station: str, payload: Payload, row_id: int) -> bool:
        """Note a result; one from before the newest does not become the newest."""
        known = self.station(node, station)
        if known is not None and known.last is not None and _is_older(payload, known.last):
            return False
        changes = {"last": payload, "last_id": row_id, "heard_s": time.monotonic()}
        return self._change(node, station, changes)

    def _change(self, node: str, station: str, changes: dict[str, Any]) -> bool:
        with self._lock:
            known = self._stations.get((node, station))
            if known is None:
                if len(self._stations) >= MOST_STATIONS:
                    return False
                known = StationNow(node, station)
            self._stations[node, station] = replace(known, **changes)
            return True


def _is_older(payload: Payload, newest: Payload) -> bool:
    return str(payload["times"]["end"]) < str(newest["times"]["end"])
