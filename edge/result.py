"""What an inspection says about a part: verdict, reason, regions, numbers and times."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Literal

from edge.frame import Part


class Verdict(str, Enum):
    """The four outcomes; the numbers are ResultEvaluation of OPC 40001-101."""

    PASS = "pass"
    FAIL = "fail"
    UNDECIDED = "undecided"
    ERROR = "error"

    @property
    def evaluation(self) -> int:
        """OK 1, NotOK 2, NotDecidable 3, Undefined 0."""
        return {"pass": 1, "fail": 2, "undecided": 3, "error": 0}[self.value]


VERDICTS = tuple(verdict.value for verdict in Verdict)


class Reason(str, Enum):
    """Why a verdict is what it is."""

    SCORE_BELOW_THRESHOLD = "score_below_threshold"
    SCORE_ABOVE_THRESHOLD = "score_above_threshold"
    REGIONS_VETOED = "regions_vetoed"
    WITHIN_TYPE_THRESHOLD = "within_type_threshold"
    IN_UNCERTAINTY_BAND = "in_uncertainty_band"
    IMAGE_QUALITY = "image_quality"
    REPEATED_FRAME = "repeated_frame"
    OVERRUN = "overrun"
    CAMERA_ERROR = "camera_error"
    ENGINE_ERROR = "engine_error"
    NO_FRAME = "no_frame"
    NOT_JUDGED = "not_judged"


UNKNOWN_TYPE = "unknown"
# How the type logits inside a region become its type, see edge.inspection.type_naming.
TypeEvidence = Literal["summed", "pooled"]


@dataclass(frozen=True, slots=True)
class Region:
    """Connected pixels above the map threshold, in pixels of the source frame, origin top left.

    Attributes:
        bbox_xywh: left, top, width, height.
        polygon_xy: outer contour, at least three points unless the region is thinner.
        area_px: area in source pixels.
        area_mm2: area in square millimetres; None without a scale.
        centroid_xy: centre of mass.
        peak: highest map value inside.
        type: defect type, `unknown` when none convinces.
        type_score: confidence in the type, 0..1; None when no type was asked for.
        false_alarm: probability that the place is normal after all, 0..1; None as above.
        vetoed: set aside as a false alarm, see edge.inspection.veto.
        threshold: of its type, where that has one of its own, see edge.inspection.type_thresholds.
    """

    bbox_xywh: tuple[int, int, int, int]
    polygon_xy: tuple[tuple[int, int], ...]
    area_px: float
    area_mm2: float | None
    centroid_xy: tuple[float, float]
    peak: float
    type: str = UNKNOWN_TYPE
    type_score: float | None = None
    false_alarm: float | None = None
    vetoed: bool = False
    threshold: float | None = None


@dataclass(frozen=True, slots=True)
class StageTimes:
    """Durations in milliseconds; `waiting` is the time between capture and the first stage."""

    waiting_ms: float = 0.0
    preprocess_ms: float = 0.0
    infer_ms: float = 0.0
    postprocess_ms: float = 0.0

    @property
    def processing_ms(self) -> float:
        """Everything after the wait."""
        return self.preprocess_ms + self.infer_ms + self.postprocess_ms

    @property
    def total_ms(self) -> float:
        """Capture to verdict."""
        return self.waiting_ms + self.processing_ms


@dataclass(frozen=True, slots=True)
class Inspection:
    """The whole record of one part, before it gets a sequence number.

    `score`, `threshold` and `p_value` are None when no score was computed. `threshold` is the one
    that decides; `threshold_type` names the defect type whose own one it is. `p_value` is the
    conformal p-value: (1 + calibration scores at least as high) / (1 + calibration scores), where
    every score, or every part of several scores, counts once.
    `is_replayed`: the frame came from an archive.
    """

    verdict: Verdict
    reason: Reason
    detail: str
    camera: str
    frame_id: int
    captured_at: datetime
    ended_at: datetime
    size_wh: tuple[int, int]
    times: StageTimes
    score: float | None = None
    threshold: float | None = None
    p_value: float | None = None
    regions: tuple[Region, ...] = ()
    mm_per_px: float | None = None
    threshold_type: str | None = None
    part: Part | None = None
    is_simulated: bool = False
    is_replayed: bool = False

    @property
    def upheld(self) -> tuple[Region, ...]:
        """Regions that no veto has set aside."""
        return tuple(region for region in self.regions if not region.vetoed)
