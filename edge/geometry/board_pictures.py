"""Picture files of boards and parts, as a place shows them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.errors import ConfigError, DataError
from edge.geometry.checkerboard import Board, find_board
from edge.geometry.frame_unfit import size_of
from edge.geometry.place import Place, PlaceSections
from edge.picture_file import is_picture, read_picture

Image = NDArray[np.uint8]


def picture_files(paths: Sequence[Path]) -> list[Path]:
    """Return the picture files among files and in folders, by name.

    Raises:
        DataError: a path is absent, or a folder has no pictures.
    """
    found: list[Path] = []
    for path in paths:
        if not path.is_dir():
            found.append(path)
            continue
        inside = sorted(each for each in path.iterdir() if is_picture(each.name))
        if not inside:
            raise DataError(f"{path}: expected pictures in this folder, found none")
        found += inside
    return found


def read_frame(path: Path) -> Image:
    """Read a picture file as (H, W, 3) uint8 BGR.

    Raises:
        DataError: in one line, why it cannot be read.
    """
    try:
        return read_picture(path)
    except ValueError as error:
        raise DataError(f"{path}: {error}") from error


def find_boards(
    pictures: Sequence[Path], inner_wh: tuple[int, int], through: PlaceSections
) -> tuple[list[Board], tuple[int, int]]:
    """Find the board in every picture.

    Returns:
        The boards with corners in pixels of the place's view, and the size of all frames.

    Raises:
        ConfigError: the sections do not fit together.
        DataError: in one line, for the first picture that cannot be used.
    """
    place = view_of(through)
    boards: list[Board] = []
    sizes: dict[tuple[int, int], Path] = {}
    for path in pictures:
        frame = read_frame(path)
        sizes.setdefault(size_of(frame), path)
        if len(sizes) > 1:
            (first, one), (second, other) = sizes.items()
            raise DataError(
                f"{other}: expected {first[0]}x{first[1]} pixels as in {one}, found "
                f"{second[0]}x{second[1]}; give pictures of one camera"
            )
        try:
            view = frame if place.rectification is None else place.apply(frame)
            board = find_board(view, inner_wh, str(path))
            if place.rectification is None and place.lens is not None:
                place.lens.apply(frame)  # refuses a frame of another size
                board = replace(board, corners_xy=place.lens.from_frame(board.corners_xy))
        except ValueError as error:
            text = str(error)
            raise DataError(text if text.startswith(str(path)) else f"{path}: {text}") from error
        boards.append(board)
    return boards, next(iter(sizes))


def view_of(sections: PlaceSections) -> Place:
    """Return the place without its scale, which is measured.

    Raises:
        ConfigError: its sections do not fit together.
    """
    through = PlaceSections(lens=sections.lens, rectification=sections.rectification)
    if problems := through.problems():
        raise ConfigError(*problems)
    return Place(lens=sections.lens, rectification=sections.rectification)
