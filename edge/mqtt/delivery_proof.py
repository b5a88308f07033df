"""Whether what we publish arrives: the station hears its own messages come back.

An acknowledgement proves little under MQTT 3.1.1: Mosquitto acknowledges what its ACL or its size
limit then drops. So the station subscribes to its own results, counters and status. A result that
was acknowledged has to come back; while there are none, the counters are published again from time
to time and are the probe.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable

from edge.messages.message import Message
from edge.messages.state_board import StateBoard

# After the acknowledgement of a result, or after a probe was sent.
ECHO_S = 5.0
PROBE = 0  # stands for the number of a result


class DeliveryProof:
    """Matches what comes back with what was sent; used by the publisher's thread only.

    Keeps the alert `delivery_unproven`.

    Args:
        states: where the alert goes.
        topic: of results, for the alert.
        interval_s: after so long without proof a probe is due.
        on_change: gets `proven` or `unproven` when it changes.
    """

    def __init__(
        self,
        states: StateBoard,
        topic: str,
        interval_s: float,
        on_change: Callable[[str], None] | None = None,
    ):
        self._states = states
        self._topic = topic
        self._interval_s = interval_s
        self._on_change = on_change
        self._sent: dict[bytes, int] = {}  # digest -> seq of a result, or PROBE
        self._probe_end: float | None = None  # when the echo of the newest probe is overdue
        self._next_probe = 0.0
        self._problems: dict[str, str] = {}  # probe, result, right -> what is wrong
        self.can_read = False  # something of ours has come back over this connection
        self.is_blind = False  # nothing has, though it was time
        self.state: str | None = None
        self.unproven = 0  # results that were acknowledged and did not come back

    def begin(self) -> None:
        """Start over with a new connection."""
        self._sent.clear()
        self._probe_end = None
        self._next_probe = time.monotonic() + self._interval_s
        self._problems.pop("right", None)
        self.can_read = self.is_blind = False

    def expect(self, payload: bytes, seq: int = PROBE) -> None:
        """Note that a payload was sent: the counters, or the result `seq`."""
        self._sent[_digest(payload)] = seq
        if seq == PROBE and self._probe_end is None:
            self._probe_end = time.monotonic() + ECHO_S

    def hear(self, message: Message) -> int | None:
        """Return the number of the result that has come back, PROBE for counters, else None."""
        seq = self._sent.pop(_digest(message.payload), None)
        if seq is None:
            return None
        if "right" not in self._problems:
            self.can_read, self.is_blind = True, False
        self._probe_end = None
        self._next_probe = time.monotonic() + self._interval_s
        self._settle("probe")
        if seq != PROBE:
            self._settle("result")
        return seq

    def missed(self, seq: int, size: int, *, is_kept: bool) -> None:
        """Note that the result `seq` was acknowledged and did not come back in time."""
        self.unproven += 1
        fate = "it is kept and sent again" if is_kept else "the broker's word is taken for it"
        self._complain(
            "result",
            f"seq {seq} ({size} bytes) was acknowledged and did not come back from {self._topic}; "
            f"{fate}; check the broker's ACL (write and read) and its message_size_limit",
        )

    def refused(self, topic: str, reason: str) -> None:
        """Note that the broker refuses to let us hear our own messages."""
        self.can_read, self.is_blind = False, True
        self._complain("right", f"the broker refuses to let the station read {topic}: {reason}")

    def is_probe_due(self) -> bool:
        """Tell whether the counters have to be published as a probe; check the one before."""
        moment = time.monotonic()
        if self._probe_end is not None and moment >= self._probe_end:
            self._probe_end = None
            self.is_blind = not self.can_read
            self._complain(
                "probe",
                f"nothing that the station publishes comes back, such as {self._topic}; check the "
                f"broker's ACL: the right to write there, and to read it back",
            )
        if moment < self._next_probe:
            return False
        # Soon again while unproven, so that the end of the trouble is noticed.
        self._next_probe = moment + (self._interval_s if self.can_read else 2 * ECHO_S)
        for digest in [digest for digest, seq in self._sent.items() if seq == PROBE]:
            del self._sent[digest]
        return True

    def _complain(self, what: str, text: str) -> None:
        is_new = what not in self._problems
        self._problems[what] = text
        if is_new or what == "result":
            self._states.raise_alert(
                "delivery_unproven", "error", "; ".join(self._problems.values())
            )
        self._change("unproven")

    def _settle(self, what: str) -> None:
        if self._problems.pop(what, None) is not None and not self._problems:
            self._states.clear_alert("delivery_unproven")
        if not self._problems:
            self._change("proven")

    def _change(self, state: str) -> None:
        if state != self.state:
            self.state = state
            if self._on_change is not None:
                self._on_change(state)


def _digest(payload: bytes) -> bytes:
    return hashlib.blake2b(payload, digest_size=16).digest()
