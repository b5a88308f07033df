"""From a frame to the view that is inspected; training, evaluation, build and line share it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from edge.geometry.frame_unfit import FrameUnfit, check_size, size_of
from edge.geometry.geometry import Geometry
from edge.geometry.lens import Lens
from edge.geometry.place import Place
from edge.geometry.points import Points, as_points
from edge.geometry.rectification import Rectification
from edge.geometry.region import Inside, Size
from edge.geometry.rotation import Rotation
from edge.grey_picture import as_bgr, plane_of, solid

Image = NDArray[np.uint8]
# Fewer pixels show nothing of a part.
LEAST_SIDE = 8
# Sizes of views whose hidden pixels are remembered.
REMEMBERED = 8
# Share of a pixel, or of a cell of the map, that must be seen.
HALF = 0.5


class Step(Protocol):
    """One step, as lens, rectification, rotation, alignment and crop make it."""

    def apply(self, image: Image) -> Image:
        """Return the picture after the step."""

    def to_frame(self, points: ArrayLike) -> Points:
        """Move points back to the picture before the step."""

    def from_frame(self, points: ArrayLike) -> Points:
        """Move points of the picture before the step."""


@dataclass(frozen=True, slots=True)
class Crop:
    """Left, top, width and height that are kept."""

    box_xywh: tuple[int, int, int, int]

    def apply(self, image: Image) -> Image:
        """Return a view into the picture, (H, W) or (H, W, 3)."""
        x, y, w, h = self.box_xywh
        return image[y : y + h, x : x + w]

    def to_frame(self, points: ArrayLike) -> Points:
        """Move points of the cropped picture, (n, 2), back."""
        return as_points(points) + self.box_xywh[:2]

    def from_frame(self, points: ArrayLike) -> Points:
        """Move points, (n, 2), to the cropped picture."""
        return as_points(points) - self.box_xywh[:2]


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """What is inspected of one frame.

    Attributes:
        pixels_bgr: (H, W, 3) uint8; hidden pixels have the geometry's colour.
        seen: (H, W) bool, False where pixels are hidden; None where all are seen.
        steps: that made it of the frame.
        shown_bgr: `pixels_bgr` before any were hidden; None where none are.
    """

    pixels_bgr: Image
    seen: Inside | None = None
    steps: tuple[Step, ...] = ()
    shown_bgr: Image | None = None

    @property
    def size_wh(self) -> Size:
        """Width and height in pixels."""
        return size_of(self.pixels_bgr)

    @property
    def moves(self) -> bool:
        """Whether pixels lie elsewhere than in the frame."""
        return bool(self.steps)

    def to_frame(self, points: ArrayLike) -> Points:
        """Move points of the view, (n, 2), to the frame."""
        found = as_points(points)
        for step in reversed(self.steps):
            found = step.to_frame(found)
        return found

    def from_frame(self, points: ArrayLike) -> Points:
        """Move points of the frame, (n, 2), to the view."""
        found = as_points(points)
        for step in self.steps:
            found = step.from_frame(found)
        return found

    @property
    def seen_share(self) -> float:
        """Share of the view's pixels that are not hidden."""
        return 1.0 if self.seen is None else float(self.seen.mean())

    def hide(self, pixels_bgr: Image) -> Image:
        """Hide in another picture, of the view's size, what is hidden in this one."""
        if self.seen is None:
            return pixels_bgr
        return np.where(self.seen[..., None], pixels_bgr, self.pixels_bgr)

    def mask(self, marked: Inside) -> Inside:
        """Move a mask of the frame, (H, W) bool, to the view; hidden pixels are not marked."""
        levels = marked.astype(np.uint8) * np.uint8(255)
        for step in self.steps:
            levels = step.apply(levels)
        found = np.asarray(levels >= HALF * 255, np.bool_)
        return found if self.seen is None else found & self.seen

    def blank(self, view_map: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return a map over the view, (h, w), with 0 where pixels are hidden."""
        height, width = view_map.shape
        cells = self.seen_cells((height, width))
        return view_map if cells is None else np.where(cells, view_map, np.float32(0))

    def seen_cells(self, map_hw: tuple[int, int]) -> Inside | None:
        """Return which cells of a map over the view are seen, (h, w) bool; None if all are."""
        if self.seen is None:
            return None
        seen = self.seen.astype(np.float32)
        share = np.asarray(cv2.resize(seen, map_hw[::-1], interpolation=cv2.INTER_AREA), np.float32)
        return np.asarray(share >= HALF, np.bool_)


class ViewTransform:
    """Makes views of frames, by the geometry of a recipe and the camera's place.

    Args:
        geometry: None inspects the whole frame.
        place: its lens and rectification, if it has any, stand in for those of the geometry, which
            are those of the camera that took the pictures to train on.
    """

    def __init__(self, geometry: Geometry | None = None, place: Place | None = None):
        self._geometry = geometry or Geometry()
        self._hidden: dict[Size, tuple[Inside, Image, Image] | None] = {}
        measured: Place | Geometry = self._geometry
        if place is not None and place.moves:
            measured = place
        self._first: tuple[Lens | Rectification, ...] = tuple(
            step for step in (measured.lens, measured.rectification) if step is not None
        )

    def view(self, frame: Image) -> View:
        """Make the view of a frame, (H, W, 3) uint8 BGR, which is left as it is.

        Raises:
            FrameUnfit: the frame has another size than the geometry is made for, or the part is
                not found in it.
        """
        geometry, grey = self._geometry, plane_of(frame)
        # Every step takes one channel as well as three.
        image = frame if grey is None else grey
        steps: list[Step] = []

        def take(step: Step) -> None:
            nonlocal image
            image = step.apply(image)
            steps.append(step)

        for measured in self._first:
            take(measured)
        if geometry.rotate:
            take(Rotation(geometry.rotate, size_of(image)))
        if geometry.alignment is not None:
            take(geometry.alignment.find(image))
        if geometry.size_wh is not None:
            check_size(image, geometry.size_wh, "geometry")
        whole_wh = size_of(image)
        if geometry.region is not None:
            take(self._crop(whole_wh))
        image = image if grey is None else as_bgr(image)
        hidden = self._hidden_of(whole_wh)
        if hidden is None:
            return View(image, None, tuple(steps))
        seen, seen_levels, filled = hidden
        pixels = np.asarray(cv2.copyTo(solid(image), seen_levels, filled.copy()), np.uint8)
        return View(pixels, seen, tuple(steps), image)

    def _crop(self, size_wh: Size) -> Crop:
        region = self._geometry.region
        assert region is not None  # noqa: S101 - narrowing only
        try:
            box = region.box(size_wh)
        except ValueError as error:
            raise FrameUnfit(f"region: {error}") from None
        if min(box[2:]) < LEAST_SIDE:
            raise FrameUnfit(
                f"region: expected at least {LEAST_SIDE}x{LEAST_SIDE} pixels, found "
                f"{box[2]}x{box[3]}; draw it larger"
            )
        return Crop(box)

    def _hidden_of(self, whole_wh: Size) -> tuple[Inside, Image, Image] | None:
        """Return which pixels of the cropped view are seen, and a picture of the fill alone."""
        if not self._geometry.hides:
            return None
        if whole_wh not in self._hidden:
            if len(self._hidden) >= REMEMBERED:
                self._hidden.clear()
            self._hidden[whole_wh] = self._make_hidden(whole_wh)
        return self._hidden[whole_wh]

    def _make_hidden(self, whole_wh: Size) -> tuple[Inside, Image, Image]:
        geometry = self._geometry
        seen = np.ones(whole_wh[::-1], np.bool_)
        if geometry.region is not None:
            seen = geometry.region.inside(whole_wh)
        for mask in geometry.ignore:
            seen &= ~mask.inside(whole_wh)
        if geometry.region is not None:
            x, y, w, h = geometry.region.box(whole_wh)
            seen = np.ascontiguousarray(seen[y : y + h, x : x + w])
        if not seen.any():
            raise FrameUnfit("ignore: expected some pixels of the region to be inspected, all are "
                             "ignored; draw smaller masks")  # fmt: skip
        filled = np.empty((*seen.shape, 3), np.uint8)
        filled[:] = geometry.fill_bgr or (0, 0, 0)
        return seen, seen.astype(np.uint8), filled
