"""What goes over a link: messages, where to answer them, acknowledgements."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from edge.errors import PublishError


class Ack(NamedTuple):
    """The broker's answer to a QoS 1 message; reasons from 128 are refusals, 3.1.1 has none."""

    mid: int
    reason: int
    text: str


class Reply(NamedTuple):
    """Where the sender of a message wants its answer (MQTT 5), and what the answer repeats."""

    topic: str
    correlation: bytes | None = None


class Message(NamedTuple):
    """A message received; `is_stored`: the broker sent it from memory (retain flag)."""

    topic: str
    payload: bytes
    is_stored: bool
    reply: Reply | None = None


OnMessage = Callable[[Message], None]


class UnsendableError(PublishError):
    """The message cannot be sent over this connection; others can."""


class OversizeError(UnsendableError):
    """The message exceeds what the broker accepts; sending it would end the connection."""
