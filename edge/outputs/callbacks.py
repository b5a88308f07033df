"""Sinks that call a function for every stored result."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from edge.drop_counts import DropCounts
from edge.messages.payload import Payload
from edge.outputs.queued_sink import QueuedSink
from edge.outputs.sink import ResultSink

QUEUE_SIZE = 1000


class CommitSignal(ResultSink):
    """Says that there is a new result in the outbox, by calling `signal`, which returns at once."""

    def __init__(self, name: str, signal: Callable[[], None]):
        self.name = name
        self._signal = signal

    def committed(self, payload: Payload) -> None:  # noqa: ARG002
        """Call `signal`."""
        self._signal()


class ResultCallback(QueuedSink):
    """Calls `callback` with every stored result, in a thread that it may keep waiting."""

    def __init__(self, callback: Callable[[Payload], None], drops: DropCounts):
        super().__init__("on_result", drops, size=QUEUE_SIZE)
        self._callback = callback

    def committed(self, payload: Payload) -> None:
        """Queue the payload for `callback`."""
        self.later(partial(self._callback, payload))
