"""What is one part: every frame, or what crosses the view of a free-running camera."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from edge.config.reader import Settings
from edge.config.values import FilePath, Name


class PartSettings(Settings):
    """What is one part.

    `by: frame`: every frame the camera delivers. `by: presence`: what crosses the view along
    `axis`; each part is judged once, by its best frame.

    The empty belt is learned from the first `learn_frames` frames, or read from the picture
    `belt`. A part differs from it by `contrast` grey levels. Or the part has the colours that the
    picture `product` has where `product_mask` is not 0; then no belt is learned.

    A part covers at least `min_length` of the view along the belt and `min_cover` across it.
    `length_px`: how long parts are along the belt, in pixels of the frame, to tell touching ones
    apart; without it the length is learned from those that lie alone. `window`: the sharpest frame
    counts while the part is that near to the middle, as a share of the view. `camera`: which of
    several cameras watches for parts; without it the first.
    """

    by: Literal["frame", "presence"] = "frame"
    camera: Name | None = None
    axis: Literal["horizontal", "vertical"] = "horizontal"
    belt: FilePath | None = None
    learn_frames: int = Field(default=25, ge=5, le=500)
    contrast: float = Field(default=14.0, ge=2, le=200)
    product: FilePath | None = None
    product_mask: FilePath | None = None
    min_length: float = Field(default=0.03, gt=0, lt=1)
    min_cover: float = Field(default=0.08, gt=0, lt=1)
    length_px: float | None = Field(default=None, gt=0)
    window: float = Field(default=0.08, ge=0, le=0.4)

    @model_validator(mode="after")
    def _keys_that_belong_together(self) -> PartSettings:
        if self.by == "frame" and (given := sorted(self.model_fields_set - {"by"})):
            raise ValueError(f"{', '.join(given)}: for by: presence only; add it, or take them out")
        if (self.product is None) != (self.product_mask is None):
            raise ValueError("expected product and product_mask together: a picture and its mask")
        if self.product is not None and self.belt is not None:
            raise ValueError("expected one of belt and product, got both")
        return self
