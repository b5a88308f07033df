"""Several cameras that look at one part: what judges each view, and which may be absent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from pydantic import Field, model_validator

from edge.config.camera import CameraSettings
from edge.config.reader import Settings
from edge.config.values import FilePath, Name

MAX_CAMERAS = 16


class ViewBundle(Settings):
    """The bundle of one view and, if it serves several products, the product.

    The path of the bundle alone may stand for both.
    """

    bundle: FilePath
    product: Name | None = None

    @model_validator(mode="before")
    @classmethod
    def _path_alone(cls, value: object) -> object:
        return {"bundle": value} if isinstance(value, str) else value


class ViewSettings(CameraSettings):
    """One camera of several, which gives one view of each part.

    `bundle` (with `product`) or `recipe`, one of the station's recipes, is what the view is judged
    by, whatever recipe is active; without either it is the active recipe. `place` is the file by
    edge-calibrate for this camera. `optional`: a part whose view did not come is judged by its
    other views; without it, such a part is an `error`.
    """

    bundle: FilePath | None = None
    product: Name | None = None
    recipe: Name | None = None
    place: FilePath | None = None
    optional: bool = False

    @model_validator(mode="after")
    def _one_thing_judges_it(self) -> ViewSettings:
        if self.bundle is not None and self.recipe is not None:
            raise ValueError("expected one of bundle and recipe, got both")
        if self.product is not None and self.bundle is None:
            raise ValueError("product goes with bundle")
        return self


class MatchingSettings(Settings):
    """Which frames of cameras that run freely show the same part.

    The view of a camera is its frame that was captured nearest to the frame of the first camera, or
    of the one that watches for parts. `within_ms`: how far apart the two may be; half the time
    between two frames of the slower camera at least, and less than half the time between two parts.
    `frame_timeout_ms`: a view that has not come so long after the frame is missing.
    """

    within_ms: float = Field(default=50.0, gt=0, le=10_000)
    frame_timeout_ms: float = Field(default=1000.0, ge=1, le=600_000)


def check_views(cameras: Sequence[ViewSettings]) -> None:
    """Check what concerns all cameras of a station together.

    Raises:
        ValueError: one line: two have the same name, or the first may be absent.
    """
    name, count = Counter(camera.name for camera in cameras).most_common(1)[0]
    if count > 1:
        raise ValueError(f"expected a name of its own for each camera, got {name} {count} times")
    if cameras[0].optional:
        raise ValueError("the first camera cannot be optional; put another one first")
    if cameras[0].recipe is not None:
        raise ValueError("the first camera is judged by the station's recipe; leave out its recipe")
    for camera in cameras:
        if camera.source.startswith("replay://"):
            raise ValueError("replay:// goes with camera, alone: an archive has its own order")
