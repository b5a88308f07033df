"""Pictures of a folder that show several views of each part."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from edge.data.folder_layout import TEST, TRAIN, is_hidden, is_mask_folder
from edge.errors import DataError
from edge.evaluation.recalibration.judged import Shown, folder_pictures
from edge.picture_file import is_picture


def view_pictures(folder: Path) -> tuple[int, Iterator[Shown]]:
    """As folder_pictures, where every picture has its view.

    Either each view has a data folder of its own below `folder`, named as its camera, with the same
    name of a file (or the same group of its split.csv) for the same part. Or the names of the
    pictures tell the camera, as edge-grab and the raw archive write them, and split.csv the part.

    Raises:
        DataError: the folder is none of both, or a picture is unreadable.
    """
    if not folder.is_dir():
        raise DataError(f"--data {folder}: no such folder")
    own = _folders(folder)
    if own is None:
        total, shown = folder_pictures(folder)
        return total, _named(shown, folder)
    found = [(path.name, *folder_pictures(path)) for path in own]

    def each() -> Iterator[Shown]:
        for name, _, pictures in found:
            for picture in pictures:
                yield picture._replace(camera=name)

    return sum(count for _, count, _ in found), each()


def _folders(folder: Path) -> list[Path] | None:
    """The folders of the views; None where `folder` is a data folder itself."""
    entries = [path for path in sorted(folder.iterdir()) if not is_hidden(path)]
    folders = [path for path in entries if path.is_dir() and not is_mask_folder(path)]
    has_pictures = any(path.is_file() and is_picture(path.name) for path in entries)
    if has_pictures or any(path.name in (TRAIN, TEST) for path in folders):
        return None
    for path in folders:
        if not re.fullmatch(r"[A-Za-z0-9_-]+", path.name):
            raise DataError(
                f"--data {folder}: a folder named {path.name!r} cannot name a view: expected "
                "letters, digits, _ and -, as the camera of the station is named"
            )
    return folders


def _named(shown: Iterator[Shown], folder: Path) -> Iterator[Shown]:
    for picture in shown:
        if picture.camera is None:
            raise DataError(
                f"--data {folder}: expected pictures whose names tell their camera, as edge-grab "
                f"writes them, or a folder for each view; found part {picture.part} without"
            )
        yield picture
