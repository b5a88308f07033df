"""A row of the outbox as the message that is published."""

from __future__ import annotations

import json

from edge.messages.payload import Payload, encode
from edge.messages.signature import SigningKey, signed
from edge.outputs.outbox import Row

_LONGEST = 256


def result_message(
    row: Row, *, is_replayed: bool, key: SigningKey | None = None
) -> tuple[bytes, dict[str, str]]:
    """Return a result's payload, signed if there is a key, and user properties.

    Raises:
        ValueError, TypeError, KeyError, RecursionError: the row holds no result.
    """
    payload: Payload = json.loads(row.payload)
    is_replayed = is_replayed or payload["is_replayed"] is True  # a frame from an archive
    payload["is_replayed"] = is_replayed
    user = {
        "schema": payload["schema"],
        "msg_id": payload["msg_id"],
        "seq": str(row.seq),
        "result": payload["result"],
        "replayed": "true" if is_replayed else "false",
    }
    if not all(isinstance(text, str) and 0 < len(text) <= _LONGEST for text in user.values()):
        raise ValueError("expected short texts as schema, msg_id and result")
    if key is not None:
        payload = signed(payload, key)
    return encode(payload).encode(), user
