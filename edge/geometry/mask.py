"""Masks of what is not inspected: drawn as regions, or painted as a picture."""

from __future__ import annotations

import base64
import binascii
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationInfo, model_validator

from edge.config.values import resolve_path
from edge.geometry.frame_unfit import FrameUnfit, size_of
from edge.geometry.region import Inside, Region, Size
from edge.picture_file import decode_picture, encode_picture, read_grey

# As a PNG file; a painted mask of five megapixels has some ten kilobytes.
MAX_PICTURE_BYTES = 2**20
# Grey levels from here on are ignored.
WHITE = 128


class IgnoreMask(Region):
    """Pixels that are not inspected: a region, or the white pixels of a picture.

    A geometry file names the picture (`file: mask.png`); what is stored in run and recipe holds its
    pixels, so that they are hashed with it.

    Attributes:
        picture: a PNG file in base64, of the size of the view before it is cropped.
    """

    picture: str | None = Field(default=None, max_length=MAX_PICTURE_BYTES * 4 // 3 + 4, repr=False)

    @model_validator(mode="before")
    @classmethod
    def _read_file(cls, value: Any, info: ValidationInfo) -> Any:
        if not isinstance(value, dict) or "file" not in value:
            return value
        if not (info.context or {}).get("reads_files"):
            raise ValueError("file: expected in a geometry file only")
        name = value["file"]
        if not isinstance(name, str) or not name:
            raise ValueError("file: expected the path of a PNG file")
        rest = {key: each for key, each in value.items() if key != "file"}
        return {**rest, "picture": _encoded(resolve_path(Path(name), info))}

    def _check_shape(self) -> None:
        if self.picture is None:
            super()._check_shape()
            return
        if self.rectangle_xywh is not None or self.polygon_xy is not None or self.unit != "px":
            raise ValueError("expected one of file, rectangle_xywh and polygon_xy")
        if not self._pixels.any():
            raise ValueError("expected a picture with what is to be ignored in white, found none")

    def inside(self, size_wh: Size) -> Inside:
        """Return which pixels of a view of `size_wh` are ignored, (H, W) bool.

        Raises:
            FrameUnfit: the picture has another size.
        """
        if self.picture is None:
            return super().inside(size_wh)
        found = size_of(self._pixels)
        if found != size_wh:
            raise FrameUnfit(
                f"ignore: the mask's picture has {found[0]}x{found[1]} pixels, the view "
                f"{size_wh[0]}x{size_wh[1]}; paint it on a picture of the view"
            )
        return self._pixels > 0

    @cached_property
    def _pixels(self) -> NDArray[np.uint8]:
        try:
            data = base64.b64decode(self.picture or "", validate=True)
        except (binascii.Error, ValueError):
            raise ValueError("picture: expected a PNG file in base64") from None
        return _marked(np.asarray(cv2.cvtColor(decode_picture(data), cv2.COLOR_BGR2GRAY), np.uint8))


def _encoded(path: Path) -> str:
    try:
        marked = _marked(read_grey(path))
    except ValueError as error:
        raise ValueError(f"file: {path}: {error}") from None
    data = encode_picture(marked)
    if len(data) > MAX_PICTURE_BYTES:
        raise ValueError(
            f"file: {path}: expected a painted mask of at most {MAX_PICTURE_BYTES} bytes as PNG, "
            f"found {len(data)}; paint areas, not noise"
        )
    return base64.b64encode(data).decode()


def _marked(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.where(grey >= WHITE, 255, 0).astype(np.uint8)
