"""Good parts that a station has rejected, gathered in a folder: they teach what is normal, too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from edge.data.duplicates import joined, twins
from edge.data.folder_layout import TEST, TRAIN, pictures_in
from edge.data.image_set import Sample
from edge.data.left_out import LeftOut, in_short, say_once
from edge.data.part_groups import read_groups
from edge.data.viewed import viewed
from edge.errors import DataError
from edge.frame import GOOD
from edge.geometry.geometry import Geometry
from edge.geometry.view_transform import ViewTransform


@dataclass(frozen=True, slots=True)
class FalseRejects:
    """Good pictures in two halves that share no part: what one teaches the other one tries."""

    halves: tuple[tuple[Sample, ...], tuple[Sample, ...]]

    @property
    def samples(self) -> tuple[Sample, ...]:
        """All of them."""
        return self.halves[0] + self.halves[1]


def read_false_rejects(
    folder: Path, data: Sequence[Path], known: Sequence[Sample], geometry: Geometry | None
) -> FalseRejects:
    """Read the pictures in `folder`, and its split.csv if there is one.

    Pictures that are `known`, the good parts of the run, are left out: they have taught already, or
    the threshold stands on them. Copies of a picture stay in one half.

    Raises:
        DataError: the folder is missing, is part of a data folder, or shows fewer than two parts.
    """
    folder = folder.expanduser()
    if not folder.is_dir():
        raise DataError(f"--false-rejects {folder}: no such folder")
    for place in data:
        own = [place.expanduser().resolve() / name for name in (TRAIN, TEST)]
        if any(folder.resolve().is_relative_to(each) for each in own):
            raise DataError(
                f"--false-rejects {folder}: lies in {place}, whose pictures have a purpose "
                "already; move it out"
            )
    left_out = LeftOut(folder)
    paths = pictures_in(folder, left_out)
    for line in left_out.lines():
        say_once(f"--false-rejects {folder}: left out {line}")
    groups = read_groups(folder, paths)
    both = [sample.path for sample in known] + list(paths)
    pairs = twins(both)
    count = len(known)
    copies = {j - count for i, j in pairs if i < count <= j}
    if copies:
        named = in_short([paths[index].name for index in sorted(copies)])
        say_once(f"--false-rejects {folder}: {len(copies)} are good parts of --data: {named}")
    samples = [Sample(path, GOOD, groups.get(path, path.stem)) for path in paths]
    pairs = [(i - count, j - count) for i, j in pairs if i >= count]
    pairs += _of_one_part(samples)
    units = joined(len(paths), pairs)
    kept = [index for index in range(len(paths)) if index not in copies]
    order = list(dict.fromkeys(units[index] for index in kept))
    if len(order) < 2:
        raise DataError(
            f"--false-rejects {folder}: expected pictures of two parts at least, one to learn and "
            f"one to try, found {len(order)}"
        )
    samples = [replace(sample, group=f"reject/{sample.group}") for sample in samples]
    if geometry is not None:
        samples = list(viewed(samples, ViewTransform(geometry)))
    first = {unit for number, unit in enumerate(order) if number % 2 == 0}
    return FalseRejects(
        (
            tuple(samples[index] for index in kept if units[index] in first),
            tuple(samples[index] for index in kept if units[index] not in first),
        )
    )


def _of_one_part(samples: Sequence[Sample]) -> list[tuple[int, int]]:
    seen: dict[str, int] = {}
    return [
        (first, index)
        for index, sample in enumerate(samples)
        if (first := seen.setdefault(sample.group, index)) != index
    ]
