"""Image folders: the MVTec AD layout, or a flat folder of good parts.

MVTec layout: `train/good`, `test/good`, `test/<type>` and `ground_truth/<type>/<stem>_mask.png`
(or `<stem>.png`). A `split.csv` beside them with the columns `file` and `group` says which pictures
show the same physical part: those are never shared out over training and validation.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.errors import DataError
from edge.frame import GOOD
from edge.picture_file import SUFFIXES, is_picture, read_grey, read_picture

# A fifth is held out, but never fewer than this many (or a third of a small set): fewer scores
# support no useful false-reject rate.
HELD_OUT_SHARE = 0.2
HELD_OUT_LEAST = 30
# Without known groups, neighbours by name are likely to show the same part: whole runs of names
# are held out instead of single pictures.
BLOCKS = 20
# Pictures whose sizes stand for the product's frame size.
SIZE_PICTURES = 50
# Grey level above which a mask's pixel belongs to a defect.
MASK_GREY = 127


@dataclass(frozen=True, slots=True)
class Sample:
    """One picture. `label` is `good` or a defect type; `group` names the physical part."""

    path: Path
    label: str
    group: str
    mask: Path | None = None

    @property
    def is_good(self) -> bool:
        """The part has no defect."""
        return self.label == GOOD


@dataclass(frozen=True, slots=True)
class ImageSet:
    """A data set: good parts to train on, and parts with labels to test on (may be none)."""

    name: str
    train: tuple[Sample, ...]
    test: tuple[Sample, ...]
    has_groups: bool

    @property
    def defect_types(self) -> tuple[str, ...]:
        """Labels of the defective test parts, sorted."""
        return tuple(sorted({sample.label for sample in self.test if not sample.is_good}))


def read_image_set(folder: Path) -> ImageSet:
    """Read a data folder.

    Raises:
        DataError: the folder is missing, empty or in no known layout.
    """
    folder = folder.expanduser()
    if not folder.is_dir():
        raise DataError(f"--data {folder}: no such folder")
    groups = _read_groups(folder / "split.csv")
    if (folder / "train").is_dir() or (folder / "test").is_dir():
        train = _samples(folder, folder / "train" / GOOD, GOOD, groups)
        test: list[Sample] = []
        for kind in sorted(p for p in _folders(folder / "test")):
            test += _samples(folder, kind, kind.name, groups)
    else:
        train, test = _samples(folder, folder, GOOD, groups), []
    if not train and not test:
        raise DataError(
            f"--data {folder}: expected train/good and test/<type> folders, or pictures of good "
            f"parts in the folder itself ({', '.join(sorted(SUFFIXES))}); found neither"
        )
    return ImageSet(folder.resolve().name, tuple(train), tuple(test), bool(groups))


def hold_out(
    samples: tuple[Sample, ...], has_groups: bool, seed: int
) -> tuple[tuple[Sample, ...], tuple[Sample, ...]]:
    """Share good parts out into (training, validation), whole groups at a time.

    Raises:
        DataError: too few pictures to hold any out.
    """
    wanted = max(round(HELD_OUT_SHARE * len(samples)), min(HELD_OUT_LEAST, len(samples) // 3))
    if wanted < 2:
        raise DataError(f"expected at least 6 good pictures to train on, found {len(samples)}")
    units: dict[str, list[Sample]] = {}
    for index, sample in enumerate(samples):
        block = f"block {index * BLOCKS // len(samples)}"
        units.setdefault(sample.group if has_groups else block, []).append(sample)
    names = list(units)
    np.random.default_rng(seed).shuffle(names)
    held: set[str] = set()
    count = 0
    for name in names:
        # The unit that brings the count nearest to what is wanted is the last one.
        if abs(count + len(units[name]) - wanted) <= abs(count - wanted):
            held.add(name)
            count += len(units[name])
    train = tuple(s for name, unit in units.items() if name not in held for s in unit)
    return train, tuple(s for name, unit in units.items() if name in held for s in unit)


def read_pixels(path: Path) -> NDArray[np.uint8]:
    """Read a picture as (H, W, 3) uint8 BGR, as the cameras deliver frames.

    Raises:
        DataError: the file is missing or no readable picture.
    """
    try:
        return read_picture(path)
    except ValueError as error:
        raise DataError(f"{path}: {error}; repair it or take it out of the set") from error


def frame_size(samples: Sequence[Sample]) -> tuple[int, int]:
    """Median width and height of some of the pictures."""
    step = max(1, len(samples) // SIZE_PICTURES)
    sizes = np.array([read_pixels(sample.path).shape[:2] for sample in samples[::step]])
    height, width = np.median(sizes, axis=0)
    return int(width), int(height)


def read_mask(sample: Sample, size_wh: tuple[int, int]) -> NDArray[np.bool_]:
    """Read a defect mask at `size_wh`, (H, W) bool: area average, cut at half, never fattened.

    Good parts have an empty mask.

    Raises:
        DataError: the mask file is missing or unreadable.
    """
    if sample.mask is None:
        return np.zeros((size_wh[1], size_wh[0]), np.bool_)
    mask = read_mask_file(sample.mask).astype(np.float32)
    covered = cv2.resize(mask, size_wh, interpolation=cv2.INTER_AREA)
    return np.asarray(covered > 0.5, dtype=np.bool_)


def read_mask_file(path: Path) -> NDArray[np.bool_]:
    """Read a mask at its own size, (H, W) bool: True where it is brighter than half.

    Raises:
        DataError: the file is missing or no readable picture.
    """
    try:
        return read_grey(path) > MASK_GREY
    except ValueError as error:
        raise DataError(f"{path}: {error}; repair it or take its picture out of the set") from error


def _folders(folder: Path) -> list[Path]:
    return [p for p in folder.iterdir() if p.is_dir()] if folder.is_dir() else []


def _samples(root: Path, folder: Path, label: str, groups: dict[str, str]) -> list[Sample]:
    if not folder.is_dir():
        return []
    files = sorted(path for path in folder.iterdir() if is_picture(path.name))
    return [
        Sample(
            path=path,
            label=label,
            group=groups.get(path.relative_to(root).as_posix(), path.stem),
            mask=None if label == GOOD else _mask_of(root, path, label),
        )
        for path in files
    ]


def _mask_of(root: Path, path: Path, label: str) -> Path | None:
    folder = root / "ground_truth" / label
    candidates = (folder / f"{path.stem}_mask.png", folder / f"{path.stem}.png")
    return next((mask for mask in candidates if mask.is_file()), None)


def _read_groups(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    with path.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    return {row["file"]: row["group"] for row in rows if row.get("file") and row.get("group")}
