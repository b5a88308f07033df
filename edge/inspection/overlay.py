"""The annotated picture: frame, heat map, boxes and one line of verdict."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.grey_picture import solid
from edge.result import Inspection, Verdict

Image = NDArray[np.uint8]

COLOURS_BGR = {
    Verdict.PASS: (80, 175, 76),
    Verdict.FAIL: (54, 67, 244),
    Verdict.UNDECIDED: (7, 193, 255),
    Verdict.ERROR: (158, 158, 158),
}
VETOED_BGR = (158, 158, 158)
MIN_SIDE = 384
BAR = 26


def draw_overlay(
    pixels_bgr: Image, anomaly_map: NDArray[np.float32] | None, inspection: Inspection
) -> Image:
    """Draw frame and heat map side by side, (H', W', 3) uint8 BGR, with boxes and a verdict bar.

    The heat map is opaque from the threshold on and clear at half of it. Small frames are
    upsampled so that the text stays readable.
    """
    zoom = max(1, -(-MIN_SIDE // max(pixels_bgr.shape[:2])))
    frame = cv2.resize(solid(pixels_bgr), None, fx=zoom, fy=zoom, interpolation=cv2.INTER_NEAREST)
    heat = frame.copy()
    if anomaly_map is not None and inspection.threshold:
        heat = draw_heat(frame, anomaly_map, inspection.threshold)
    colour = COLOURS_BGR[inspection.verdict]
    for region in inspection.regions:
        x, y, w, h = (value * zoom for value in region.bbox_xywh)
        cv2.rectangle(frame, (x, y), (x + w, y + h), VETOED_BGR if region.vetoed else colour, 2)
    both = np.hstack([frame, heat])
    bar = np.full((BAR, both.shape[1], 3), 32, np.uint8)
    cv2.putText(bar, _caption(inspection), (6, 18), cv2.FONT_HERSHEY_SIMPLEX, 0.5, colour, 1, 16)
    return np.vstack([bar, both])


def draw_heat(frame: Image, anomaly_map: NDArray[np.float32], threshold: float) -> Image:
    """Blend the map into (H, W, 3) uint8 BGR: clear at half the threshold, opaque from it on."""
    size_wh = (frame.shape[1], frame.shape[0])
    relative = cv2.resize(anomaly_map, size_wh, interpolation=cv2.INTER_LINEAR) / threshold
    colours = cv2.applyColorMap(
        np.clip(relative * 127.5, 0, 255).astype(np.uint8), cv2.COLORMAP_INFERNO
    )
    weight = np.clip(2 * relative - 1, 0, 0.75)[..., None].astype(np.float32)
    return np.asarray(frame * (1 - weight) + colours * weight, dtype=np.uint8)


def _caption(inspection: Inspection) -> str:
    parts = [inspection.verdict.value.upper()]
    if inspection.score is not None and inspection.threshold is not None:
        parts.append(f"score {inspection.score:.3f} / {inspection.threshold:.3f}")
    types = sorted({region.type for region in inspection.upheld})
    if types:
        parts.append(", ".join(types))
    vetoed = len(inspection.regions) - len(inspection.upheld)
    if vetoed:
        parts.append(f"{vetoed} vetoed")
    if inspection.part is not None:
        parts.append(inspection.part.id)
    return "  ".join(parts)
