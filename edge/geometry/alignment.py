"""Part alignment: a taught template tells how a part has moved and turned, and that is undone."""

from __future__ import annotations

import base64
import binascii
import math
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import Field, field_validator, model_validator

from edge.config.reader import Settings
from edge.geometry.frame_unfit import FrameUnfit, check_size, size_of
from edge.geometry.points import Matrix, Points, inverse, moved
from edge.geometry.template_search import Place, TemplateSearch
from edge.geometry.values import MAX_SIDE, FrameSide
from edge.picture_file import decode_picture

LEAST_BOX, LARGEST_BOX = 32, 512
# Of the template as a PNG file.
MAX_TEMPLATE_BYTES = 2**20
# The template may reach so far out of the picture; further out, the part is not all in view.
BORDER_PX = 1.0
# The fit may end so far beyond the range that was searched.
RANGE_PX, RANGE_DEG = 1.0, 0.5
Side = Annotated[int, Field(ge=LEAST_BOX, le=LARGEST_BOX)]
Corner = Annotated[int, Field(ge=0, le=MAX_SIDE)]


class Alignment(Settings):
    """A template with the place where it was taught.

    Attributes:
        size_wh: size of the view that it was taught in, pixels.
        box_xywh: the template's place there.
        template: its grey pixels, a PNG file in base64.
        max_shift_px: how far it may have moved along x and y; None finds it anywhere in the view.
        max_angle_deg: how far it may be turned, to either side.
        min_score: normalised correlation below which it counts as not found.
    """

    size_wh: tuple[FrameSide, FrameSide]
    box_xywh: tuple[Corner, Corner, Side, Side]
    template: str = Field(max_length=MAX_TEMPLATE_BYTES * 4 // 3 + 4, repr=False)
    max_shift_px: float | None = Field(default=None, gt=0, le=MAX_SIDE)
    max_angle_deg: float = Field(default=10.0, ge=0, le=180)
    min_score: float = Field(default=0.7, gt=0, lt=1)

    @field_validator("template", mode="after")
    @classmethod
    def _is_picture(cls, value: str) -> str:
        _decoded(value)
        return value

    @model_validator(mode="after")
    def _fits(self) -> Alignment:
        x, y, w, h = self.box_xywh
        if x + w > self.size_wh[0] or y + h > self.size_wh[1]:
            raise ValueError(
                f"box_xywh: expected a box inside {self.size_wh[0]}x{self.size_wh[1]} pixels"
            )
        if size_of(_decoded(self.template)) != (w, h):
            raise ValueError("template: expected a picture of the box's size; teach it again")
        return self

    def find(self, image: NDArray[np.uint8]) -> Found:
        """Find the template in a view, (H, W) or (H, W, 3) uint8.

        Raises:
            FrameUnfit: the view has another size, or the template is not found in it.
        """
        check_size(image, self.size_wh, "alignment")
        candidates = self.candidates(image)
        score = candidates[0].score if candidates else 0.0
        if not score >= self.min_score:
            raise FrameUnfit(
                f"alignment: the template is not found: score {score:.2f}, at least "
                f"{self.min_score:g} expected; check that the part is there, in its place and "
                "the right one, or teach the template again"
            )
        found = candidates[0]
        self._check_in_view(found)
        return found

    def candidates(self, image: NDArray[np.uint8]) -> list[Found]:
        """Return the places in range that look like the template, best first; maybe none."""
        grey = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
        places = map(self._found, self._search.candidates(grey))
        return [found for found in places if self._is_in_range(found)]

    def _is_in_range(self, found: Found) -> bool:
        """Whether the fit has stayed where places were looked for."""
        limit_px = math.inf if self.max_shift_px is None else self.max_shift_px + RANGE_PX
        is_near = max(abs(value) for value in found.shift_xy) <= limit_px
        return is_near and abs(found.angle_deg) <= self.max_angle_deg + RANGE_DEG

    def _found(self, place: Place) -> Found:
        x, y, w, h = self.box_xywh
        middle = np.array([x + (w - 1) / 2, y + (h - 1) / 2])
        cosine, sine = math.cos(place.angle), math.sin(place.angle)
        turn = np.array([[cosine, -sine], [sine, cosine]])
        shift = middle + np.array([place.x, place.y]) - turn @ middle
        matrix = np.vstack([np.column_stack([turn, shift]), [0.0, 0.0, 1.0]])
        return Found(place.score, (place.x, place.y), math.degrees(place.angle), matrix)

    def _check_in_view(self, found: Found) -> None:
        x, y, w, h = self.box_xywh
        box = [(x, y), (x + w - 1, y), (x + w - 1, y + h - 1), (x, y + h - 1)]
        corners = found.to_frame(box)
        outside = max(float(-corners.min()), float((corners - self.size_wh + 1).max()))
        if outside > BORDER_PX:
            raise FrameUnfit(
                f"alignment: the template is found {outside:.0f} px outside of the frame; check "
                "that the part is wholly in view"
            )

    @cached_property
    def _search(self) -> TemplateSearch:
        x, y, _, _ = self.box_xywh
        return TemplateSearch(
            _decoded(self.template), (x, y), self.max_shift_px, self.max_angle_deg
        )


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """How the part lies in one view.

    Attributes:
        score: normalised correlation with the template, at most 1.
        shift_xy: how far the template's middle has moved, pixels.
        angle_deg: how far it is turned, clockwise as seen.
        matrix: (3, 3) from the aligned view to the view.
    """

    score: float
    shift_xy: tuple[float, float]
    angle_deg: float
    matrix: Matrix

    def apply(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Move the part back to where it was taught; the result has the view's size.

        What lies outside of the view repeats its border.
        """
        return np.asarray(
            cv2.warpAffine(
                image, self.matrix[:2], size_of(image), borderMode=cv2.BORDER_REPLICATE,
                flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            ),
            np.uint8,
        )  # fmt: skip

    def to_frame(self, points: ArrayLike) -> Points:
        """Move points of the aligned view, (n, 2), to the view."""
        return moved(self.matrix, points)

    def from_frame(self, points: ArrayLike) -> Points:
        """Move points of the view, (n, 2), to the aligned view."""
        return moved(inverse(self.matrix), points)


def _decoded(template: str) -> NDArray[np.uint8]:
    try:
        data = base64.b64decode(template, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("expected a PNG file in base64; teach the template again") from None
    return np.ascontiguousarray(decode_picture(data)[..., 0])
