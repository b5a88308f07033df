"""Pictures of a folder, an archive or a camera, judged by a bundle's own engine."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from edge.archive.layout import frames_between
from edge.archive.record import read_frame
from edge.cameras.source import frame_now
from edge.data.image_set import read_image_set, read_pixels
from edge.data.near_duplicates import SeenPictures
from edge.errors import DataError
from edge.frame import GOOD, Frame, Part
from edge.inspection.inspector import Inspector
from edge.result import Inspection

# As edge-grab and the raw archive name their pictures.
GRABBED = re.compile(r"(?P<camera>.+)-(?P<day>\d{8})T\d{12}Z(-\d+)?")
ARCHIVED = re.compile(r"(?P<day>\d{8})T\d{6}\.\d{3}-(?P<camera>[A-Za-z0-9_-]+)-\d{6,}-[a-z]+")


class Shown(NamedTuple):
    """A frame to judge; `day`, `camera` and `label` are None where nothing tells them.

    `camera` is the view of the part that the frame shows. `label` is the name of a defect.
    """

    frame: Frame
    part: str
    is_good: bool
    day: str | None = None
    camera: str | None = None
    label: str | None = None


class Score(NamedTuple):
    """What the line says of one frame; `inspection` is all of it, without a score for none."""

    score: float
    part: str
    is_good: bool
    day: str | None
    camera: str | None
    label: str | None = None
    inspection: Inspection | None = None


@dataclass
class Judged:
    """All that was judged, and what the line would not score."""

    scores: list[Score] = field(default_factory=list)
    not_judged: int = 0
    data_sha256: str = ""

    @property
    def good(self) -> list[Score]:
        """Scores of good parts."""
        return [each for each in self.scores if each.is_good]

    @property
    def defects(self) -> list[Score]:
        """Scores of labelled defects."""
        return [each for each in self.scores if not each.is_good]


def judge(
    shown: Iterable[Shown],
    inspector_of: Callable[[str | None], Inspector],
    advance: Callable[[int], None],
) -> Judged:
    """Judge frames as the line does; `advance(1)` is called for each.

    Args:
        shown: the frames.
        inspector_of: what judges the frames of a camera.
        advance: for a bar.

    Raises:
        EngineError: inferences fail.
        DataError: a picture is unreadable.
    """
    judged, digest = Judged(), hashlib.sha256()
    for each in shown:
        inspection = inspector_of(each.camera).inspect(each.frame).inspection
        if each.frame.pixels_bgr is not None:
            digest.update(each.frame.pixels_bgr.tobytes())
        if inspection.score is None:
            judged.not_judged += 1
        else:
            judged.scores.append(
                Score(
                    inspection.score,
                    each.part,
                    each.is_good,
                    each.day,
                    each.camera,
                    each.label,
                    inspection,
                )
            )
        advance(1)
    judged.data_sha256 = digest.hexdigest()
    return judged


def folder_pictures(folder: Path) -> tuple[int, Iterator[Shown]]:
    """Return how many pictures a data folder has to judge, and yield them.

    Good parts are those of test/good; where there are none, those of train/good or the folder.

    Raises:
        DataError: the folder is no data folder, or a picture is unreadable.
    """
    images = read_image_set(folder)
    good = [sample for sample in images.test if sample.is_good] or list(images.train)
    samples = [*good, *(sample for sample in images.test if not sample.is_good)]

    def shown() -> Iterator[Shown]:
        for sample in samples:
            day, camera = place_of(sample.path.stem)
            frame = frame_now("calibration", 0, read_pixels(sample.path))
            yield Shown(frame, sample.group, sample.is_good, day, camera, sample.label)

    return len(samples), shown()


def archive_pictures(
    folder: Path, since: datetime | None, until: datetime | None, *, all_good: bool
) -> tuple[int, Iterator[Shown]]:
    """As folder_pictures, of a raw archive.

    The verdict is no truth: scores of parts that passed say nothing of those that would not. Frames
    whose truth is not known count as good with `all_good`, whatever the verdict, else not at all.

    Raises:
        DataError: no such folder, or no frame has a truth.
    """
    if not folder.is_dir():
        raise DataError(f"--archive {folder}: no such folder; give the archive.path of a station")
    found = []
    for path in frames_between(folder, since=since, until=until):
        try:
            record = read_frame(path)
        except ValueError as error:
            raise DataError(f"{path}: {error}; take it out of the archive") from None
        label = record.part.label if record.part else None
        if label is not None or all_good:
            found.append((record, label in (None, GOOD)))
    if not any(is_good for _, is_good in found):
        raise DataError(
            f"--archive {folder}: expected good parts, found none whose truth is known; if all "
            "parts of that time were good, say so with --all-good"
        )

    def shown() -> Iterator[Shown]:
        for record, is_good in found:
            try:
                pixels = record.pixels_bgr()
            except ValueError as error:
                raise DataError(f"{record.path}: {error}; take it out of the archive") from None
            day, camera = place_of(record.path.name)
            # Views of one part have one result.
            part = record.part.id if record.part else record.result_id or record.path.name
            label = record.part.label if record.part else None
            yield Shown(frame_now("calibration", 0, pixels), part, is_good, day, camera, label)

    return len(found), shown()


def camera_pictures(frames: Iterable[Frame], wanted: int) -> Iterator[Shown]:
    """Yield `wanted` good parts that come before a camera, one frame of each.

    Frames like one before show the same part again, and are passed over.
    """
    seen, count = SeenPictures(), 0
    for frame in frames:
        if frame.pixels_bgr is None or frame.is_repeat or _is_defective(frame.part):
            continue
        if seen.has_alike(frame.pixels_bgr):
            continue
        seen.add(frame.pixels_bgr)
        day = frame.captured_at.strftime("%Y%m%d")
        yield Shown(frame, frame.part.id if frame.part else f"part {count}", True, day)
        count += 1
        if count == wanted:
            return


def _is_defective(part: Part | None) -> bool:
    return part is not None and part.label not in (None, GOOD)


def place_of(stem: str) -> tuple[str | None, str | None]:
    """Return day and camera that the name of a picture tells."""
    for pattern in (ARCHIVED, GRABBED):
        if match := pattern.fullmatch(stem):
            return match.group("day"), match.group("camera")
    return None, None
