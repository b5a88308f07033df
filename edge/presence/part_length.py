"""How long the parts are, learned from those that lie alone."""

from __future__ import annotations

from collections import deque

_MEMORY = 31
# Touching parts that were measured as one are longer than the rest, so the median errs upwards.
_QUANTILE = 0.3


class PartLength:
    """The length of a part along the belt, cells; `given` fixes it."""

    def __init__(self, given: float | None = None):
        self._given = given
        self._measured: deque[float] = deque(maxlen=_MEMORY)

    @property
    def value(self) -> float | None:
        """The length, None before the first part was measured."""
        if self._given is not None or not self._measured:
            return self._given
        return sorted(self._measured)[int(_QUANTILE * len(self._measured))]

    def measured(self, length: float) -> None:
        """Note the length of a part that was wholly in view and touched no other."""
        self._measured.append(length)
