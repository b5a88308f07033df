"""Labelled regions: what the anomaly map shows of known defects, as one mean token each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from edge.data.frames import Image, InputShape, network_inputs
from edge.data.image_set import Sample, read_mask, read_view
from edge.inspection.regions import PEAK_SHARE
from edge.inspection.type_naming import grid_weights
from edge.methods.inp_former.detector import Detector

Level = NDArray[np.float32]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Regions:
    """Mean tokens of regions.

    Attributes:
        tokens: (n, C) float32.
        labels: n folder names, `good` for the most conspicuous places of good parts.
        groups: n physical parts, "product/part".
    """

    tokens: NDArray[np.float32]
    labels: tuple[str, ...]
    groups: tuple[str, ...]


@torch.no_grad()
def labelled_regions(
    detector: Detector,
    samples: Sequence[tuple[str, Sample]],
    threshold: float,
    advance: Callable[[int], None],
) -> Regions:
    """Pool the tokens of every sample's defect, in every orientation; (product, sample) pairs.

    A good part gives the place where its map is highest. `threshold` is the map value from which
    the line calls a pixel defective.
    """
    shape = InputShape(detector.settings.size_wh)
    tokens: list[NDArray[np.float32]] = []
    labels: list[str] = []
    groups: list[str] = []
    for product, sample in samples:
        pixels = network_inputs(read_view(sample).pixels_bgr, shape)[0]
        mask = read_mask(sample, shape.size_wh)
        for frame, turned in _orientations(pixels, mask):
            found = detector.extract(torch.from_numpy(np.ascontiguousarray(frame))[None])
            judged = detector.judge(detector.branch_maps(found))
            level = defect_level(
                judged.map[0].numpy(), None if sample.is_good else turned, threshold
            )
            weights = grid_weights(level, detector.features.grid_hw).reshape(-1)
            tokens.append(weights @ torch.cat(found, -1)[0].numpy())
            labels.append(sample.label)
            groups.append(f"{product}/{sample.group}")
        advance(1)
    return Regions(np.stack(tokens).astype(np.float32), tuple(labels), tuple(groups))


def defect_level(anomaly_map: Level, mask: Mask | None, threshold: float) -> Level:
    """Cut the region of a known defect out of the map as the line would: (h, w), 0 outside.

    The region holds the highest pixel under the mask (H, W); without a mask, that of the map.
    Where nothing under the mask is above 0, the mask itself is the region.
    """
    height, width = anomaly_map.shape
    inside = np.ones_like(anomaly_map, np.bool_)
    if mask is not None:
        share = cv2.resize(mask.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA)
        inside = share > 0
    if not inside.any():  # a mask smaller than anything that survives at the network's size
        inside = np.ones_like(anomaly_map, np.bool_)
    masked = np.where(inside, anomaly_map, -np.inf)
    place = np.unravel_index(int(masked.argmax()), masked.shape)
    peak = float(anomaly_map[place])
    if peak <= 0:
        return inside.astype(np.float32)
    above = (anomaly_map > min(threshold, PEAK_SHARE * peak)).astype(np.uint8)
    _, parts = cv2.connectedComponents(above, connectivity=8)
    return np.where(parts == parts[place], anomaly_map, 0).astype(np.float32)


def _orientations(pixels: Image, mask: Mask) -> Iterator[tuple[Image, Mask]]:
    """Mirror images and, of square pictures, quarter turns: a defect is named alike in all."""
    turns = range(4) if pixels.shape[0] == pixels.shape[1] else (0, 2)
    for quarter in turns:
        turned, cut = np.rot90(pixels, quarter), np.rot90(mask, quarter)
        yield turned, cut
        yield turned[:, ::-1], cut[:, ::-1]
