"""What a station tells about its outbox: the counters, and an alert for everything amiss."""

from __future__ import annotations

from edge.messages.identity import Identity
from edge.messages.payload import counters_payload
from edge.messages.state_board import StateBoard
from edge.outputs.outbox import Outbox


class OutboxReport:
    """Keeps the counters and the outbox's alerts up to date; used by one thread.

    `spool_dropped`: results were lost. `outbox_gap`: results of the run before were lost.
    `outbox_break`: the outbox is not the one that the numbers belong to. `outbox_failing`: the disk
    takes no results. `outbox_row`: rows of the outbox are no results.

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
        self._known_aside = 0
        self._told_going_on = self._told_problem = ""

    def put_counters(self) -> None:
        """Renew the counters."""
        outbox = self._outbox
        self._reported = last_seq, pending, lost = outbox.last_seq, outbox.depth, outbox.lost
        counters = counters_payload(
            self._identity,
            outbox.counts,
            last_seq=last_seq,
            lost=lost,
            pending=pending,
            outbox_id=outbox.outbox_id,
            unaccounted=outbox.unaccounted,
        )
        self._states.put("counters", counters)

    def update(self) -> None:
        """Raise or clear the alerts, and renew the counters if they have changed."""
        outbox = self._outbox
        self._tell_going_on()
        self._tell_problem()
        if outbox.lost > self._known_lost:
            detail = f"{outbox.lost - self._known_lost} results lost, {outbox.lost} in all"
            self._states.raise_alert("spool_dropped", "error", detail)
            self._known_lost = outbox.lost
        elif outbox.depth == 0:
            self._states.clear_alert("spool_dropped")
        if outbox.set_aside > self._known_aside:
            self._known_aside = outbox.set_aside
            detail = f"{outbox.set_aside} rows of {outbox.path} are no results and were set aside"
            self._states.raise_alert("outbox_row", "error", detail)
        if self._reported != (outbox.last_seq, outbox.depth, outbox.lost):
            self.put_counters()

    def _tell_going_on(self) -> None:
        """Say once how numbering went on; it stays true for the rest of the run."""
        going_on = self._outbox.continuity
        told = str(going_on)
        if told and told != self._told_going_on:
            code = "outbox_break" if going_on.broken else "outbox_gap"
            self._states.raise_alert(code, "error", told)
        self._told_going_on = told

    def _tell_problem(self) -> None:
        outbox = self._outbox
        problem = outbox.problem
        if not problem and outbox.unreserved:
            problem = f"outbox {outbox.path}: numbers cannot be reserved: {outbox.unreserved}"
        if problem and problem != self._told_problem:
            detail = f"{problem}; what waits in memory goes out from there"
            self._states.raise_alert("outbox_failing", "critical", detail)
        elif not problem:
            self._states.clear_alert("outbox_failing")
        self._told_problem = problem
