"""Shorter forms of a payload, for a broker that does not take it whole."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from edge.messages.payload import Payload

# Characters of a text, entries of a list: long enough for hashes, times and identifiers.
_STEPS = ((200, 20), (80, 3), (64, 0))
# Objects that are lists by name, and may lose entries; others have fixed fields.
_TABLES = ("software", "schemas", "drops", "host")


def short_forms(payload: Payload) -> Iterator[Payload]:
    """Yield forms that are shorter and shorter, each marked `is_short`; they obey the schema."""
    for characters, entries in _STEPS:
        yield {**_cut(payload, characters, entries), "is_short": True}


def _cut(value: Any, characters: int, entries: int, name: str = "") -> Any:
    if isinstance(value, str):
        return value if len(value) <= characters else f"{value[: characters - 1]}…"
    if isinstance(value, list | tuple):
        return [_cut(item, characters, entries) for item in value[:entries]]
    if isinstance(value, dict):
        items = list(value.items())[: entries if name in _TABLES else None]
        return {key: _cut(item, characters, entries, key) for key, item in items}
    return value
