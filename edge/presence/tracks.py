"""Follows parts from frame to frame: one belt moves all of them, and their order never changes.

A part that left by one end of the view and comes back by it is the same part, because nothing
overtakes on a belt. So a belt that stops or runs backwards gives no part a second result.
"""

from __future__ import annotations

from collections.abc import Sequence

from edge.presence.departed import Departed
from edge.presence.extents import Extent
from edge.presence.part_length import PartLength
from edge.presence.track import End, Track

# An object that comes so near to the end of the view may go on outside, cells.
_EDGE = 1.5
# Shares of a part's length: what sticks out further is another part.
_STICKS_OUT, _SPLIT = 0.35, 0.6
_OVERLAP = 0.25
_MAX_MISSED = 5


class Tracks:
    """The parts in view, in order along the belt, and those that left it.

    Args:
        length: cells of the view along the belt.
        min_length: cells of the shortest part.
        part_length: how long parts are; learns from those that lie alone.

    Attributes:
        in_view: the parts in view.
        vanished: objects that disappeared before they had crossed the middle.
    """

    def __init__(self, length: int, min_length: float, part_length: PartLength):
        self._length = length
        self._min_length = min_length
        self._part_length = part_length
        self.in_view: list[Track] = []
        self.vanished = 0
        self._departed = Departed(length)
        self._move = 0.0

    def update(self, move: float, seen: Sequence[Extent]) -> list[Track]:
        """Move the belt and explain what is seen on it.

        Returns:
            Parts that have left the view, or vanished, on their way across it.
        """
        self._advance(move)
        members = self._members(self._bridged(seen))
        for track in self.in_view:
            track.missed += 1
        for extent, tracks in members:
            self._explain(extent, tracks)
        self.in_view.sort(key=lambda track: track.left)
        for track in self.in_view:
            if track.missed == 0:
                track.notice()
        return self._leave()

    def blind(self, move: float) -> list[Track]:
        """Move the belt without having seen it; returns what `update` does."""
        self._advance(move)
        return self._leave()

    def end(self) -> list[Track]:
        """Forget everything; returns what was in view."""
        ended, self.in_view = self.in_view, []
        self._departed.clear()
        return ended

    def drop(self, track: Track) -> None:
        """Forget one track."""
        self.in_view.remove(track)

    def _advance(self, move: float) -> None:
        self._move = move
        self._departed.advance(move)
        for track in self.in_view:
            track.advance(move)

    def _bridged(self, seen: Sequence[Extent]) -> list[Extent]:
        """Join pieces that lie within one known part."""
        joined: list[Extent] = []
        for extent in seen:
            before = joined[-1] if joined else None
            if before is not None and any(
                before.overlap(track.left, track.right) > 0.6 * before.length
                and extent.overlap(track.left, track.right) > 0.6 * extent.length
                for track in self.in_view
                if not track.open_end
            ):
                joined[-1] = Extent(before.start, extent.end)
            else:
                joined.append(extent)
        return joined

    def _members(self, seen: list[Extent]) -> list[tuple[Extent, list[Track]]]:
        """Give each track to the object it overlaps most."""
        members: list[tuple[Extent, list[Track]]] = [(extent, []) for extent in seen]
        for track in self.in_view:
            shares = [extent.overlap(track.left, track.right) for extent in seen]
            if not shares:
                continue
            most = max(range(len(shares)), key=shares.__getitem__)
            smaller = min(track.visible(self._length), seen[most].length)
            if shares[most] > _OVERLAP * smaller:
                members[most][1].append(track)
        return members

    def _explain(self, seen: Extent, tracks: list[Track]) -> None:
        """Fit the tracks to one object, and make tracks for what they do not explain."""
        length = self._part_length.value
        is_left, is_right = seen.start > _EDGE, seen.end < self._length - _EDGE
        if not tracks:
            self._begin(seen, is_left=is_left, is_right=is_right)
            return
        if length is not None:
            for track in tracks:
                _close(track, length)
            if is_left and is_right:
                self._merge(tracks, max(1, round(seen.length / length)))
        for track in tracks:
            track.missed = 0
        first, last = tracks[0], tracks[-1]
        before = self._fit_left(seen, first, is_real=is_left)
        after = self._fit_right(seen, last, is_real=is_right)
        pieces = [*before, *tracks, *after]
        if is_left and is_right and len(pieces) == 1:
            first.measured = seen.length
        elif length is not None:
            own = first.measured if len(pieces) == 1 else None
            _share_out(seen, pieces, own or length, is_left=is_left, is_right=is_right)

    def _fit_left(self, seen: Extent, first: Track, *, is_real: bool) -> list[Track]:
        length = self._part_length.value
        beside = first.left - seen.start
        if is_real:
            if length is not None and beside > _SPLIT * length:
                return self._fill(seen.start, first.left, max(1, round(beside / length)), -1)
            first.left = seen.start
            first.open_end = 1 if first.open_end == 1 else 0
            return []
        if first.open_end == -1:
            first.left = min(first.left, 0.0)
            return []
        if length is not None and beside > _STICKS_OUT * length:
            return self._chain(first.left, -1, beside, length)
        if length is None and beside > self._min_length + 2:
            return [self._add(0.0, first.left, -1, -1)]
        return []

    def _fit_right(self, seen: Extent, last: Track, *, is_real: bool) -> list[Track]:
        length = self._part_length.value
        beside = seen.end - last.right
        if is_real:
            if length is not None and beside > _SPLIT * length:
                return self._fill(last.right, seen.end, max(1, round(beside / length)), 1)
            last.right = seen.end
            last.open_end = -1 if last.open_end == -1 else 0
            return []
        if last.open_end == 1:
            last.right = max(last.right, float(self._length))
            return []
        if length is not None and beside > _STICKS_OUT * length:
            return self._chain(last.right, 1, beside, length)
        if length is None and beside > self._min_length + 2:
            return [self._add(last.right, float(self._length), 1, 1)]
        return []

    def _begin(self, seen: Extent, *, is_left: bool, is_right: bool) -> None:
        """Make tracks for an object that is new."""
        length = self._part_length.value
        if is_left and is_right:
            count = 1 if length is None else max(1, round(seen.length / length))
            self._fill(seen.start, seen.end, count, self._came_by(seen))
            return
        comes_by: End = -1
        if is_left or (not is_right and self._move < 0):
            comes_by = 1
        if length is not None:
            start = seen.end if comes_by == -1 else seen.start
            self._chain(start, comes_by, seen.length, length)
        elif comes_by == -1:
            self._add(0.0, seen.end, -1, -1)
        else:
            self._add(seen.start, float(self._length), 1, 1)

    def _came_by(self, seen: Extent) -> End:
        """Return the end by which an object got inside between two frames, 0 if by none."""
        reach = 1.5 * abs(self._move) + self._min_length
        if self._move > 0 and seen.start <= reach:
            return -1
        if self._move < 0 and seen.end >= self._length - reach:
            return 1
        return 0

    def _fill(self, start: float, end: float, count: int, came_by: End) -> list[Track]:
        """Make `count` tracks of equal length between two places, in order along the belt."""
        piece = (end - start) / count
        places = [(start + i * piece, start + (i + 1) * piece) for i in range(count)]
        # Those further in came first.
        if came_by == -1:
            places.reverse()
        made = [self._add(*place, came_by) for place in places]
        return made[::-1] if came_by == -1 else made

    def _chain(self, inner: float, outward: End, visible: float, length: float) -> list[Track]:
        """Make tracks from `inner` towards an end of the view, in order along the belt."""
        count = max(1, int(-(-(visible / length - _STICKS_OUT) // 1)))
        made = []
        for i in range(count):
            near, far = inner + outward * i * length, inner + outward * (i + 1) * length
            made.append(self._add(min(near, far), max(near, far), outward))
        return made[::-1] if outward == -1 else made

    def _add(self, left: float, right: float, came_by: End, open_end: End = 0) -> Track:
        """Make a track, or take up again the part that left by this end last."""
        track = self._departed.take(came_by) or Track(left, right, came_by)
        track.left, track.right, track.missed, track.open_end = left, right, 0, open_end
        self.in_view.append(track)
        return track

    def _merge(self, tracks: list[Track], count: int) -> None:
        """Take back tracks that were one too many: the youngest that has no result."""
        while len(tracks) > count:
            extra = min(tracks, key=lambda track: (track.is_judged, abs(track.travelled)))
            tracks.remove(extra)
            self.in_view.remove(extra)

    def _leave(self) -> list[Track]:
        """Take out what is no longer in view; return what has crossed it."""
        crossed = []
        for track in list(self.in_view):
            way_out = self._way_out(track)
            if way_out:
                self.in_view.remove(track)
                self._departed.put(track, way_out)
                for other in self.in_view:
                    other.overtaken += 1
                if way_out != track.entered_by:
                    crossed.append(track)
                else:
                    track.view = None
            elif track.missed > _MAX_MISSED:
                self.in_view.remove(track)
                if track.entered_by and (track.middle - self._length / 2) * track.entered_by < 0:
                    crossed.append(track)
                elif not track.is_judged:
                    self.vanished += 1
        return crossed

    def _way_out(self, track: Track) -> End:
        if way_out := track.way_out(self._length):
            return way_out
        # The last bit is too short to be seen.
        if track.missed and track.visible(self._length) <= self._min_length + 2:
            return 1 if track.middle > self._length / 2 else -1
        return 0


def _close(track: Track, length: float) -> None:
    """Infer the end of a part that has not been in view from the length of parts."""
    if track.open_end == -1:
        track.left = track.right - length
    elif track.open_end == 1:
        track.right = track.left + length
    track.open_end = 0


def _share_out(
    seen: Extent, pieces: list[Track], length: float, *, is_left: bool, is_right: bool
) -> None:
    """Place the borders between touching parts by the ends of the row that are in view."""
    if is_left and is_right:
        start, piece = seen.start, seen.length / len(pieces)
    elif is_left:
        start, piece = seen.start, length
    elif is_right:
        start, piece = seen.end - len(pieces) * length, length
    else:
        return
    if abs(piece - length) > _STICKS_OUT * length:
        return
    for i, track in enumerate(pieces):
        track.left, track.right = start + i * piece, start + (i + 1) * piece
