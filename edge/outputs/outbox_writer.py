"""The thread that stores results, so that nothing that inspects parts ever waits for a flush.

A result has its number before it queues here. Results queue while the previous ones are being
committed, and everything that waits goes into the next transaction. On a slow card the transactions
grow instead of the delay.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Callable

from edge.errors import PublishError
from edge.messages.payload import Payload
from edge.outputs.outbox import Outbox

log = logging.getLogger(__name__)
RETRY_S = 1.0
# A result that comes sooner than this after a commit waits and is stored together with the next
# ones: from 40 parts a second on, a flush for each would take computing time from the network and
# wear out a flash card. Slower lines never wait.
GATHER_S = 0.025


class OutboxWriter:
    """Numbers results as they come, and commits them to the outbox in this order.

    When the outbox refuses (a full disk), up to `memory` results wait, are retried every second and
    go out from memory meanwhile, if the broker is there. Beyond that the oldest is dropped; unless
    it was delivered it is counted as lost, and its number stays a gap in `seq`.

    Args:
        outbox: where results go.
        on_committed: called in the writer's thread with every numbered payload, after its commit
            or, while the disk is full, its delivery; while it blocks, results wait in memory.
        memory: how many results may wait.
    """

    def __init__(
        self, outbox: Outbox, on_committed: Callable[[Payload], None], *, memory: int = 1000
    ):
        self._outbox = outbox
        self._on_committed = on_committed
        self._memory = memory
        self._waiting: deque[Payload] = deque()
        self._delivered: deque[Payload] = deque()  # from memory, not passed on yet
        # By verdict, no longer waiting and not yet known to the outbox.
        self._settled: Counter[str] = Counter()
        self._lost: Counter[str] = Counter()
        self._is_busy = False
        self._is_failing = False
        self._condition = threading.Condition()
        self._stop = threading.Event()
        self._deadline = float("inf")
        self._thread = threading.Thread(target=self._run, name="result-writer", daemon=True)
        self.lost_memory = 0
        self.error: Exception | None = None  # the first fault of `on_committed` or of ours

    def start(self) -> None:
        """Begin to commit."""
        self._thread.start()

    def put(self, payload: Payload) -> None:
        """Give a result its number and take it over; returns at once."""
        with self._condition:
            self._waiting.append(self._outbox.number(payload))
            self._shrink()
            self._condition.notify_all()

    @property
    def waiting(self) -> int:
        """Results handed over and not yet committed."""
        return len(self._waiting)

    def flush(self, timeout_s: float) -> bool:
        """Wait until everything handed over is committed and passed on; False when late."""
        with self._condition:
            return self._condition.wait_for(self._is_idle, timeout_s)

    def stop(self, timeout_s: float) -> bool:
        """Commit what waits and end the thread; False when results are left in memory."""
        self._deadline = time.monotonic() + timeout_s
        self._stop.set()
        with self._condition:
            self._condition.notify_all()
        if self._thread.ident is not None:  # else it was never started
            self._thread.join(timeout_s + RETRY_S)
        if self._waiting:
            log.error(
                "results not stored count=%d outbox=%s", len(self._waiting), self._outbox.path
            )
        return self._is_idle()

    def _is_idle(self) -> bool:
        is_known = not (self._delivered or self._settled or self._lost)
        return is_known and not (self._waiting or self._is_busy)

    def _run(self) -> None:
        committed_s = -GATHER_S
        while True:
            with self._condition:
                self._condition.wait_for(lambda: self._waiting or self._stop.is_set(), timeout=1.0)
            self._stop.wait(committed_s + GATHER_S - time.monotonic())
            self._pass_on(self._take_settled())
            with self._condition:
                batch, settled, lost = list(self._waiting), self._settled, self._lost
                self._settled, self._lost = Counter(), Counter()
                self._waiting.clear()
                self._is_busy = True
            try:
                if batch or settled or lost:
                    self._commit(batch, settled, lost)
                    committed_s = time.monotonic()
            except Exception as error:
                # A payload that cannot be stored is a defect of this program: stop, do not spin.
                self.error = self.error or error
                self._take_back(batch, settled, lost)
                log.exception("result writer ended")
                return
            finally:
                with self._condition:
                    self._is_busy = False
                    self._condition.notify_all()
            if self._stop.is_set() and (self._is_idle() or time.monotonic() >= self._deadline):
                return
            if self._is_failing and self._stop.wait(RETRY_S):
                time.sleep(0.1)  # stopping: tried more often, until the deadline

    def _commit(self, batch: list[Payload], settled: Counter[str], lost: Counter[str]) -> None:
        try:
            self._outbox.append(batch, settled=settled, lost=lost)
        except PublishError as error:
            if not self._is_failing:
                log.error(  # noqa: TRY400 - one line, not a traceback
                    "results wait in memory limit=%d: %s", self._memory, error
                )
            self._is_failing = True
            self._outbox.hold(batch, str(error))
            self._take_back(batch, settled, lost)
            return
        if self._is_failing:
            log.warning("outbox takes results again outbox=%s", self._outbox.path)
        self._is_failing = False
        self._pass_on(batch)

    def _take_settled(self) -> list[Payload]:
        """Remove the oldest results as far as they were delivered from memory."""
        with self._condition:
            while self._waiting and self._outbox.is_settled(self._waiting[0]["seq"]):
                self._delivered.append(self._waiting.popleft())
            taken = list(self._delivered)
            self._delivered.clear()
            self._settled.update(payload["result"] for payload in taken)
        return taken

    def _pass_on(self, numbered: list[Payload]) -> None:
        try:
            for payload in numbered:
                self._on_committed(payload)
        except Exception as error:  # noqa: BLE001 - kept for the main thread; storing goes on
            self.error = self.error or error

    def _take_back(self, batch: list[Payload], settled: Counter[str], lost: Counter[str]) -> None:
        with self._condition:
            self._waiting.extendleft(reversed(batch))
            self._settled += settled
            self._lost += lost
            self._shrink()

    def _shrink(self) -> None:
        while len(self._waiting) > self._memory:
            dropped = self._waiting.popleft()
            if self._outbox.is_settled(dropped["seq"]):
                self._delivered.append(dropped)
            else:
                self._lost[dropped["result"]] += 1
                self.lost_memory += 1
