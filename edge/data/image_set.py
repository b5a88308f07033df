"""A data set: pictures of good parts to train on, and labelled ones to test on.

MVTec layout: `train/good`, `test/good`, `test/<type>` and masks as `mask_files` finds them, such as
`ground_truth/<type>/<stem>_mask.png`; or a flat folder of good parts, or of pictures that a
`labels.csv` beside them calls OK or NOK. A `split.csv` beside them
(see `part_groups`) says which pictures show the same physical part: those are never shared out over
training and validation. What is not read is said in warnings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.data.duplicates import joined
from edge.data.folder_layout import read_layout
from edge.data.left_out import LeftOut, in_short, say_once
from edge.data.mask_files import MaskFiles
from edge.data.masks import fits, picture_size, read_mask_file, shrink
from edge.data.part_groups import read_groups
from edge.data.picture_labels import with_labels
from edge.errors import DataError
from edge.frame import GOOD
from edge.geometry.frame_unfit import FrameUnfit
from edge.geometry.geometry import Geometry
from edge.geometry.view_transform import View, ViewTransform
from edge.picture_file import read_picture

# A fifth is held out, but never fewer than this many (or a third of a small set): fewer scores
# support no useful false-reject rate.
HELD_OUT_SHARE = 0.2
HELD_OUT_LEAST = 30
LEAST_PICTURES = 6
# Without known groups, neighbours by name are likely to show the same part: whole runs of names
# are held out instead of single pictures.
BLOCKS = 20
# Pictures whose sizes stand for the product's frame size.
SIZE_PICTURES = 50


@dataclass(frozen=True, slots=True)
class Sample:
    """One picture. `label` is `good` or a defect type; `group` names the physical part.

    `transform` makes the view of it that is learned; None takes the picture as it is.
    """

    path: Path
    label: str
    group: str
    mask: Path | None = None
    transform: ViewTransform | None = field(default=None, compare=False, repr=False)

    @property
    def is_good(self) -> bool:
        """The part has no defect."""
        return self.label == GOOD


@dataclass(frozen=True, slots=True)
class ImageSet:
    """A data set: good parts to train on, and parts with labels to test on (may be none).

    `geometry` is what its samples are seen through; None shows whole pictures.
    """

    name: str
    train: tuple[Sample, ...]
    test: tuple[Sample, ...]
    has_groups: bool
    geometry: Geometry | None = field(default=None, compare=False, repr=False)

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
    left_out = LeftOut(folder)
    layout = with_labels(folder, read_layout(folder, left_out))
    masks = MaskFiles(folder, layout.test)
    tested = {
        label: [path for path in pictures if not masks.is_mask(path)]
        for label, pictures in layout.test.items()
    }
    groups = read_groups(folder, [*layout.train, *(p for paths in tested.values() for p in paths)])

    def sample(path: Path, label: str) -> Sample:
        mask = None if label == GOOD else masks.find(path, label)
        return Sample(path, label, groups.get(path, path.stem), mask)

    train = tuple(sample(path, GOOD) for path in layout.train)
    test = tuple(sample(path, label) for label, paths in tested.items() for path in paths)
    masks.note_unused((s.mask for s in test if s.mask), left_out)
    for line in left_out.lines():
        say_once(f"--data {folder}: left out {line}")
    without = [f"{s.label}/{s.path.name}" for s in test if not s.is_good and s.mask is None]
    if without and not masks.is_empty:
        say_once(f"--data {folder}: {len(without)} defects have no mask: {in_short(without)}")
    return ImageSet(folder.resolve().name, train, test, bool(groups))


def check_masks(images: ImageSet) -> ImageSet:
    """Read every mask of a set; empty ones are named, and their pictures have none any more.

    A mask is empty, too, where the geometry hides all of the defect.

    Raises:
        DataError: a mask cannot be read, or its proportions are not its picture's.
    """
    empty: list[str] = []
    test = []
    for sample in images.test:
        mask = sample.mask
        if mask is not None:
            marked = read_mask_file(mask)
            mask_wh, picture_wh = marked.shape[::-1], picture_size(sample.path)
            if not fits((mask_wh[0], mask_wh[1]), picture_wh):
                raise DataError(
                    f"{mask}: expected a mask of {picture_wh[0]}x{picture_wh[1]} pixels as its "
                    f"picture has, or of the same proportions, found {mask_wh[0]}x{mask_wh[1]}; "
                    "draw it on its own picture"
                )
            if sample.transform is not None:
                marked = read_mask(sample, picture_wh)
            if not marked.any():
                empty.append(f"{sample.label}/{mask.name}")
                mask = None
        test.append(sample if mask is sample.mask else replace(sample, mask=None))
    if empty:
        say_once(f"--data {images.name}: {len(empty)} masks show no defect: {in_short(empty)}")
    return replace(images, test=tuple(test))


def hold_out(
    samples: tuple[Sample, ...],
    has_groups: bool,
    seed: int,
    together: Sequence[tuple[int, int]] = (),
    shots: int | None = None,
) -> tuple[tuple[Sample, ...], tuple[Sample, ...]]:
    """Share good parts out into (training, validation), whole groups at a time.

    Pairs of places in `together` stay on one side with all of their groups. `shots` is how many
    pictures are to be trained on if that is known: of few, all others are then held out.

    Raises:
        DataError: too few pictures to hold any out.
    """
    wanted = max(round(HELD_OUT_SHARE * len(samples)), min(HELD_OUT_LEAST, len(samples) // 3))
    if shots is None:
        check_enough(samples)
    elif len(samples) < LEAST_PICTURES:
        wanted = len(samples) - shots
        if wanted < 1:
            raise DataError(
                f"--shots {shots}: expected more than {shots} good pictures, as others set the "
                f"threshold, found {len(samples)}; --instant needs no others"
            )
    units: dict[int, list[Sample]] = {}
    for number, sample in zip(
        units_of(samples, has_groups=has_groups, together=together), samples, strict=True
    ):
        units.setdefault(number, []).append(sample)
    numbers = list(units)
    np.random.default_rng(seed).shuffle(numbers)
    held: set[int] = set()
    count = 0
    for number in numbers:
        # The unit that brings the count nearest to what is wanted is the last one.
        if abs(count + len(units[number]) - wanted) <= abs(count - wanted):
            held.add(number)
            count += len(units[number])
    train = tuple(s for number, unit in units.items() if number not in held for s in unit)
    return train, tuple(s for number, unit in units.items() if number in held for s in unit)


def units_of(
    samples: Sequence[Sample], *, has_groups: bool, together: Sequence[tuple[int, int]] = ()
) -> list[int]:
    """For each picture the number of what must not be divided: its part, or its block of names.

    Pairs of places in `together` join their units.
    """
    names_of = [
        sample.group if has_groups else f"block {index * BLOCKS // len(samples)}"
        for index, sample in enumerate(samples)
    ]
    places = {name: place for place, name in enumerate(dict.fromkeys(names_of))}
    pairs = [(places[names_of[i]], places[names_of[j]]) for i, j in together]
    first = joined(len(places), pairs)
    return [first[places[name]] for name in names_of]


def check_enough(samples: Sequence[Sample]) -> None:
    """Check that there are pictures enough to train on some and judge the others.

    Raises:
        DataError: there are too few.
    """
    if len(samples) < LEAST_PICTURES:
        raise DataError(
            f"expected at least {LEAST_PICTURES} good pictures to train on, found "
            f"{len(samples)}; --instant takes fewer"
        )


def read_pixels(path: Path) -> NDArray[np.uint8]:
    """Read a picture as (H, W, 3) uint8 BGR, as the cameras deliver frames.

    Raises:
        DataError: the file is missing or no readable picture.
    """
    try:
        return read_picture(path)
    except ValueError as error:
        raise DataError(f"{path}: {error}; repair it or take it out of the set") from error


def read_view(sample: Sample) -> View:
    """Read a picture and make the view of it that is learned, as the line makes it of a frame.

    Raises:
        DataError: the file is missing or no readable picture, or the geometry does not fit it.
    """
    pixels = read_pixels(sample.path)
    if sample.transform is None:
        return View(pixels)
    try:
        return sample.transform.view(pixels)
    except FrameUnfit as error:
        raise DataError(f"{sample.path}: {error}") from error


def frame_size(samples: Sequence[Sample]) -> tuple[int, int]:
    """Median width and height of some of the pictures' views."""
    step = max(1, len(samples) // SIZE_PICTURES)
    sizes = np.array([read_view(sample).size_wh for sample in samples[::step]])
    width, height = np.median(sizes, axis=0)
    return int(width), int(height)


def read_mask(sample: Sample, size_wh: tuple[int, int]) -> NDArray[np.bool_]:
    """Read a defect mask of the view at `size_wh`, (H, W) bool; see `masks.shrink`.

    Good parts have an empty mask.

    Raises:
        DataError: the mask file is missing or unreadable.
    """
    if sample.mask is None:
        return np.zeros((size_wh[1], size_wh[0]), np.bool_)
    mask = read_mask_file(sample.mask)
    if sample.transform is not None:
        # With the picture, in which the part may have to be found.
        mask = read_view(sample).mask(shrink(mask, picture_size(sample.path)))
    return shrink(mask, size_wh)
