"""The best frame of a part so far: whole, centred, sharp, in this order."""

from __future__ import annotations

from dataclasses import dataclass

from edge.frame import Frame


@dataclass(frozen=True, slots=True)
class View:
    """How a frame shows a part.

    Attributes:
        frame: the picture.
        is_whole: no end of the part lies outside.
        off_centre: distance of its middle from the middle of the view, share of the view.
        sharpness: mean step between neighbouring pixels; counts only near the middle.
    """

    frame: Frame
    is_whole: bool
    off_centre: float
    sharpness: float


def better(one: View | None, other: View, window: float) -> View:
    """Return the better view of the same part; `one` when they are alike.

    Within `window` of the middle (share of the view) the sharper one counts, outside the nearer.
    """
    return other if one is None or _rank(other, window) > _rank(one, window) else one


def _rank(view: View, window: float) -> tuple[bool, bool, float]:
    is_near = view.off_centre <= window
    return view.is_whole, is_near, view.sharpness if is_near else -view.off_centre
