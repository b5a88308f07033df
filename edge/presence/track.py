"""One part while it is in view."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from edge.presence.best_frame import View

# An end of the view: its first cell, its last one; 0 is neither.
End = Literal[-1, 0, 1]


@dataclass(slots=True, eq=False)
class Track:
    """Where a part lies, cells; its ends may be outside the view.

    Attributes:
        left: where it begins.
        right: where it ends.
        entered_by: the end of the view that it came in by; 0 = it was first seen inside.
        open_end: the end of the part that has not been in view yet and cannot be inferred.
        measured: its length when it lay alone and wholly in view.
        missed: frames in a row that did not show it where it should be.
        overtaken: parts that have left the view since it was first seen.
        is_judged: its frame has been chosen; it is only followed now.
        view: the best frame so far; None once it is judged.
    """

    left: float
    right: float
    entered_by: End = 0
    open_end: End = 0
    measured: float | None = None
    missed: int = 0
    overtaken: int = 0
    is_judged: bool = False
    view: View | None = None
    _first: tuple[float, float] | None = None
    _last: tuple[float, float] = (0.0, 0.0)

    @property
    def length(self) -> float:
        """Cells from end to end."""
        return self.right - self.left

    @property
    def middle(self) -> float:
        """Cell in the middle of the part."""
        return (self.left + self.right) / 2

    @property
    def travelled(self) -> float:
        """How far it was seen to come, cells, signed: by its leading end.

        Of what was first seen inside, both ends must come along: else it only grows or shrinks.
        """
        if self._first is None:
            return 0.0
        left, right = (now - then for now, then in zip(self._last, self._first, strict=True))
        if self.entered_by:
            return left if self.entered_by == 1 else right
        return min(left, right, key=abs) if left * right > 0 else 0.0

    def notice(self) -> None:
        """Note that it is seen where it lies now."""
        self.missed = 0
        self._last = (self.left, self.right)
        if self._first is None:
            self._first = self._last

    def advance(self, move: float) -> None:
        """Move with the belt."""
        self.left += move
        self.right += move

    def visible(self, length: float) -> float:
        """Return how many of its cells lie in a view of `length` cells."""
        return max(0.0, min(self.right, length) - max(self.left, 0.0))

    def way_out(self, length: float) -> End:
        """Return the end of the view behind which it lies wholly; 0 while any of it is in view."""
        if self.left >= length - 1:
            return 1
        return -1 if self.right <= 1 else 0
