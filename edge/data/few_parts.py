"""Good parts of a product of which there are few: all of them are learned from, none held out."""

from __future__ import annotations

from pathlib import Path

from edge.data.duplicates import joined, twins
from edge.data.held_out import check_orientation
from edge.data.image_set import read_image_set
from edge.data.left_out import in_short, say_once
from edge.data.products import Products
from edge.data.viewed import fitted, viewed
from edge.errors import TrainingError
from edge.geometry.geometry import Geometry
from edge.geometry.view_transform import ViewTransform


def read_few(folder: Path, geometry: Geometry | None = None) -> Products:
    """Read the good pictures of one product; a single one is enough.

    Copies of a picture are left out and named: whatever is left out to be judged must not be there
    twice.

    Raises:
        DataError: the folder cannot be used, or some pictures lie and others stand.
        TrainingError: there is no good picture.
    """
    images = read_image_set(folder)
    if not images.train:
        raise TrainingError(f"--data {folder}: no pictures in train/good")
    check_orientation(images)
    first = joined(len(images.train), twins([sample.path for sample in images.train]))
    kept = tuple(s for place, s in enumerate(images.train) if first[place] == place)
    if copies := [s.path.name for place, s in enumerate(images.train) if first[place] != place]:
        say_once(
            f"--data {images.name}: {len(copies)} good pictures are copies of others, left out: "
            f"{in_short(copies)}"
        )
    if geometry is not None:
        geometry = fitted(geometry, kept)
        kept = viewed(kept, ViewTransform(geometry))
    return Products((images.name,), kept, (), images.has_groups, geometry)
