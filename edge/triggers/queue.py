"""The ledger of triggers: which are taken, which are refused, and that each gets one result."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Protocol

from edge.trigger import Trigger
from edge.triggers.source import NotTaken

# Ids that are known as used, at some bytes each.
REMEMBERED = 10_000
COUNTERS = ("taken", "refused", "no_frame", "late", "unasked")


class TriggerLedger(Protocol):
    """What pairs triggers with frames tells of them."""

    def offer(self, trigger: Trigger, *, is_refusable: bool = True) -> NotTaken | None:
        """Take a trigger, or say why it is refused."""

    def count(self, what: str, n: int = 1) -> None:
        """Count `n` more of one of COUNTERS."""

    def close(self) -> None:
        """Refuse whatever comes from now on."""


class TriggerQueue:
    """Takes triggers while there is room, and lets each of them have one result.

    A trigger is open from `offer` until `settle`. One may be under way and `size` more may wait;
    a further one is refused as not ready. Any thread may call.

    Args:
        size: triggers that may wait behind the one under way.
        is_judging: the station judges parts at present.
    """

    def __init__(self, size: int, is_judging: Callable[[], bool]):
        self._limit = size + 1
        self._is_judging = is_judging
        self._lock = threading.Lock()
        self._open: dict[str, Trigger] = {}
        self._used: OrderedDict[str, None] = OrderedDict()
        self._counts = dict.fromkeys(COUNTERS, 0)
        self._is_closed = False

    def offer(self, trigger: Trigger, *, is_refusable: bool = True) -> NotTaken | None:
        """Take a trigger, or say why it is refused.

        `is_refusable` False: the picture is taken already, so that a full queue is no reason.
        """
        refusal = None
        with self._lock:
            if self._is_closed:
                refusal = NotTaken("stopping", "the station is stopping")
            elif trigger.id in self._used:
                refusal = NotTaken("used", f"trigger id {trigger.id} was used before")
            elif is_refusable and len(self._open) >= self._limit:
                waiting = f"{len(self._open)} triggers await their result"
                refusal = NotTaken("not_ready", f"not ready: {waiting}; trigger more slowly")
            elif not self._is_judging():
                detail = "not judging: the station is stopped or has no recipe"
                refusal = NotTaken("not_judging", f"{detail}; send start_continuous")
            if refusal is None:
                self._open[trigger.id] = trigger
                self._remember(trigger.id)
            self._counts["taken" if refusal is None else "refused"] += 1
        return refusal

    def settle(self, trigger: Trigger) -> bool:
        """Claim the right to give a trigger its result; False when it has one."""
        with self._lock:
            return self._open.pop(trigger.id, None) is not None

    def close(self) -> None:
        """Refuse whatever comes from now on; what is open keeps its right to a result."""
        with self._lock:
            self._is_closed = True

    def count(self, what: str, n: int = 1) -> None:
        """Count `n` more of one of COUNTERS."""
        with self._lock:
            self._counts[what] += n

    @property
    def open(self) -> tuple[Trigger, ...]:
        """Triggers without their result, oldest first."""
        with self._lock:
            return tuple(self._open.values())

    @property
    def counts(self) -> dict[str, int]:
        """Triggers taken, refused, without a frame and late so far, and frames `unasked` for."""
        with self._lock:
            return dict(self._counts)

    def _remember(self, trigger_id: str) -> None:
        self._used[trigger_id] = None
        if len(self._used) > REMEMBERED:
            self._used.popitem(last=False)
