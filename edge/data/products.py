"""Good parts of one or several products, shared out into training and held-out parts.

Multi-class training is nothing but this: one model over the good parts of all products.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from edge.data.few_shot import choose_shots
from edge.data.held_out import deal_parts, hold_out_parts
from edge.data.image_set import Sample, read_image_set
from edge.data.record import DataRecord, pictures_digest
from edge.data.viewed import fitted, viewed
from edge.errors import DataError, TrainingError
from edge.geometry.geometry import Geometry
from edge.geometry.view_transform import ViewTransform


@dataclass(frozen=True, slots=True)
class Products:
    """Training and held-out good parts; with several products a group is "product/part".

    Attributes:
        names: of the products.
        has_groups: every product says which pictures show the same part.
        geometry: fitted to the pictures to train on; None learns whole frames.
        shares: with cross-fitting, the share that each of `train` is dealt into; none is held out
            then, but each share is left out of a training once. () without.
    """

    names: tuple[str, ...]
    train: tuple[Sample, ...]
    held_out: tuple[Sample, ...]
    has_groups: bool
    geometry: Geometry | None = None
    shares: tuple[int, ...] = ()

    def record(self, frame_wh: tuple[int, int]) -> DataRecord:
        """What run.yaml says of these pictures."""
        return DataRecord(
            name="+".join(self.names),
            train_images=len(self.train),
            train_groups=len({sample.group for sample in self.train}),
            held_out_images=len(self.held_out),
            held_out_groups=len({sample.group for sample in self.held_out}),
            has_groups=self.has_groups,
            frame_wh=frame_wh,
            products=self.names if len(self.names) > 1 else (),
            pictures_sha256=pictures_digest((*self.train, *self.held_out)),
        )


def read_products(
    folders: Sequence[Path],
    seed: int,
    shots: int | None = None,
    geometry: Geometry | None = None,
    shares: int = 0,
) -> Products:
    """Read every folder and hold a part of each out, so that no product lacks held-out parts.

    `shots` keeps that many training pictures of each product (few-shot). `geometry` makes the views
    of the pictures that are learned. `shares` deals the pictures of each product into so many
    shares, and holds none out (see deal_parts).

    Raises:
        DataError: a folder cannot be used, or its name cannot be a product's.
        TrainingError: a folder has no good pictures to train on.
    """
    sets = [read_image_set(folder) for folder in folders]
    names = [images.name for images in sets]
    if len(sets) > 1:
        _check_names(names)
    train: list[Sample] = []
    held_out: list[Sample] = []
    dealt: list[int] = []
    for folder, images in zip(folders, sets, strict=True):
        if not images.train:
            raise TrainingError(f"--data {folder}: no pictures in train/good")
        chosen, held = images.train, images.train[:0]
        if shares:
            dealt += deal_parts(images, seed, shares)
        else:
            chosen, held = hold_out_parts(images, seed, shots)
        if shots is not None:
            chosen = choose_shots(chosen, shots, seed)
        prefix = f"{images.name}/" if len(sets) > 1 else ""
        train += [replace(sample, group=prefix + sample.group) for sample in chosen]
        held_out += [replace(sample, group=prefix + sample.group) for sample in held]
    has_groups = all(images.has_groups for images in sets)
    if geometry is not None:
        geometry = fitted(geometry, train)
        transform = ViewTransform(geometry)
        train, held_out = list(viewed(train, transform)), list(viewed(held_out, transform))
    return Products(tuple(names), tuple(train), tuple(held_out), has_groups, geometry, tuple(dealt))


def _check_names(names: Sequence[str]) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(f"--data: two folders are named {twice[0]}; give each product its own name")
    for name in names:
        if not re.fullmatch(r"[A-Za-z0-9_-]+", name):
            raise DataError(
                f"--data: a folder named {name!r} cannot name a product: expected letters, digits, "
                "_ and -; rename it"
            )
