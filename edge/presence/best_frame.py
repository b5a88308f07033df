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
        is_near: so near to the middle that the sharper frame is the better one.
        sharpness: mean step between neighbouring pixels; counts only near the middle.
    """

    frame: Frame
    is_whole: bool
    off_centre: float
    is_near: bool
    sharpness: float


def better(one: View | None, other: View) -> View:
    """Return the better view of the same part; `one` when they are alike."""
    return other if one is None or _rank(other) > _rank(one) else one


def _rank(view: View) -> tuple[bool, bool, float]:
    return view.is_whole, view.is_near, view.sharpness if view.is_near else -view.off_centre
