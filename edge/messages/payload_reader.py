"""Reads payloads from the net: an object of plain values, or one clear refusal."""

from __future__ import annotations

import json
import math
from typing import Any

from edge.messages.payload import Payload

MAX_BYTES = 2**20
MAX_DEPTH = 32
# Doubles hold every integer up to here, and so does every reader of JSON.
MAX_INTEGER = 2**53


def read_payload(data: bytes) -> Payload:
    """Read the payload `data`, whoever sent it.

    Raises:
        ValueError: in one line: it is too large or too deep, no JSON in UTF-8, no object, or holds
            a key twice, a number that is not finite or an integer beyond 2**53.
    """
    if len(data) > MAX_BYTES:
        raise ValueError(f"expected at most {MAX_BYTES} bytes, got {len(data)}")
    try:
        payload = json.loads(
            data.decode("utf-8"),
            object_pairs_hook=_object,
            parse_constant=_refuse,
            parse_int=_integer,
            parse_float=_number,
        )
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(payload, dict):
        raise ValueError("expected an object")  # noqa: TRY004 - callers expect one kind
    _check_depth(payload)
    return payload


def _object(pairs: list[tuple[str, Any]]) -> Payload:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key is given twice")
    return found


def _refuse(name: str) -> float:
    raise ValueError(f"expected a finite number, got {name}")


def _integer(text: str) -> int:
    if len(text) > len(str(-MAX_INTEGER)) or abs(int(text)) > MAX_INTEGER:
        raise ValueError(f"expected integers up to 2**53, got {text[:20]}")
    return int(text)


def _number(text: str) -> float:
    value = float(text)
    return value if math.isfinite(value) else _refuse(text[:20])


def _check_depth(payload: Payload) -> None:
    level: list[Any] = [payload]
    for _ in range(MAX_DEPTH):
        children = [
            each for value in level for each in (value.values() if type(value) is dict else value)
        ]
        level = [value for value in children if type(value) in (dict, list)]
        if not level:
            return
    raise ValueError(f"nested more than {MAX_DEPTH} deep")
