"""The one picture type that every stage shares."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from edge.trigger import Trigger

# The label of a part without defects, in folders, payloads and tables.
GOOD = "good"


@dataclass(frozen=True, slots=True)
class Part:
    """What is known of the part in front of the camera.

    `label` is the truth (`good` or a defect type), known only for replayed and simulated parts.
    """

    id: str
    id_source: str
    label: str | None = None


@dataclass(frozen=True, slots=True)
class Acquisition:
    """What the camera itself says of a capture; None where it does not say.

    Attributes:
        device_id: serial number of the camera.
        device_timestamp_ns: the camera's own clock at capture, nanoseconds.
        block_id: the camera's number of the frame.
        exposure_us: exposure time of this frame, microseconds.
        line_status: levels of the camera's input and output lines at capture, line 0 in bit 0.
        pixel_format: as the camera sent it, such as BayerRG8.
    """

    device_id: str | None = None
    device_timestamp_ns: int | None = None
    block_id: int | None = None
    exposure_us: float | None = None
    line_status: int | None = None
    pixel_format: str | None = None


@dataclass(frozen=True, slots=True)
class EarlierResult:
    """What was said of an archived frame when it was taken; the frame is judged again.

    Attributes:
        name: of the frame in the archive.
        verdict: pass, fail, undecided or error.
        captured_at: when it was taken; None where the archive's record of it is damaged.
        score: the image score, None without one.
        recipe: id and version.
    """

    name: str
    verdict: str
    captured_at: datetime | None = None
    score: float | None = None
    recipe: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One capture: either pixels, or the fault that took their place.

    Attributes:
        camera: name of the camera in the station file.
        frame_id: counts every frame the camera delivered, from 0, so that gaps show.
        captured_ns: monotonic clock at capture, nanoseconds; for durations only.
        captured_at: UTC wall clock at capture, timezone-aware.
        pixels_bgr: (H, W, 3) uint8, read-only; None when `fault` is set.
        fault: one line saying why there are no pixels (an unreadable file, a broken frame).
        part: identity and, for replays, truth of the part; None when the source knows neither.
        is_simulated: the picture was made up, not taken.
        is_repeat: a live camera has delivered the very same pixels before.
        acquisition: what the camera says of this capture; None when the source has no such words.
        earlier: the result of an archived frame; None for new ones.
        trigger: what it was taken for; None where every frame is a part.
        is_missing: no frame came for `trigger`, or for the part that another camera saw; `fault`
            says so, and `frame_id` is no new one.
        is_optional: a part whose picture by this camera did not come is judged by its other views.
        others: the other cameras' frames of the same part, in the order of the station file.
    """

    camera: str
    frame_id: int
    captured_ns: int
    captured_at: datetime
    pixels_bgr: NDArray[np.uint8] | None = field(repr=False)
    fault: str | None = None
    part: Part | None = None
    is_simulated: bool = False
    is_repeat: bool = False
    acquisition: Acquisition | None = None
    earlier: EarlierResult | None = None
    trigger: Trigger | None = None
    is_missing: bool = False
    is_optional: bool = False
    others: tuple[Frame, ...] = ()

    def __post_init__(self) -> None:
        if (self.pixels_bgr is None) == (self.fault is None):
            raise ValueError("frame: expected either pixels or a fault")
        if self.captured_at.tzinfo is None:
            raise ValueError("frame: captured_at needs a time zone")
        if self.pixels_bgr is not None:
            shape, dtype = self.pixels_bgr.shape, self.pixels_bgr.dtype
            if len(shape) != 3 or shape[2] != 3 or dtype != np.uint8 or 0 in shape:
                raise ValueError(f"frame: expected (H, W, 3) uint8, got {shape} {dtype}")
            self.pixels_bgr.flags.writeable = False

    @property
    def size_wh(self) -> tuple[int, int]:
        """Width and height in pixels; (0, 0) for a faulty frame."""
        if self.pixels_bgr is None:
            return (0, 0)
        return (self.pixels_bgr.shape[1], self.pixels_bgr.shape[0])
