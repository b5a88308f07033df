"""What a run records of the pictures that took part in it."""

from __future__ import annotations

from edge.config.reader import Settings


class DataRecord(Settings):
    """Which pictures took part. Paths stay out: names and counts identify the set.

    `products` names them if there are several; the groups of a calibration then begin with
    "product/".
    """

    name: str
    train_images: int
    train_groups: int
    held_out_images: int
    held_out_groups: int
    has_groups: bool
    frame_wh: tuple[int, int]
    products: tuple[str, ...] = ()
