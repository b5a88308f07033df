"""JSON read so that it can be understood in one way only."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any


def parse_json(data: bytes) -> Any:
    """Parse JSON that is UTF-8, names no key twice and holds finite numbers only.

    Raises:
        ValueError: in one line, for anything else.
    """
    try:
        value = json.loads(
            data.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_refuse_constant
        )
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if (where := next(not_finite(value), None)) is not None:
        raise ValueError(f"{where or 'the file'}: expected a finite number")
    return value


def not_finite(value: Any, where: str = "") -> Iterator[str]:
    """Yield the dotted places of numbers that are not finite."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from not_finite(inner, f"{where}.{key}" if where else str(key))
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            yield from not_finite(inner, f"{where}.{index}" if where else str(index))
    elif isinstance(value, float) and not math.isfinite(value):
        yield where


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {twice!r} is given twice")
    return found


def _refuse_constant(name: str) -> None:
    raise ValueError(f"expected a finite number, found {name}")
