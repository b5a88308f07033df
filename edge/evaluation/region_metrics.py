"""Where the line points, against where the defects are.

A region *hits* a defect, an 8-connected component of the mask, when their IoU is at least 0.1 or
the region's centre lies inside the component; a region that hits none is a false alarm. The centre
of the region, not of the defect: else one region over the whole part would find everything.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.result import Region

LEAST_IOU = 0.1


@dataclass(frozen=True, slots=True)
class Overlap:
    """One part: which of its regions hit a defect, and how many of its defects were hit."""

    hits: tuple[bool, ...]
    found: int
    defects: int


@dataclass(frozen=True, slots=True)
class RegionMetrics:
    """Regions of a whole test set; NaN where it has no such parts.

    Attributes:
        recall: share of the defects that a region hits; parts that pass have no regions.
        false_alarms_good: regions per good part, passed ones included.
        false_alarms_defective: regions that hit no defect, per defective part with a mask.
        type_accuracy: share of the regions on a defect that bear the part's label.
    """

    recall: float
    false_alarms_good: float
    false_alarms_defective: float
    type_accuracy: float


@dataclass(frozen=True, slots=True)
class Located:
    """What `region_metrics` needs of a part; `overlap` is None without a mask."""

    label: str
    is_good: bool
    regions: tuple[Region, ...]
    overlap: Overlap | None


def overlap(regions: Sequence[Region], mask: NDArray[np.bool_]) -> Overlap:
    """Match the regions of a part with its defects; several may hit one.

    Args:
        regions: in pixels of the frame.
        mask: (H, W) bool at the size of the frame.
    """
    count, labels, stats, _ = cv2.connectedComponentsWithStats(
        mask.astype(np.uint8), connectivity=8
    )
    found: set[int] = set()
    hits = []
    for region in regions:
        hit = _hit(region, labels, stats[:, cv2.CC_STAT_AREA])
        hits.append(bool(hit))
        found |= hit
    return Overlap(tuple(hits), len(found), count - 1)


def region_metrics(parts: Sequence[Located]) -> RegionMetrics:
    """Measure where the regions of a test set lie."""
    matched = [(part, part.overlap) for part in parts if part.overlap is not None]
    alarms = [len(part.regions) for part in parts if part.is_good]
    named = [
        region.type == part.label
        for part, match in matched
        for region, hit in zip(part.regions, match.hits, strict=True)
        if hit
    ]
    defects = sum(match.defects for _, match in matched)
    return RegionMetrics(
        recall=sum(match.found for _, match in matched) / defects if defects else float("nan"),
        false_alarms_good=_mean(alarms),
        false_alarms_defective=_mean([match.hits.count(False) for _, match in matched]),
        type_accuracy=_mean(named),
    )


def _hit(region: Region, labels: NDArray[np.int32], areas: NDArray[np.int32]) -> set[int]:
    """Components that a region hits; `areas` has one entry per component, background first."""
    height, width = labels.shape
    # Outlines run through cell centres and may end one pixel beyond the frame.
    polygon = np.clip(np.array(region.polygon_xy, np.int32), 0, (width - 1, height - 1))
    x, y, w, h = cv2.boundingRect(polygon)
    inside = np.zeros((h, w), np.uint8)
    cv2.fillPoly(inside, [polygon - (x, y)], 1)
    common = np.bincount(labels[y : y + h, x : x + w][inside > 0], minlength=len(areas))
    iou = common / (np.count_nonzero(inside) + areas - common)
    hit = {int(i) for i in np.flatnonzero(iou >= LEAST_IOU)}
    column, row = (min(int(c), n - 1) for c, n in zip(region.centroid_xy, (width, height)))
    return (hit | {int(labels[row, column])}) - {0}


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else float("nan")
