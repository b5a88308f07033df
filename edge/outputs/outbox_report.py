"""What a station tells about its outbox: the counters, and an alert when results are lost."""

from __future__ import annotations

from edge.messages.identity import Identity
from edge.messages.payload import counters_payload
from edge.messages.state_board import StateBoard
from edge.outputs.outbox import Outbox


class OutboxReport:
    """Keeps the counters and the alert `spool_dropped` up to date; used by one thread.

    Args:
        identity: who speaks.
        outbox: what is reported.
        states: where the report goes.
    """

    def __init__(self, identity: Identity, outbox: Outbox, states: StateBoard):
        self._identity = identity
        self._outbox = outbox
        self._states = states
        self._reported = (0, 0, 0)  # last seq, rows and lost results of the newest counters
        self._known_lost = outbox.lost

    def put_counters(self) -> None:
        """Renew the counters."""
        outbox = self._outbox
        self._reported = last_seq, pending, lost = outbox.last_seq, outbox.depth, outbox.lost
        counters = counters_payload(
            self._identity, outbox.counts, last_seq=last_seq, lost=lost, pending=pending
        )
        self._states.put("counters", counters)

    def update(self) -> None:
        """Raise or clear the alert, and renew the counters if they have changed."""
        outbox = self._outbox
        if outbox.lost > self._known_lost:
            detail = f"{outbox.lost - self._known_lost} results lost, {outbox.lost} in all"
            self._states.raise_alert("spool_dropped", "error", detail)
            self._known_lost = outbox.lost
        elif outbox.depth == 0:
            self._states.clear_alert("spool_dropped")
        if self._reported != (outbox.last_seq, outbox.depth, outbox.lost):
            self.put_counters()
