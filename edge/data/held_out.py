"""Which good parts are held out: whole parts, and no copy of a picture on either side."""

from __future__ import annotations

from collections import Counter

import numpy as np

from edge.data.duplicates import joined, twins
from edge.data.image_set import ImageSet, Sample, check_enough, hold_out, units_of
from edge.data.left_out import in_short, say_once
from edge.data.masks import picture_size
from edge.errors import DataError

Split = tuple[tuple[Sample, ...], tuple[Sample, ...]]


def hold_out_parts(images: ImageSet, seed: int, shots: int | None = None) -> Split:
    """Share the good parts of a set out into (training, validation).

    Copies of a picture are named, and stay on one side; for `shots` see hold_out.

    Raises:
        DataError: too few pictures, a picture is unreadable, some lie and others stand, or all
            are the same.
    """
    train, held_out = hold_out(images.train, images.has_groups, seed, _copies(images), shots)
    if not train or not held_out:
        raise _too_few_parts(images)
    return train, held_out


def deal_parts(images: ImageSet, seed: int, count: int) -> tuple[int, ...]:
    """Deal the good parts of a set into `count` shares of about as many pictures each.

    A part lies in one share with all of its pictures and their copies; without known parts, a run
    of neighbouring file names does.

    Returns:
        The share of each picture, 0..count - 1; fewer shares where there are fewer parts.

    Raises:
        DataError: as hold_out_parts.
    """
    samples, copies = images.train, _copies(images)
    check_enough(samples)
    units = units_of(samples, has_groups=images.has_groups, together=copies)
    sizes = Counter(units)
    if len(sizes) < 2:
        raise _too_few_parts(images)
    order = list(sizes)
    np.random.default_rng(seed).shuffle(order)
    filled = [0] * min(count, len(order))
    share_of = {}
    for unit in sorted(order, key=lambda unit: -sizes[unit]):
        share_of[unit] = filled.index(min(filled))
        filled[share_of[unit]] += sizes[unit]
    return tuple(share_of[unit] for unit in units)


def _copies(images: ImageSet) -> list[tuple[int, int]]:
    """Pairs of places of the same good picture; those that show different parts are named.

    Raises:
        DataError: a picture is unreadable, some lie and others stand, or all are the same.
    """
    samples = images.train
    check_orientation(images)
    pairs = twins([sample.path for sample in samples])
    first = joined(len(samples), pairs)
    if len(samples) > 1 and len(set(first)) == 1:
        raise DataError(
            f"--data {images.name}: all {len(samples)} good pictures are the same one; give "
            "pictures of different parts"
        )
    apart = [(i, j) for i, j in pairs if samples[i].group != samples[j].group]
    if apart:
        named = [f"{samples[i].path.name} = {samples[j].path.name}" for i, j in apart]
        say_once(
            f"--data {images.name}: {len(apart)} good pictures are copies of others, kept on one "
            f"side: {in_short(named)}"
        )
    return pairs


def _too_few_parts(images: ImageSet) -> DataError:
    return DataError(
        f"--data {images.name}: its good pictures show too few different parts to hold any out"
    )


def say_leaks(images: ImageSet) -> None:
    """Name the test pictures that are also trained on, and those with two labels.

    Raises:
        DataError: a picture is unreadable.
    """
    both = (*images.train, *images.test)
    leaks, quarrels = [], []
    for i, j in twins([sample.path for sample in both]):
        named = f"{_place(images, both[j])} = {_place(images, both[i])}"
        if i < len(images.train) <= j:
            leaks.append(named)
        elif both[i].label != both[j].label:
            quarrels.append(named)
    if leaks:
        say_once(
            f"--data {images.name}: {len(leaks)} test pictures are copies of pictures to train on, "
            f"and their figures too good: {in_short(leaks)}"
        )
    if quarrels:
        say_once(
            f"--data {images.name}: {len(quarrels)} test pictures have two labels: "
            f"{in_short(quarrels)}"
        )


def _place(images: ImageSet, sample: Sample) -> str:
    part = "train" if sample in images.train else "test"
    return f"{part}/{sample.label}/{sample.path.name}"


def check_orientation(images: ImageSet) -> None:
    """Refuse good pictures of which some lie and others stand; several sizes are named.

    Raises:
        DataError: a picture is unreadable, or some lie and others stand.
    """
    sizes = [picture_size(sample.path) for sample in images.train]
    lying = [s for s, (width, height) in zip(images.train, sizes, strict=True) if width > height]
    standing = [s for s, (width, height) in zip(images.train, sizes, strict=True) if width < height]
    counted = Counter(sizes).most_common()
    # The same size turned by a quarter comes of a camera or a part that was turned. Cut-outs of
    # parts have many sizes, and may well lie and stand.
    wide = {size for size in sizes if size[0] > size[1]}
    tall = {(height, width) for width, height in sizes if width < height}
    if wide and tall and (wide <= tall or tall <= wide):
        named = ", ".join(f"{count} of {w}x{h}" for (w, h), count in counted[:3])
        raise DataError(
            f"--data {images.name}: some good pictures lie and others stand ({named}; such as "
            f"{lying[0].path.name} and {standing[0].path.name}); turn them as the camera sees the "
            "part"
        )
    if len(counted) > 1:
        named = ", ".join(f"{count} of {w}x{h}" for (w, h), count in counted[:3])
        say_once(f"--data {images.name}: good pictures have {len(counted)} sizes: {named}")
