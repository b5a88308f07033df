"""Progress of a long training, as whoever calls it wants to see it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


class Progress(Protocol):
    """Opens one progress bar per stage; what it returns is called with the work done since."""

    def __call__(self, stage: str, total: int) -> Callable[[int], None]:
        """Start the bar of `stage`, `total` units long."""
        ...
