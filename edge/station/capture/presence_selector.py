"""Chooses one frame per part that crosses the view; see edge.presence."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.config.part import PartSettings
from edge.drop_counts import DropCounts
from edge.errors import ConfigError
from edge.frame import Frame, Part
from edge.picture_file import read_picture
from edge.presence.finder import FoundPart, PartFinder, PresenceRule
from edge.presence.product_colours import ProductColours
from edge.station.capture.selection import EveryFrame, FrameSelector

# So many frames in a row that show nothing are no accident: each is passed on from then on, so
# that a blind camera is told by results and alerts and not by silence.
BLIND_AFTER = 5
# A live camera that was silent for so long may have missed parts.
_GAP_NS = 10**9
_VANISHED_IN_A_ROW = 5
_log = logging.getLogger(__name__)


class PresenceSelector:
    """Gives every part one frame, with the id presence-1, presence-2 and so on.

    Counts the frames that no part got, as (presence, learning), (presence, no_part), (presence,
    not_best) and (presence, unreadable).

    Raises:
        ConfigError: a picture that the settings name cannot be used.
    """

    def __init__(self, settings: PartSettings, drops: DropCounts, *, is_live: bool):
        self._drops = drops
        self._is_live = is_live
        self._rule = PresenceRule(
            axis=settings.axis,
            contrast=settings.contrast,
            learn_frames=settings.learn_frames,
            min_length=settings.min_length,
            min_cover=settings.min_cover,
            length_px=settings.length_px,
            window=settings.window,
        )
        self._belt = _picture(settings.belt, "part.belt") if settings.belt else None
        self._product = _product(settings)
        self._finder: PartFinder | None = None
        self._ready: deque[Frame] = deque()
        self._blind = 0
        self._last_ns: int | None = None
        self._vanished_before = 0

    def take(self, frame: Frame) -> Frame | None:
        """Look at the next frame; returns the best frame of a part that has passed the middle."""
        finder = self._finder_for(frame)
        if finder is None:
            return self._unreadable(frame)
        # A simulated belt runs by frames and not by the clock.
        before_ns = self._last_ns if self._is_live and not frame.is_simulated else None
        self._last_ns = frame.captured_ns
        if before_ns is not None and frame.captured_ns - before_ns > _GAP_NS:
            finder.interrupt()
        was_learning, held = finder.is_learning, finder.held
        found = finder.take(frame)
        if found is None:
            return self._unreadable(frame)
        self._blind = 0
        self._ready.extend(_named(part) for part in found)
        self._watch_the_axis(finder, is_found=bool(found))
        reason = "no_part" if finder.is_empty and not found else "not_best"
        kept = finder.held.keys() | {part.frame.frame_id for part in found}
        passed_over = (held.keys() | {frame.frame_id}) - kept
        if passed_over:
            self._drops.add("presence", "learning" if was_learning else reason, len(passed_over))
        return self._ready.popleft() if self._ready else None

    @property
    def held_ns(self) -> Collection[int]:
        """Capture times of the best frames so far of parts in view, and of parts found."""
        held = () if self._finder is None else self._finder.held.values()
        return {frame.captured_ns for frame in (*held, *self._ready)}

    def finish(self) -> Frame | None:
        """Return the parts that were wholly in view at the end, one by one; None after the last."""
        if self._finder is not None:
            self._ready.extend(_named(part) for part in self._finder.finish())
        return self._ready.popleft() if self._ready else None

    def _watch_the_axis(self, finder: PartFinder, *, is_found: bool) -> None:
        """Say so when things come and go and none ever crosses the view along the axis."""
        if is_found:
            self._vanished_before = finder.vanished
        elif finder.vanished - self._vanished_before >= _VANISHED_IN_A_ROW:
            self._vanished_before = finder.vanished
            _log.warning(
                "objects come and go and no part crosses the view n=%d; check part.axis, the "
                "contrast, and that the belt is slow enough for several frames per part",
                _VANISHED_IN_A_ROW,
            )

    def _finder_for(self, frame: Frame) -> PartFinder | None:
        """Return the finder; it is made for the size of the first frame."""
        if self._finder is None and frame.pixels_bgr is not None:
            if self._belt is not None and self._belt.shape != frame.pixels_bgr.shape:
                high, wide = self._belt.shape[:2]
                width, height = frame.size_wh
                raise ConfigError(
                    f"part.belt: expected a picture of {width}x{height} pixels as the camera's, "
                    f"found {wide}x{high}; take it with this camera"
                )
            self._finder = PartFinder(
                self._rule, frame.size_wh, belt=self._belt, product=self._product
            )
        return self._finder

    def _unreadable(self, frame: Frame) -> Frame | None:
        self._blind += 1
        if self._ready:
            self._drops.add("presence", "unreadable")
            return self._ready.popleft()
        if self._blind >= BLIND_AFTER:
            return frame
        self._drops.add("presence", "unreadable")
        return None


def make_selector(settings: PartSettings, drops: DropCounts, *, is_live: bool) -> FrameSelector:
    """Return what `part` in the station file asks for.

    Raises:
        ConfigError: a picture that it names cannot be used.
    """
    if settings.by == "frame":
        return EveryFrame()
    return PresenceSelector(settings, drops, is_live=is_live)


def _named(part: FoundPart) -> Frame:
    label = part.frame.part.label if part.frame.part is not None else None
    return replace(part.frame, part=Part(f"presence-{part.number}", "presence", label))


def _picture(path: Path, key: str) -> NDArray[np.uint8]:
    try:
        return read_picture(path)
    except ValueError as error:
        raise ConfigError(f"{key}: {path}: {error}; give a picture of this camera") from None


def _product(settings: PartSettings) -> ProductColours | None:
    if settings.product is None or settings.product_mask is None:
        return None
    pixels = _picture(settings.product, "part.product")
    mask = np.asarray(_picture(settings.product_mask, "part.product_mask").max(axis=2) > 0)
    try:
        return ProductColours(pixels, mask)
    except ValueError as error:
        raise ConfigError(f"part.product_mask: {settings.product_mask}: {error}") from None
