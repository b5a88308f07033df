"""Whether an unfinished run may go on: how two records differ."""

from __future__ import annotations

from collections.abc import Mapping

# Differences that an error names; values longer than this are left out.
NAMED = 3
LONGEST_VALUE = 40


def differences(stored: object, wanted: object, key: str = "") -> list[str]:
    """Say in which keys two records differ, such as "training.steps is 3 there, 4 here".

    Args:
        stored: record of the unfinished run; dictionaries are compared key by key.
        wanted: record of what was asked for.
        key: of both, with dots between the levels.
    """
    if stored == wanted:
        return []
    if isinstance(stored, Mapping) and isinstance(wanted, Mapping):
        names = dict.fromkeys([*stored, *wanted])
        return [
            found
            for name in names
            for found in differences(
                stored.get(name), wanted.get(name), f"{key}.{name}" if key else str(name)
            )
        ]
    there, here = _shown(stored), _shown(wanted)
    if max(len(there), len(here)) > LONGEST_VALUE:
        return [f"{key} is another"]
    return [f"{key} is {there} there, {here} here"]


def in_one_line(found: list[str]) -> str:
    """The first few differences, and how many more there are."""
    named = "; ".join(found[:NAMED])
    more = len(found) - NAMED
    return f"{named}; and {more} more" if more > 0 else named


def _shown(value: object) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(_shown, value)) or "none"
    return "none" if value is None or value == {} else str(value)
