"""A geometry fitted to good pictures, and data sets seen through it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from edge.data.image_set import ImageSet, Sample, read_view
from edge.errors import DataError
from edge.geometry.geometry import Geometry
from edge.geometry.view_transform import ViewTransform

# Good pictures whose mean colour hides what is not inspected.
COLOUR_PICTURES = 50


def fitted(geometry: Geometry, samples: Sequence[Sample]) -> Geometry:
    """Complete a geometry by good pictures: the size that it is drawn for, and the fill's colour.

    Raises:
        DataError: a picture is unreadable, or the geometry does not fit it.
    """
    if geometry.needs_size and geometry.size_wh is None:
        whole = ViewTransform(geometry.model_copy(update={"region": None, "ignore": ()}))
        size_wh = read_view(replace(samples[0], transform=whole)).size_wh
        try:
            geometry = Geometry.model_validate({**dict(geometry), "size_wh": size_wh})
        except ValueError as error:
            raise DataError(f"{samples[0].path}: {_first_line(error)}") from error
    if not geometry.hides or geometry.fill_bgr is not None:
        return geometry
    transform = ViewTransform(geometry)
    step = max(1, len(samples) // COLOUR_PICTURES)
    means = []
    for sample in samples[::step]:
        view = read_view(replace(sample, transform=transform))
        means.append(view.pixels_bgr[view.seen].mean(axis=0))
    blue, green, red = (int(level) for level in np.rint(np.mean(means, axis=0)))
    return geometry.model_copy(update={"fill_bgr": (blue, green, red)})


def viewed(samples: Sequence[Sample], transform: ViewTransform) -> tuple[Sample, ...]:
    """Return samples that are seen through a geometry."""
    return tuple(replace(sample, transform=transform) for sample in samples)


def viewed_set(images: ImageSet, geometry: Geometry | None) -> ImageSet:
    """Return a data set that is seen through a geometry; None leaves it as it is."""
    if geometry is None:
        return images
    transform = ViewTransform(geometry)
    return replace(
        images,
        train=viewed(images.train, transform),
        test=viewed(images.test, transform),
        geometry=geometry,
    )


def _first_line(error: ValueError) -> str:
    problems = getattr(error, "errors", None)
    message = str(problems()[0]["msg"]) if problems else str(error)
    return message.removeprefix("Value error, ")
