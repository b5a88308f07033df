"""From the frames of a free-running camera to one frame per part."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from edge.frame import Frame
from edge.presence.background import Background
from edge.presence.best_frame import View, better
from edge.presence.displacement import BeltMotion, signature
from edge.presence.extents import Extent, extents
from edge.presence.grid import Axis, Grid, Sampled
from edge.presence.part_length import PartLength
from edge.presence.product_colours import ProductColours
from edge.presence.track import Track
from edge.presence.tracks import Tracks

# What does not travel this share of the view with the belt is no part: a stain, a hand, a flash.
_MIN_TRAVEL = 0.05
# A part this long, as a share of the view, is never wholly in it; its middle is the best there is.
_TOO_LONG = 0.95
# Belt beside a part that is not trusted: its shadow and its soft edge, cells.
_BESIDE = 4
_GHOST_OVERTAKEN = 3
# Of its own length, a part may be off the middle in the frame that sharpness chooses.
_MAX_OFF = 0.25
_NOT_WHOLE = (
    "no frame shows the whole part; expected at least one, so slow the belt down, raise the frame "
    "rate or let the camera see more of the belt"
)


@dataclass(frozen=True, slots=True)
class PresenceRule:
    """What counts as a part; see edge.config.part for the meaning of each.

    Attributes:
        axis: the direction of the picture that the belt runs along.
        contrast: grey levels.
        learn_frames: frames that the empty belt is learned from.
        min_length: share of the view along the belt.
        min_cover: share of the view across the belt.
        length_px: of a part along the belt, frame pixels; None = learned.
        window: share of the view on either side of its middle in which the sharpest frame counts.
    """

    axis: Axis = "horizontal"
    contrast: float = 14.0
    learn_frames: int = 25
    min_length: float = 0.03
    min_cover: float = 0.08
    length_px: float | None = None
    window: float = 0.08


@dataclass(frozen=True, slots=True)
class FoundPart:
    """A part that has crossed the middle: its running number from 1, and its best frame."""

    number: int
    frame: Frame


class PartFinder:
    """Takes every frame in order and gives each part once, when its best frame is certain.

    Holds at most one frame per part in view. Belt, light and length of the parts are learned.

    Args:
        rule: what counts as a part.
        size_wh: of the frames, pixels.
        belt: a picture of the empty belt, (H, W, 3) uint8; None = learned from the first frames.
        product: the product's colours; None = whatever is no belt is a part.
    """

    def __init__(
        self,
        rule: PresenceRule,
        size_wh: tuple[int, int],
        *,
        belt: NDArray[np.uint8] | None = None,
        product: ProductColours | None = None,
    ):
        self._rule = rule
        self._grid = Grid(size_wh, rule.axis)
        length = self._grid.length
        self._min_length = max(2.0, rule.min_length * length)
        given = rule.length_px / self._grid.step_px if rule.length_px is not None else None
        self._part_length = PartLength(given)
        self._tracks = Tracks(length, self._min_length, self._part_length)
        self._motion = BeltMotion()
        self._background = Background(rule.contrast, rule.learn_frames)
        self._product = product
        self._found = 0
        self._last_id: int | None = None
        self._owed: list[FoundPart] = []
        self._is_interrupted = False
        # Frames since the belt was last seen, and how far it is thought to have run meanwhile.
        self._unseen, self._guessed = 0, 0.0
        if belt is not None:
            self._background.store(self._grid.sample(belt))

    @property
    def is_learning(self) -> bool:
        """The empty belt is still being learned: no part is found yet."""
        return self._product is None and not self._background.is_learned

    @property
    def held(self) -> dict[int, Frame]:
        """The frames that are kept, by frame id; of parts that are owed, too."""
        views = [track.view for track in self._tracks.in_view]
        frames = [view.frame for view in views if view is not None]
        frames += [part.frame for part in self._owed]
        return {frame.frame_id: frame for frame in frames}

    @property
    def is_empty(self) -> bool:
        """No part is in view."""
        return not self._tracks.in_view

    @property
    def vanished(self) -> int:
        """Objects that disappeared before they had crossed the middle, since the start."""
        return self._tracks.vanished

    def take(self, frame: Frame) -> list[FoundPart] | None:
        """Look at the next frame.

        Returns:
            The parts whose best frame is certain now. None: the frame shows nothing, for a fault or
            for light that is far too weak or too strong; parts that left meanwhile come later.
        """
        frames = 1 if self._last_id is None else max(1, frame.frame_id - self._last_id)
        self._last_id = frame.frame_id
        self._unseen += frames
        seen = None if frame.pixels_bgr is None else self._look(frame.pixels_bgr)
        if seen is None:
            moved = (self._motion.speed or 0.0) * frames
            self._guessed += moved
            self._owed += self._left(self._tracks.blind(moved))
            return None
        found, self._owed = self._owed, []
        if self.is_learning:
            self._background.learn(seen.sample)
            self._unseen = 0
            return found
        shown = signature(seen.difference, seen.is_object)
        if self._is_interrupted:
            found += self._resume(shown)
        moved = self._motion.step(shown, self._unseen, self._part_length.value)
        found += self._left(self._tracks.update(moved - self._guessed, seen.objects))
        self._unseen, self._guessed = 0, 0.0
        for track in self._tracks.in_view:
            if not track.is_judged and track.missed == 0:
                self._consider(track, frame)
        passed = [track for track in self._tracks.in_view if self._has_passed(track)]
        found += [self._judge(track) for track in passed]
        if self._product is None:
            self._background.update(seen.sample, _beside(seen.objects, self._grid.length))
            self._absorb_ghosts(seen.sample)
        return found

    def interrupt(self) -> None:
        """Note that time has passed without frames: the belt may have run meanwhile."""
        self._is_interrupted = True

    def finish(self) -> list[FoundPart]:
        """Return the parts in view that were wholly seen, at the end of the source."""
        found, self._owed = self._owed, []
        seen = [t for t in self._tracks.end() if t.view is not None and t.view.is_whole]
        return found + [self._judge(track) for track in seen if self._is_moving(track)]

    def _look(self, pixels_bgr: NDArray[np.uint8]) -> _Seen | None:
        sample = self._grid.sample(pixels_bgr)
        if self._product is not None:
            difference, is_object = self._product.difference(sample)
        elif self._background.is_learned:
            compared = self._background.difference(sample)
            if compared is None:
                return None
            difference, is_object = compared
        else:
            return _Seen(sample, sample[0], np.zeros(sample.shape[1:], bool), [])
        profile = np.asarray(is_object.mean(axis=0, dtype=np.float32), np.float32)
        objects = extents(profile, self._rule.min_cover, self._min_length)
        return _Seen(sample, difference, is_object, objects)

    def _resume(self, shown: NDArray[np.float32]) -> list[FoundPart]:
        """Go on where the belt stands as before; else all that was in view has passed unseen."""
        self._is_interrupted = False
        if self._motion.stood(shown):
            return []
        self._motion.forget()
        moving = [track for track in self._tracks.end() if self._is_moving(track)]
        return self._left(moving)

    def _left(self, crossed: list[Track]) -> list[FoundPart]:
        """Judge what has crossed the view and was not judged on its way."""
        owed = [track for track in crossed if not track.is_judged and track.view]
        return [self._judge(track) for track in owed if track.entered_by or self._is_moving(track)]

    def _consider(self, track: Track, frame: Frame) -> None:
        length = self._grid.length
        off_centre = abs(track.middle - length / 2) / length
        margin = 0.05 * track.length
        is_inside = track.left >= -margin and track.right <= length + margin
        is_whole = not track.open_end and (is_inside or track.length > _TOO_LONG * length)
        is_near, sharpness = off_centre <= self._window(track), 0.0
        if is_near and frame.pixels_bgr is not None:
            sharpness = self._grid.sharpness(frame.pixels_bgr, track.left, track.right)
        view = View(frame, is_whole, off_centre, is_near, sharpness)
        track.view = better(track.view, view)

    def _is_moving(self, track: Track) -> bool:
        return abs(track.travelled) >= _MIN_TRAVEL * self._grid.length

    def _has_passed(self, track: Track) -> bool:
        """Tell whether no later frame can show the part better, unless the belt runs back."""
        if track.is_judged or track.view is None or track.open_end or not self._is_moving(track):
            return False
        direction = -track.entered_by or np.sign(track.travelled)
        length = self._grid.length
        return bool((track.middle - length / 2) * direction > self._window(track) * length)

    def _window(self, track: Track) -> float:
        """Return how near to the middle sharpness counts, share of the view.

        A short part must stay the one in the middle.
        """
        return min(self._rule.window, _MAX_OFF * track.length / self._grid.length)

    def _judge(self, track: Track) -> FoundPart:
        view = track.view
        if view is None:
            raise ValueError("presence: expected a part with a frame")
        track.is_judged, track.view = True, None
        self._found += 1
        if track.measured is not None:
            self._part_length.measured(track.measured)
        if view.is_whole:
            return FoundPart(self._found, view.frame)
        fault = view.frame.fault or _NOT_WHOLE
        return FoundPart(self._found, replace(view.frame, pixels_bgr=None, fault=fault))

    def _absorb_ghosts(self, sample: Sampled) -> None:
        """Take for belt what stays where it was first seen while parts pass it."""
        for track in list(self._tracks.in_view):
            is_ghost = not track.entered_by and track.overtaken >= _GHOST_OVERTAKEN
            if is_ghost and not self._is_moving(track):
                self._background.absorb(sample, max(0, int(track.left)), int(track.right) + 1)
                self._tracks.drop(track)


@dataclass(frozen=True, slots=True, eq=False)
class _Seen:
    sample: Sampled
    difference: NDArray[np.float32]
    is_object: NDArray[np.bool_]
    objects: list[Extent]


def _beside(objects: list[Extent], length: int) -> NDArray[np.bool_]:
    """Return which cells along the belt are surely empty."""
    is_empty = np.ones(length, bool)
    for each in objects:
        is_empty[max(0, int(each.start) - _BESIDE) : int(each.end) + _BESIDE] = False
    return is_empty
