"""What frames of good parts look like: size, colour, and limits of what is measured of them."""

from __future__ import annotations

import math
from typing import Annotated, Final, Literal

from pydantic import Field, model_validator

from edge.config.reader import Settings

FRAME_LIMITS_SCHEMA: Final = "edge-infer.frames/1"

Finite = Annotated[float, Field(allow_inf_nan=False)]
Side = Annotated[int, Field(gt=0)]


class FrameQuality(Settings):
    """Range of brightness and contrast that good frames had, widened; grey levels 0..255.

    In bundles from before FrameLimits. A frame outside tells of the camera or the lamp rather than
    of the part: it may not pass.
    """

    mean: tuple[float, float]
    std: tuple[float, float]


class FrameFormat(Settings):
    """Size and colour of frames of good parts; another frame is not scored.

    Attributes:
        sizes_wh: every size that occurred; () where there were too many to list.
        width, height: least and largest, pixels; where `sizes_wh` is () any size between is taken.
        colour: grey where all channels of good frames are alike.
    """

    sizes_wh: tuple[tuple[Side, Side], ...] = ()
    width: tuple[Side, Side]
    height: tuple[Side, Side]
    colour: Literal["grey", "colour"]

    def takes(self, size_wh: tuple[int, int]) -> bool:
        """Whether frames of this size, in pixels, are expected."""
        if self.sizes_wh:
            return size_wh in self.sizes_wh
        (least_w, most_w), (least_h, most_h) = self.width, self.height
        return least_w <= size_wh[0] <= most_w and least_h <= size_wh[1] <= most_h

    def sizes(self) -> str:
        """The sizes in words."""
        if self.sizes_wh:
            return " or ".join(f"{width}x{height}" for width, height in self.sizes_wh)
        return f"{self.width[0]}..{self.width[1]} x {self.height[0]}..{self.height[1]}"


class Layout(Settings):
    """Good frames as small pictures: their mean, deviation and main directions of change.

    Attributes:
        mean, deviation: grey levels, one for each cell and channel.
        directions: orthonormal, each as long as `mean`.
    """

    mean: tuple[Finite, ...]
    deviation: tuple[Annotated[float, Field(gt=0, allow_inf_nan=False)], ...]
    directions: tuple[tuple[Finite, ...], ...]

    @model_validator(mode="after")
    def _fits(self) -> Layout:
        lengths = {len(self.deviation), *(len(each) for each in self.directions)}
        if lengths != {len(self.mean)}:
            raise ValueError("expected mean, deviation and directions of one length")
        return self


class FrameLimits(Settings):
    """calibration/frames.json: limits of what is measured of good frames.

    Attributes:
        frames: good frames that the limits were learned from; `groups`: physical parts of them.
        outside: frames among them that would be outside limits learned from other parts only.
        false_alarms95: with 95 % confidence at most this share of good frames is outside; parts
            count as the independent units.
        ranges: smallest and largest accepted value by the name of what is measured.
        layout: see Layout.
    """

    schema_: Literal["edge-infer.frames/1"] = Field(alias="schema")
    frames: int
    groups: int
    outside: int
    false_alarms95: float
    ranges: dict[str, tuple[Finite, Finite]]
    layout: Layout

    @model_validator(mode="after")
    def _ranges_ascend(self) -> FrameLimits:
        for name, (low, high) in self.ranges.items():
            if not low <= high or not math.isfinite(high - low):
                raise ValueError(f"ranges.{name}: expected low <= high")
        return self
