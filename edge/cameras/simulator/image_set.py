"""The simulated conveyor as a labelled data set in the MVTec layout."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2

from edge.cameras.simulator.plate import Pixels
from edge.cameras.simulator.rendering import DEFECT_TYPES, ConveyorPainter
from edge.errors import DataError
from edge.frame import GOOD

# Hardly compressed: the pictures are noisy, and writing would take longer than drawing.
_PNG = (cv2.IMWRITE_PNG_COMPRESSION, 1)


def write_conveyor_set(
    folder: Path,
    *,
    train_good: int,
    test_good: int,
    per_type: int,
    size_wh: tuple[int, int] = (320, 240),
    seed: int = 1,
) -> None:
    """Write `train/good`, `test/good`, `test/<type>` and `ground_truth/<type>` below `folder`.

    Every picture shows another part; the same arguments give the same pixels. Pictures are
    `000.png` and on, (H, W, 3) uint8; masks `000_mask.png`, (H, W) uint8, 0 or 255.

    Raises:
        DataError: when `folder` holds files already, or cannot be written.
    """
    if folder.exists() and any(folder.iterdir()):
        raise DataError(f"{folder}: expected a new or empty folder, found files; give another one")
    painter = ConveyorPainter(seed, size_wh)
    index = 0
    for split, kind, count in _plan(train_good, test_good, per_type):
        for number in range(count):
            pixels, mask = painter.paint(index, kind)
            index += 1
            _write(folder / split / kind / f"{number:03d}.png", pixels)
            if kind != GOOD:
                _write(folder / "ground_truth" / kind / f"{number:03d}_mask.png", mask)


def _plan(train_good: int, test_good: int, per_type: int) -> Iterator[tuple[str, str, int]]:
    yield "train", GOOD, train_good
    yield "test", GOOD, test_good
    for kind in DEFECT_TYPES:
        yield "test", kind, per_type


def _write(path: Path, pixels: Pixels) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(cv2.imencode(".png", pixels, _PNG)[1].tobytes())
    except OSError as error:
        raise DataError(f"{path}: cannot be written: {error}; check space and rights") from error
