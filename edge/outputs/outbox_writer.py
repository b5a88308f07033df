"""The thread that stores results, so that nothing that inspects parts ever waits for a flush.

Results queue while the previous ones are being committed, and everything that waits goes into the
next transaction. On a slow card the transactions grow instead of the delay.
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
    """Commits results to the outbox in the order they came.

    When the outbox refuses (a full disk), up to `memory` results wait and are retried every
    second; beyond that the oldest is dropped and counted, and its number stays a gap in `seq`.

    Args:
        outbox: where results go.
        on_committed: called in the writer's thread with every numbered payload, after its commit;
            while it blocks, results wait in memory.
        memory: how many results may wait.
    """

    def __init__(
        self, outbox: Outbox, on_committed: Callable[[Payload], None], *, memory: int = 1000
    ):
        self._outbox = outbox
        self._on_committed = on_committed
        self._memory = memory
        self._waiting: deque[Payload] = deque()
        self._skipped: Counter[str] = Counter()  # dropped by verdict, not yet known to the outbox
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
        """Hand over a result; returns at once."""
        with self._condition:
            self._waiting.append(payload)
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
        """Commit what waits and end the thread; False when results had to be given up."""
        self._deadline = time.monotonic() + timeout_s
        self._stop.set()
        with self._condition:
            self._condition.notify_all()
        if self._thread.ident is not None:  # else it was never started
            self._thread.join(timeout_s + RETRY_S)
        if self._waiting:
            log.error("results given up count=%d outbox=%s", len(self._waiting), self._outbox.path)
        return self._is_idle()

    def _is_idle(self) -> bool:
        return not (self._waiting or self._skipped or self._is_busy)

    def _run(self) -> None:
        committed_s = -GATHER_S
        while True:
            with self._condition:
                self._condition.wait_for(lambda: self._waiting or self._stop.is_set(), timeout=1.0)
            self._stop.wait(committed_s + GATHER_S - time.monotonic())
            with self._condition:
                batch, skipped = list(self._waiting), self._skipped
                self._skipped = Counter()
                self._waiting.clear()
                self._is_busy = True
            try:
                if batch or skipped:
                    self._commit(batch, skipped)
                    committed_s = time.monotonic()
            except Exception as error:
                # A payload that cannot be stored is a defect of this program: stop, do not spin.
                self.error = self.error or error
                self._take_back(batch, skipped)
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

    def _commit(self, batch: list[Payload], skipped: Counter[str]) -> None:
        try:
            numbered = self._outbox.append(batch, skipped)
        except PublishError as error:
            if not self._is_failing:
                log.error(  # noqa: TRY400 - one line, not a traceback
                    "results wait in memory limit=%d: %s", self._memory, error
                )
            self._is_failing = True
            self._take_back(batch, skipped)
            return
        if self._is_failing:
            log.warning("outbox takes results again outbox=%s", self._outbox.path)
        self._is_failing = False
        self._pass_on(numbered)

    def _pass_on(self, numbered: list[Payload]) -> None:
        try:
            for payload in numbered:
                self._on_committed(payload)
        except Exception as error:  # noqa: BLE001 - kept for the main thread; storing goes on
            self.error = self.error or error

    def _take_back(self, batch: list[Payload], skipped: Counter[str]) -> None:
        with self._condition:
            self._waiting.extendleft(reversed(batch))
            self._skipped += skipped
            self._shrink()

    def _shrink(self) -> None:
        while len(self._waiting) > self._memory:
            dropped = self._waiting.popleft()
            self._skipped[dropped["result"]] += 1
            self.lost_memory += 1
