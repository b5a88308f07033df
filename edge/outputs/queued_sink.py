"""A sink for slow outputs: a bounded queue, and a thread that works it off."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from time import monotonic

from edge.drop_counts import DropCounts
from edge.outputs.sink import ResultSink
from edge.outputs.sink_failures import SinkFailures

# Files wait for a slow output, but not for one that has hung.
HUNG_S = 5.0
Task = Callable[[], None]


class QueuedSink(ResultSink):
    """A sink that works in a thread of its own and may wait there for a disk or a network.

    Subclasses override `decided` or `committed`, and hand the slow part of it to `later`. A task
    that is not done is counted: (NAME, overrun) when the queue was full, (NAME, stopped) when it
    was left over at the stop, (NAME, failed) when it raised.

    Args:
        name: of the output.
        drops: where the counts go.
        size: how many tasks may wait.
    """

    def __init__(self, name: str, drops: DropCounts, *, size: int):
        self.name = name
        self._drops = drops
        self._failures = SinkFailures(drops)
        self._size = size
        self._tasks: deque[Task] = deque()
        self._changed = threading.Condition()
        self._is_stopping = False
        self._began_s = monotonic()  # when the task under way began
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin to work off the queue."""
        self._thread.start()

    def later(self, task: Task) -> None:
        """Have `task` called in the sink's thread; returns at once."""
        with self._changed:
            if self._is_stopping:
                self._drops.add(self.name, "stopped")
            elif len(self._tasks) >= self._size:
                self._drops.add(self.name, "overrun")
            else:
                self._tasks.append(task)
                self._changed.notify_all()

    def wait_for_room(self, timeout_s: float) -> bool:
        """Wait until half of the queue is free; a sink that has hung is not waited for.

        Not for a single place: results that are still being stored will need theirs soon.
        """
        with self._changed:
            return self._changed.wait_for(self._has_room, timeout_s)

    def stop(self, timeout_s: float) -> bool:
        """Do what waits and end the thread; False when it did not end in time."""
        with self._changed:
            self._is_stopping = True
            self._changed.notify_all()
        if self._thread.ident is not None:  # else it was never started
            self._thread.join(timeout_s)
        has_ended = not self._thread.is_alive()
        with self._changed:
            undone = len(self._tasks) + (not has_ended)  # the task under way may never be done
            self._tasks.clear()
        if undone:
            self._drops.add(self.name, "stopped", undone)
        return has_ended

    def _has_room(self) -> bool:
        has_hung = monotonic() - self._began_s > HUNG_S
        return 2 * len(self._tasks) <= self._size or has_hung

    def _run(self) -> None:
        while (task := self._next()) is not None:
            with self._failures.caught(self.name, "queue"):
                task()

    def _next(self) -> Task | None:
        with self._changed:
            self._changed.wait_for(lambda: self._tasks or self._is_stopping)
            if not self._tasks:
                return None
            self._began_s = monotonic()
            self._changed.notify_all()
            return self._tasks.popleft()
