"""Anomaly map -> regions in source pixels."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.inspection.type_naming import Named, Namer
from edge.result import UNKNOWN_TYPE, Region

# A part with more regions than this is scrap; the strongest ones are enough.
MAX_REGIONS = 32
# Where all of a place is below the threshold, it reaches down to this share of its peak.
PEAK_SHARE = 0.7


def find_regions(
    anomaly_map: NDArray[np.float32],
    threshold: float,
    size_wh: tuple[int, int],
    mm_per_px: float | None = None,
    namer: Namer | None = None,
) -> tuple[Region, ...]:
    """Group connected pixels above `threshold` into regions, strongest first.

    Args:
        anomaly_map: (h, w) float32 covering the whole frame.
        threshold: map value from which a pixel belongs to a region.
        size_wh: frame size in pixels; all coordinates and areas refer to it.
        mm_per_px: scale of the frame, or None.
        namer: gives every region its type; None leaves all unknown.

    Returns:
        At most MAX_REGIONS regions, by falling peak. 8-connected, as in AUPRO.
    """
    mask = (anomaly_map > threshold).astype(np.uint8)
    count, labels, stats, centroids = cv2.connectedComponentsWithStats(mask, connectivity=8)
    if count == 1:
        return ()
    peaks = np.zeros(count, np.float32)
    np.maximum.at(peaks, labels[mask > 0], anomaly_map[mask > 0])
    strongest = np.argsort(-peaks[1:], kind="stable")[:MAX_REGIONS] + 1
    scale_xy = (size_wh[0] / anomaly_map.shape[1], size_wh[1] / anomaly_map.shape[0])
    return tuple(
        _region(
            anomaly_map, labels, int(i), stats[i], centroids[i], float(peaks[i]), scale_xy,
            mm_per_px, namer,
        )
        for i in strongest
    )  # fmt: skip


def whole_frame(
    anomaly_map: NDArray[np.float32],
    size_wh: tuple[int, int],
    mm_per_px: float | None = None,
    namer: Namer | None = None,
    seen_share: float = 1.0,
) -> Region:
    """Describe the whole frame as one region; arguments as in `find_regions`.

    `seen_share` of it is inspected. Its type is that of the place with the highest values.
    """
    width, height = size_wh
    area_px = width * height * seen_share
    named: Named | None = None
    if namer is not None:
        peak = float(anomaly_map.max())
        named = namer(np.where(anomaly_map >= peak - (1 - PEAK_SHARE) * abs(peak), anomaly_map, 0))
    return Region(
        bbox_xywh=(0, 0, width, height),
        polygon_xy=((0, 0), (width - 1, 0), (width - 1, height - 1), (0, height - 1)),
        area_px=area_px,
        area_mm2=None if mm_per_px is None else area_px * mm_per_px**2,
        centroid_xy=(width / 2, height / 2),
        peak=float(anomaly_map.max()),
        type=UNKNOWN_TYPE if named is None else named.type,
        type_score=None if named is None else named.score,
        false_alarm=None if named is None else named.false_alarm,
    )


def _region(
    anomaly_map: NDArray[np.float32],
    labels: NDArray[np.int32],
    label: int,
    stats: NDArray[np.int32],
    centroid: NDArray[np.float64],
    peak: float,
    scale_xy: tuple[float, float],
    mm_per_px: float | None,
    namer: Namer | None,
) -> Region:
    x, y, w, h, cells = (int(value) for value in stats)
    sx, sy = scale_xy
    cut = (labels[y : y + h, x : x + w] == label).astype(np.uint8)
    contours, _ = cv2.findContours(cut, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    outline = cv2.approxPolyDP(max(contours, key=len), 0.75, True)[:, 0, :]
    # Cell centres: half a cell in, so that the outline runs through the middle of border cells.
    polygon = tuple((round((x + px + 0.5) * sx), round((y + py + 0.5) * sy)) for px, py in outline)
    left, top = round(x * sx), round(y * sy)
    area_px = cells * sx * sy
    named = None if namer is None else namer(np.where(labels == label, anomaly_map, 0))
    return Region(
        bbox_xywh=(left, top, round((x + w) * sx) - left, round((y + h) * sy) - top),
        polygon_xy=polygon,
        area_px=area_px,
        area_mm2=None if mm_per_px is None else area_px * mm_per_px**2,
        centroid_xy=((float(centroid[0]) + 0.5) * sx, (float(centroid[1]) + 0.5) * sy),
        peak=peak,
        type=UNKNOWN_TYPE if named is None else named.type,
        type_score=None if named is None else named.score,
        false_alarm=None if named is None else named.false_alarm,
    )
