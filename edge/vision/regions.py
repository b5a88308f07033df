"""Anomaly map -> regions in source pixels."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.result import UNKNOWN_TYPE, Region

# Below this share of the types' evidence a region stays unknown.
LEAST_TYPE_SCORE = 0.5
# A part with more regions than this is scrap; the strongest ones say enough.
MAX_REGIONS = 32


class TypeMaps(NamedTuple):
    """Where which defect type is likely.

    Attributes:
        names: of the types.
        probabilities: (types, h, w) float32 at the size of the anomaly map.
    """

    names: tuple[str, ...]
    probabilities: NDArray[np.float32]


def type_maps(
    logits: NDArray[np.float32], names: tuple[str, ...], size_wh: tuple[int, int]
) -> TypeMaps:
    """Bring type logits (1 + types, h', w'), row 0 normal, to probabilities at the map's size."""
    shifted = np.exp(logits - logits.max(0))
    probabilities = shifted[1:] / shifted.sum(0)
    enlarged = [cv2.resize(p, size_wh, interpolation=cv2.INTER_LINEAR) for p in probabilities]
    return TypeMaps(names, np.stack(enlarged).astype(np.float32))


def find_regions(
    anomaly_map: NDArray[np.float32],
    threshold: float,
    size_wh: tuple[int, int],
    mm_per_px: float | None = None,
    types: TypeMaps | None = None,
) -> tuple[Region, ...]:
    """Group connected pixels above `threshold` into regions, strongest first.

    Args:
        anomaly_map: (h, w) float32 covering the whole frame.
        threshold: map value from which a pixel belongs to a region.
        size_wh: frame size in pixels; all coordinates and areas refer to it.
        mm_per_px: scale of the frame, or None.
        types: what gives every region its type; None leaves all unknown.

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
        _region(labels, int(i), stats[i], centroids[i], float(peaks[i]), scale_xy, mm_per_px, types)
        for i in strongest
    )


def whole_frame(
    anomaly_map: NDArray[np.float32], size_wh: tuple[int, int], mm_per_px: float | None = None
) -> Region:
    """Describe the whole frame as one region; arguments as in `find_regions`."""
    width, height = size_wh
    area_px = float(width * height)
    return Region(
        bbox_xywh=(0, 0, width, height),
        polygon_xy=((0, 0), (width - 1, 0), (width - 1, height - 1), (0, height - 1)),
        area_px=area_px,
        area_mm2=None if mm_per_px is None else area_px * mm_per_px**2,
        centroid_xy=(width / 2, height / 2),
        peak=float(anomaly_map.max()),
    )


def _region(
    labels: NDArray[np.int32],
    label: int,
    stats: NDArray[np.int32],
    centroid: NDArray[np.float64],
    peak: float,
    scale_xy: tuple[float, float],
    mm_per_px: float | None,
    types: TypeMaps | None,
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
    name, score = (UNKNOWN_TYPE, None) if types is None else _type_of(types, x, y, cut > 0)
    return Region(
        bbox_xywh=(left, top, round((x + w) * sx) - left, round((y + h) * sy) - top),
        polygon_xy=polygon,
        area_px=area_px,
        area_mm2=None if mm_per_px is None else area_px * mm_per_px**2,
        centroid_xy=((float(centroid[0]) + 0.5) * sx, (float(centroid[1]) + 0.5) * sy),
        peak=peak,
        type=name,
        type_score=score,
    )


def _type_of(types: TypeMaps, x: int, y: int, cut: NDArray[np.bool_]) -> tuple[str, float]:
    """Type with the largest sum of probabilities inside a region (MultiADS spec, section 7)."""
    height, width = cut.shape
    sums = types.probabilities[:, y : y + height, x : x + width][:, cut].sum(1)
    best = int(sums.argmax())
    score = float(sums[best] / max(float(sums.sum()), 1e-9))
    return (types.names[best] if score >= LEAST_TYPE_SCORE else UNKNOWN_TYPE), score
