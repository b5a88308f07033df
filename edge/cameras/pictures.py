"""`file://` for pictures: a folder, a glob or a single file, played as if a camera took them."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote

from edge.cameras.address import Address
from edge.cameras.listing import is_glob, list_pictures, shown_name
from edge.cameras.pace import Pace, Playback
from edge.cameras.source import frame_now
from edge.config.camera import CameraSettings
from edge.errors import CameraUnavailable
from edge.frame import Frame, Part
from edge.picture_file import SUFFIXES, read_picture


class PictureSource:
    """Pictures in natural order of their relative paths.

    The list is made once, at open. A file that is broken, or gone by the time it is read, is a
    frame with a fault. The part's id is the relative path (see `shown_name`); its label is the
    folder that holds it, as in the MVTec layout (`test/good/x.png` -> good), unless `labels=none`.
    """

    def __init__(self, camera: str, place: Path, playback: Playback, *, has_labels: bool = True):
        self._camera = camera
        self._place = place
        self._playback = playback
        self._has_labels = has_labels
        self._pace = Pace()
        self._root = place
        self._paths: list[str] = []
        self._position = 0
        self._frame_id = 0
        self._taken_s: float | None = None

    @classmethod
    def from_address(cls, address: Address, settings: CameraSettings) -> PictureSource:
        """Read the keys `fps`, `loop`, `timing` and `labels`."""
        query = address.query
        query.only("fps", "loop", "timing", "labels")
        if not address.place:
            raise query.problem("expected a path, such as file:///data/parts")
        labels = query.choice("labels", ("folder", "none"))
        place = Path(unquote(address.place, errors="surrogateescape")).expanduser()
        playback = Playback.from_query(query)
        return cls(settings.name, place, playback, has_labels=labels != "none")

    def open(self) -> None:
        """List the pictures; a reopened source goes on where it was."""
        self._pace.restart()
        try:
            self._root, self._paths = list_pictures(self._place)
        except OSError as error:
            raise self._unavailable(f"{error.strerror} ({error.filename})") from error
        if not self._paths:
            raise self._unavailable(self._what_there_is())

    def read(self) -> Frame | None:
        """Return the next picture as a Frame, or None at the end."""
        if self._position >= len(self._paths):
            if not self._playback.loop:
                return None
            self._position, self._taken_s = 0, None
        path = self._paths[self._position]
        if not self._pace.wait(self._playback.period_s(self._seconds_since_previous(path))):
            raise CameraUnavailable(f"{self._camera}: {shown_name(str(self._place))}: closed")
        self._position += 1
        self._frame_id += 1
        return self._frame(path, self._frame_id - 1)

    def close(self) -> None:
        """End a wait for the next due time."""
        self._pace.stop()

    def _frame(self, path: str, frame_id: int) -> Frame:
        name = shown_name(path)
        folder = Path(name).parent.name
        part = Part(name, "file", folder if folder and self._has_labels else None)
        try:
            pixels = read_picture(self._root / path)
        except ValueError as error:
            return frame_now(self._camera, frame_id, None, fault=f"{name}: {error}", part=part)
        return frame_now(self._camera, frame_id, pixels, part=part)

    def _seconds_since_previous(self, path: str) -> float:
        """Difference of the files' modification times, 0 where it cannot be told."""
        if not self._playback.original:
            return 0.0
        previous = self._taken_s
        try:
            self._taken_s = (self._root / path).stat().st_mtime
        except OSError:
            return 0.0
        return self._taken_s - previous if previous is not None else 0.0

    def _what_there_is(self) -> str:
        if self._place.is_file():
            return "a file of another kind"
        is_searched = self._place.is_dir() or (is_glob(self._place) and self._root.is_dir())
        return "none" if is_searched else "no such file or folder"

    def _unavailable(self, found: str) -> CameraUnavailable:
        kinds = " ".join(sorted(suffix[1:] for suffix in SUFFIXES))
        return CameraUnavailable(
            f"{self._camera}: {shown_name(str(self._place))}: expected pictures ({kinds}), found "
            f"{found}; give the path of a picture, a folder, a glob or a video"
        )
