"""Golden pictures of a run: held-out good parts and synthetic defects on them, kept lossless.

They travel in the bundle, so that every engine built later can be held against the trained model.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path

import numpy as np

from edge.atomic_file import write_bytes
from edge.data.image_set import Sample, read_view
from edge.data.synthetic_defects import Image, add_defect
from edge.errors import TrainingError
from edge.frame import GOOD
from edge.geometry.view_transform import View
from edge.picture_file import encode_picture

FOLDER = "golden"
# Ranks of the good pictures among the held-out scores.
GOOD_RANKS = (0.0, 0.5, 0.8)
# Plain kinds that change every product visibly.
DEFECT_KINDS = ("scar", "spot", "cut_paste")


@dataclass(frozen=True, slots=True)
class GoldenPicture:
    """One file of the golden folder; `label` is `good` or the kind of synthetic defect."""

    path: Path
    label: str


def write_golden(
    folder: Path,
    held_out: Sequence[Sample],
    scores: Sequence[float],
    seed: int,
    shown: Callable[[View], Image] = attrgetter("pixels_bgr"),
) -> None:
    """Write good pictures of low, middle and high score, and synthetic defects on the middle one.

    Not the highest: the threshold may stand on its very score, where any rounding is a flip.
    `shown` gives the (H, W, 3) uint8 BGR pixels of a picture's view.

    Raises:
        DataError: a picture is unreadable.
        WriteError: a picture cannot be written.
    """
    target = folder / FOLDER
    target.mkdir(exist_ok=True)
    order = sorted(range(len(held_out)), key=lambda index: scores[index])
    places = (np.array(GOOD_RANKS) * (len(order) - 1)).astype(int)
    for number, place in enumerate(dict.fromkeys(places.tolist())):
        pixels = shown(read_view(held_out[order[place]]))
        write_bytes(target / f"{number:02d}_{GOOD}.png", encode_picture(pixels))
    rng = np.random.default_rng(seed)
    middle = read_view(held_out[order[len(order) // 2]])
    for number, kind in enumerate(DEFECT_KINDS, start=len(GOOD_RANKS)):
        changed, _, _ = add_defect(shown(middle), rng, kind, middle.seen)
        write_bytes(target / f"{number:02d}_{kind}.png", encode_picture(changed))


def read_golden(folder: Path) -> tuple[GoldenPicture, ...]:
    """List a run's golden pictures in order.

    Raises:
        TrainingError: there are none.
    """
    paths = sorted((folder / FOLDER).glob("*.png"))
    if not paths:
        raise TrainingError(f"{folder}: no golden pictures; train the run again")
    return tuple(GoldenPicture(path, path.stem.partition("_")[2]) for path in paths)
