"""Brings every result to every output, and into the outbox in between."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from edge.drop_counts import DropCounts
from edge.messages.payload import Payload
from edge.outputs.outbox import Outbox
from edge.outputs.outbox_writer import OutboxWriter
from edge.outputs.sink import Decided, ResultSink
from edge.outputs.sink_failures import SinkFailures

# Even when time is up, a thread that has nothing left to do gets this long to end.
LEAST_S = 0.05


class ResultDispatcher:
    """Calls the sinks at both moments of a result, in the order of the list.

    The outbox takes a result after every sink has heard of its verdict, and the sinks hear of it
    again once it is on the disk. A sink that raises loses its own result and nobody else's. The
    outbox is no sink among others: what it cannot store is kept and tried again, and a result that
    is lost for good ends the run with an error.

    Args:
        sinks: the outputs.
        outbox: numbers and stores results.
        describe: makes the payload of a result; a fault of it is raised by `decided`.
        drops: counts what sinks fail at.

    Attributes:
        writer: stores results.
    """

    def __init__(
        self,
        sinks: Sequence[ResultSink],
        outbox: Outbox,
        describe: Callable[[Decided], Payload],
        drops: DropCounts,
    ):
        self._sinks = tuple(sinks)
        self._describe = describe
        self._failures = SinkFailures(drops)
        self.writer = OutboxWriter(outbox, self._committed)

    def start(self) -> None:
        """Begin to store results, then start the sinks.

        Raises:
            EdgeError: an output cannot be used.
        """
        self.writer.start()
        for sink in self._sinks:
            sink.start()

    def decided(self, decided: Decided) -> None:
        """Tell every sink of a verdict and hand it to the outbox; waits for no disk."""
        for sink in self._sinks:
            with self._failures.caught(sink.name, "decided"):
                sink.decided(decided)
        self.writer.put(self._describe(decided))

    def wait_for_room(self, timeout_s: float) -> bool:
        """Wait until every sink has room, for sources that can wait; False when one has none."""
        deadline = time.monotonic() + timeout_s
        return all(
            sink.wait_for_room(max(0.0, deadline - time.monotonic())) for sink in self._sinks
        )

    def stop(self, timeout_s: float) -> list[str]:
        """Store what waits, then stop the sinks in the order of the list.

        Half of the time is the outbox's. Of the rest every sink may use an equal share, and what
        those before it have left over.

        Returns:
            The names of the sinks that did not end.
        """
        deadline = time.monotonic() + timeout_s
        self.writer.stop(timeout_s / 2)
        stuck = []
        for index, sink in enumerate(self._sinks):
            share_s = (deadline - time.monotonic()) / (len(self._sinks) - index)
            with self._failures.caught(sink.name, "stop"):
                if not sink.stop(max(LEAST_S, share_s)):
                    stuck.append(sink.name)
        return stuck

    def _committed(self, payload: Payload) -> None:
        for sink in self._sinks:
            with self._failures.caught(sink.name, "committed"):
                sink.committed(payload)
