"""`replay://` for a raw archive: its frames once more, with what was said of them at the time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from urllib.parse import unquote

from edge.archive.layout import frames_between, moment_of, parse_moment, parse_verdicts
from edge.archive.record import read_frame
from edge.cameras.address import Address
from edge.cameras.listing import shown_name
from edge.cameras.pace import Pace
from edge.cameras.query import Query
from edge.cameras.source import frame_now
from edge.config.camera import CameraSettings
from edge.errors import CameraUnavailable
from edge.frame import EarlierResult, Frame
from edge.result import VERDICTS

MAX_GAP_S = 10.0


@dataclass(frozen=True, slots=True)
class Selection:
    """Which frames of an archive are replayed, and how fast.

    Attributes:
        since, until: from this moment on, and before that one; None without a limit.
        verdicts: what was said of them.
        is_timed: with the gaps between them as they were, up to `max_gap_s`; else at once.
    """

    since: datetime | None = None
    until: datetime | None = None
    verdicts: tuple[str, ...] = VERDICTS
    is_timed: bool = False
    max_gap_s: float = MAX_GAP_S

    @classmethod
    def from_query(cls, query: Query) -> Selection:
        """Read `timing`, `max_gap_s`, `since`, `until` and `verdict`."""
        query.only("timing", "max_gap_s", "since", "until", "verdict")
        gap_s = query.number("max_gap_s", limit=86400)
        is_timed = query.choice("timing", ("original", "fast")) == "original"
        if gap_s is not None and not is_timed:
            raise query.problem("max_gap_s: expected together with timing=original")
        since, until = (_moment(query, key) for key in ("since", "until"))
        if since and until and since >= until:
            raise query.problem("since: expected a moment before until")
        verdicts = VERDICTS
        if (text := query.text("verdict")) is not None:
            try:
                verdicts = parse_verdicts(text)
            except ValueError as error:
                raise query.problem(f"verdict: {error}") from None
        return cls(since, until, verdicts, is_timed, MAX_GAP_S if gap_s is None else gap_s)


class ReplaySource:
    """The frames of a raw archive in the order of their capture.

    Part and truth are those of the records. A frame whose record or picture is missing or damaged
    is a frame with a fault. `captured_at` is the moment of the replay; `earlier` knows the first.
    """

    def __init__(self, camera: str, archive: Path, selection: Selection):
        self._camera = camera
        self._archive = archive
        self._selection = selection
        self._pace = Pace()
        self._frames: Iterator[Path] | None = None
        self._next: Path | None = None
        self._taken_at: datetime | None = None
        self._frame_id = 0

    @classmethod
    def from_address(cls, address: Address, settings: CameraSettings) -> ReplaySource:
        """Read the path and the keys of `Selection`."""
        selection = Selection.from_query(address.query)
        if not address.place:
            raise address.query.problem(
                "expected the path of an archive, such as replay:///archive"
            )
        archive = Path(unquote(address.place, errors="surrogateescape")).expanduser()
        return cls(settings.name, archive, selection)

    def open(self) -> None:
        """Find the first frame; a reopened source goes on where it was."""
        self._pace.restart()
        if self._frames is not None:
            return
        chosen = self._selection
        try:
            self._frames = frames_between(
                self._archive, since=chosen.since, until=chosen.until, verdicts=chosen.verdicts
            )
            self._next = next(self._frames, None)
            if self._next is None:
                is_empty = next(frames_between(self._archive), None) is None
                found = "none" if is_empty else "others only; check since, until and verdict"
        except OSError as error:
            self._frames = None
            raise self._unavailable(f"{error.strerror} ({error.filename})") from error
        if self._next is None:
            self._frames = None
            raise self._unavailable(found)

    def read(self) -> Frame | None:
        """Return the next frame, or None at the end."""
        path = self._next
        if path is None or self._frames is None:
            return None
        if not self._pace.wait(self._gap_s(path)):
            raise CameraUnavailable(f"{self._camera}: {shown_name(str(self._archive))}: closed")
        try:
            self._next = next(self._frames, None)
        except OSError as error:
            raise self._unavailable(f"{error.strerror} ({error.filename})") from error
        self._frame_id += 1
        return self._frame(path, self._frame_id - 1)

    def close(self) -> None:
        """End a wait for the next due time."""
        self._pace.stop()

    def _frame(self, path: Path, frame_id: int) -> Frame:
        earlier = EarlierResult(path.name, path.parent.name, moment_of(path.name))
        part, is_simulated = None, False
        try:
            found = read_frame(path)
            part, is_simulated = found.part, found.is_simulated
            earlier = EarlierResult(
                path.name, found.verdict.value, found.captured_at, found.score, found.recipe
            )
            pixels, fault = found.pixels_bgr(), None
        except ValueError as error:
            pixels, fault = None, f"{path.name}: {error}"
        return frame_now(
            self._camera, frame_id, pixels,
            fault=fault, part=part, is_simulated=is_simulated, earlier=earlier,
        )  # fmt: skip

    def _gap_s(self, path: Path) -> float:
        """Return the time since the frame before this one, as it was, within the limit."""
        if not self._selection.is_timed:
            return 0.0
        before, self._taken_at = self._taken_at, moment_of(path.name)
        if before is None or self._taken_at is None:
            return 0.0
        gap_s = (self._taken_at - before).total_seconds()
        return min(max(0.0, gap_s), self._selection.max_gap_s)

    def _unavailable(self, found: str) -> CameraUnavailable:
        return CameraUnavailable(
            f"{self._camera}: {shown_name(str(self._archive))}: expected a raw archive with frames "
            f"in folders such as 2026-05-01/fail, found {found}; give the archive.path of a station"
        )


def _moment(query: Query, key: str) -> datetime | None:
    text = query.text(key)
    try:
        return parse_moment(text) if text is not None else None
    except ValueError as error:
        raise query.problem(f"{key}: {error}") from None
