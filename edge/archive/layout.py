"""Where the frames of an archive lie, and how they are called.

ARCHIVE/2026-05-01/fail/20260501T060000.123-top-000042-fail.png is a frame and the same name with
.json its record; ARCHIVE/20260501T060000.123-top-000042-fail.webp is the annotated view. Days and
moments are UTC.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date, datetime, timezone
from pathlib import Path

from edge.result import VERDICTS

PICTURE, RECORD = ".png", ".json"
# Files of one frame, in the order in which they are deleted: without a record a frame is none.
SUFFIXES = (RECORD, PICTURE)
MOMENT = "%Y%m%dT%H%M%S.%f"
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_STEM = re.compile(r"([0-9]{8}T[0-9]{6}\.[0-9]{3})-[A-Za-z0-9_-]+-[0-9]{6,}-[a-z]+")


def frame_stem(captured_at: datetime, camera: str, frame_id: int, verdict: str) -> str:
    """Name a frame: names in their order are frames in the order of their capture."""
    moment = captured_at.astimezone(timezone.utc).strftime(MOMENT)[:-3]
    return f"{moment}-{camera}-{frame_id:06d}-{verdict}"


def frame_folder(root: Path, captured_at: datetime, verdict: str) -> Path:
    """Return the folder of a frame."""
    return root / captured_at.astimezone(timezone.utc).strftime("%Y-%m-%d") / verdict


def moment_of(stem: str) -> datetime | None:
    """Return the moment that a name says, to the millisecond; None for a name that is none."""
    match = _STEM.fullmatch(stem)
    try:
        return datetime.strptime(f"{match.group(1)}+0000", f"{MOMENT}%z") if match else None
    except ValueError:
        return None


def list_days(root: Path) -> list[Path]:
    """List the folders of days, the oldest first; everything else in the archive is ignored.

    Raises:
        OSError: the archive cannot be read.
    """
    return sorted(path for path in root.iterdir() if _DAY.fullmatch(path.name) and path.is_dir())


def list_frames(day: Path, verdicts: tuple[str, ...] = VERDICTS) -> list[Path]:
    """List the frames of a day in the order of their capture, as paths without a suffix.

    A frame of which only the picture or only the record is left is listed, too.
    """
    found = {
        path.parent / path.stem
        for verdict in verdicts
        if (day / verdict).is_dir()
        for path in (day / verdict).iterdir()
        if path.suffix in SUFFIXES and moment_of(path.stem) is not None
    }
    return sorted(found, key=lambda frame: (frame.name, frame.parent.name))


def with_suffix(frame: Path, suffix: str) -> Path:
    """Return the path of one of a frame's files; the name itself has a dot."""
    return frame.with_name(frame.name + suffix)


def frames_between(
    root: Path,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    verdicts: tuple[str, ...] = VERDICTS,
) -> Iterator[Path]:
    """Yield the frames from `since` on and before `until`, in the order of their capture.

    One day is listed at a time: an archive may hold more frames than memory has room for.

    Raises:
        OSError: the archive cannot be read.
    """
    for day in list_days(root):
        if since is not None and day.name < since.date().isoformat():
            continue
        if until is not None and day.name > until.date().isoformat():
            return
        for frame in list_frames(day, verdicts):
            moment = moment_of(frame.name)
            is_early = since is not None and moment is not None and moment < since
            is_late = until is not None and moment is not None and moment >= until
            if not (is_early or is_late):
                yield frame


def parse_moment(text: str) -> datetime:
    """Read a day such as 2026-05-01 or a moment such as 2026-05-01T06:00; UTC without a zone.

    Raises:
        ValueError: in one line.
    """
    try:
        if _DAY.fullmatch(text):
            day = date.fromisoformat(text)
            return datetime(day.year, day.month, day.day, tzinfo=timezone.utc)
        # Python 3.10 does not know the Z.
        moment = datetime.fromisoformat(re.sub("[zZ]$", "+00:00", text))
        if moment.tzinfo is None:
            return moment.replace(tzinfo=timezone.utc)
        return moment.astimezone(timezone.utc)
    except (ValueError, OverflowError):
        raise ValueError(
            f"expected a day such as 2026-05-01 or a moment such as 2026-05-01T06:00, got {text}"
        ) from None


def parse_verdicts(text: str) -> tuple[str, ...]:
    """Read verdicts with commas between them.

    Raises:
        ValueError: in one line.
    """
    found = tuple(text.split(","))
    for verdict in found:
        if verdict not in VERDICTS:
            raise ValueError(f"expected some of {', '.join(VERDICTS)}, got {verdict}")
    return found
