"""What a run records of the pictures that took part in it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from edge.bundle.store import sha256
from edge.config.reader import Settings
from edge.data.image_set import Sample


class DataRecord(Settings):
    """Which pictures took part. Paths stay out: names, counts and contents identify the set.

    `products` names them if there are several; the groups of a calibration then begin with
    "product/". `pictures_sha256` is `pictures_digest` of all pictures that the run learns from or
    holds out; None in runs that learn nothing, and in old ones.
    """

    name: str
    train_images: int
    train_groups: int
    held_out_images: int
    held_out_groups: int
    has_groups: bool
    frame_wh: tuple[int, int]
    products: tuple[str, ...] = ()
    pictures_sha256: str | None = None


def pictures_digest(samples: Iterable[Sample]) -> str:
    """SHA-256 over names, labels, groups and contents of pictures and masks, in their order.

    Where the files lie does not matter, so a data folder may move while its run is unfinished.
    """
    digest = hashlib.sha256()
    for sample in samples:
        digest.update(f"{sample.label}/{sample.path.name} {sample.group}\n".encode())
        for path in (sample.path, sample.mask):
            digest.update(b"-" if path is None else sha256(path).encode())
    return digest.hexdigest()
