"""Anomaly map on the patch grid -> the few boxes that a region stage looks at (MAVIS, section 5).

Deterministic and without weights. Coarser than edge.inspection.regions, which outlines what the
line reports; here boxes are made for a network that sees patches.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

MAX_ROIS = 4
# Quantiles of the cells of good parts.
LOW_QUANTILE, HIGH_QUANTILE = 0.995, 0.9995
PADDING = 1
SCORED_SHARE = 0.25
LARGEST_IOU = 0.5


@dataclass(frozen=True, slots=True)
class Rois:
    """Regions of interest of one picture, best first; R of them, 0 included.

    Attributes:
        boxes_xyxy: (R, 4) float32 in 0..1 of the picture, padded by one cell.
        scores: (R,) float32.
        cells: (R, h, w) bool, without the padding.
    """

    boxes_xyxy: NDArray[np.float32]
    scores: NDArray[np.float32]
    cells: NDArray[np.bool_]


def roi_limits(maps: NDArray[np.float32]) -> tuple[float, float]:
    """Low and high limit from maps (n, h, w) of good parts held out of training."""
    low, high = np.quantile(maps, (LOW_QUANTILE, HIGH_QUANTILE))
    return float(low), float(high)


def select_rois(anomaly_map: NDArray[np.float32], limits: tuple[float, float]) -> Rois:
    """Box the 8-connected cells above the low limit.

    A single cell counts only above the high limit. A box scores the mean of its highest quarter of
    cells times the root of their number; of boxes that overlap by more than half, the best stays.

    Args:
        anomaly_map: (h, w) float32.
        limits: from `roi_limits`.
    """
    height, width = anomaly_map.shape
    low, high = limits
    count, labels, stats, _ = cv2.connectedComponentsWithStats(
        (anomaly_map > low).astype(np.uint8), connectivity=8
    )
    found: list[tuple[float, NDArray[np.float32], NDArray[np.bool_]]] = []
    for label in range(1, count):
        cells = labels == label
        values = np.sort(anomaly_map[cells])[::-1]
        if len(values) == 1 and values[0] <= high:
            continue
        best = values[: max(1, round(SCORED_SHARE * len(values)))]
        x, y, w, h = (int(value) for value in stats[label][:4])
        box = np.array(
            [
                max(0, x - PADDING) / width,
                max(0, y - PADDING) / height,
                min(width, x + w + PADDING) / width,
                min(height, y + h + PADDING) / height,
            ],
            np.float32,
        )
        found.append((float(best.mean()) * len(values) ** 0.5, box, cells))
    kept: list[tuple[float, NDArray[np.float32], NDArray[np.bool_]]] = []
    for item in sorted(found, key=lambda item: -item[0]):
        if all(iou(item[1], other[1]) <= LARGEST_IOU for other in kept):
            kept.append(item)
    kept = kept[:MAX_ROIS]
    return Rois(
        np.array([box for _, box, _ in kept], np.float32).reshape(-1, 4),
        np.array([score for score, _, _ in kept], np.float32),
        np.array([cells for _, _, cells in kept], np.bool_).reshape(-1, height, width),
    )


def iou(one_xyxy: NDArray[np.float32], other_xyxy: NDArray[np.float32]) -> float:
    """Intersection over union of two boxes."""
    corner = np.maximum(one_xyxy[:2], other_xyxy[:2])
    size = np.clip(np.minimum(one_xyxy[2:], other_xyxy[2:]) - corner, 0, None)
    common = float(size.prod())
    areas = [float((box[2:] - box[:2]).prod()) for box in (one_xyxy, other_xyxy)]
    return common / max(sum(areas) - common, 1e-12)
