"""Training pictures from a camera: one file per part, lossless, never over another file."""

from __future__ import annotations

import shutil
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Literal

from edge.atomic_file import write_bytes
from edge.data.folder_layout import TRAIN
from edge.data.near_duplicates import SeenPictures
from edge.errors import WriteError
from edge.frame import GOOD, Frame
from edge.picture_file import encode_picture, is_picture, read_picture

# What a disk keeps free for everything else on it.
SPARE_BYTES = 256 * 2**20

Outcome = Literal["kept", "alike", "unusable", "defect"]


class GoodPictures:
    """The pictures of good parts in `train/good` of a data folder, and those that come to them.

    Attributes:
        folder: where the pictures lie.
        counts: outcomes of the frames that were offered.
        last_size_wh: width and height of the picture kept last, None before the first.
    """

    def __init__(self, data: Path):
        """Make the folder and look at what is in it.

        Raises:
            OSError: the folder cannot be made or read.
        """
        self.folder = data / TRAIN / GOOD
        self.folder.mkdir(parents=True, exist_ok=True)
        self.counts: Counter[Outcome] = Counter()
        self._seen = SeenPictures()
        self._known = 0
        for path in sorted(self.folder.iterdir()):
            if is_picture(path.name):
                self._remember(path)

    def __len__(self) -> int:
        return self._known + self.counts["kept"]

    def check_space(self, pictures: int, frame: Frame) -> None:
        """Check that so many pictures like `frame` fit on the disk; frames with a fault tell none.

        Raises:
            WriteError: they do not.
        """
        if frame.pixels_bgr is not None:
            _check_space(self.folder, pictures * len(encode_picture(frame.pixels_bgr)))

    def offer(self, frame: Frame) -> Outcome:
        """Keep a frame, or say why not: it has a fault, a known defect, or was there before.

        Raises:
            WriteError: the disk is full, or the file cannot be written.
        """
        outcome = self._outcome(frame)
        if outcome == "kept" and frame.pixels_bgr is not None:
            write_picture(self.folder, frame)
            self._seen.add(frame.pixels_bgr)
        self.counts[outcome] += 1
        return outcome

    def _outcome(self, frame: Frame) -> Outcome:
        if frame.pixels_bgr is None:
            return "unusable"
        if frame.is_simulated and frame.part is not None and frame.part.label not in (None, GOOD):
            return "defect"
        if frame.is_repeat or self._seen.has_alike(frame.pixels_bgr):
            return "alike"
        return "kept"

    def _remember(self, path: Path) -> None:
        self._known += 1
        try:
            self._seen.add(read_picture(path))
        except ValueError:
            return  # training will say so; nothing can be like a picture that nobody can see


def write_picture(folder: Path, frame: Frame) -> Path:
    """Write a frame without loss as a PNG of its own name, and return its path.

    Raises:
        WriteError: there is no room, or the file cannot be written.
        ValueError: the frame has a fault instead of pixels.
    """
    if frame.pixels_bgr is None:
        raise ValueError("expected a frame with pixels")
    data = encode_picture(frame.pixels_bgr)
    _check_space(folder, len(data))
    path = free_path(folder, frame.camera, frame.captured_at)
    write_bytes(path, data)
    return path


def free_path(folder: Path, camera: str, taken_at: datetime) -> Path:
    """Return a path that no file has, by camera and time: names in order of time, in UTC."""
    stem = f"{camera}-{taken_at:%Y%m%dT%H%M%S%f}Z"
    path, number = folder / f"{stem}.png", 1
    while path.exists() or path.is_symlink():
        number += 1
        path = folder / f"{stem}-{number}.png"
    return path


def _check_space(folder: Path, need_bytes: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < need_bytes + SPARE_BYTES:
        raise WriteError(
            folder,
            f"expected {(need_bytes + SPARE_BYTES) / 2**20:.0f} MiB of free space, found "
            f"{free / 2**20:.0f} MiB",
        )
