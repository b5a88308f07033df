"""How long to wait before a lost camera is tried again."""

from __future__ import annotations

import random
from collections.abc import Callable

# Spread, so that the stations behind one switch do not all reconnect in step.
_SPREAD = 0.2


class BackOff:
    """Pauses that double with every failed attempt, up to a limit.

    Args:
        first_s: the first pause, seconds.
        longest_s: the limit, seconds.
        chance: returns numbers from 0 to 1; each pause is shortened by up to a fifth of that.
    """

    def __init__(
        self, first_s: float, longest_s: float, chance: Callable[[], float] = random.random
    ):
        self._first_s = first_s
        self._longest_s = longest_s
        self._chance = chance
        self._nominal_s = first_s

    def next_s(self) -> float:
        """Return the pause after a failed attempt, seconds; the following one is longer."""
        pause_s = self._nominal_s * (1 - _SPREAD * self._chance())
        self._nominal_s = min(2 * self._nominal_s, self._longest_s)
        return pause_s

    def reset(self) -> None:
        """Begin with the first pause again."""
        self._nominal_s = self._first_s
