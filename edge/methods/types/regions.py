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
from edge.data.masks import shrink
from edge.inspection.preprocess import views
from edge.inspection.regions import PEAK_SHARE
from edge.inspection.type_naming import grid_weights
from edge.methods.inp_former.detector import Detector
from edge.methods.inp_former.unmarked_defects import GOOD_QUANTILE

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


@dataclass(frozen=True, slots=True)
class _Seen:
    """One network input in one orientation: its map (h, w) and its tokens (N, C)."""

    map: Level
    tokens: NDArray[np.float32]


@torch.no_grad()
def labelled_regions(
    detector: Detector,
    samples: Sequence[tuple[str, Sample]],
    shape: InputShape,
    threshold: float,
    advance: Callable[[int], None],
) -> Regions:
    """Pool the tokens of every sample's defect, in every orientation; (product, sample) pairs.

    A defect gives a region of every network input that shows half as much of it as the best one.
    Without a mask it is the place where the map is highest, if that is clearly above what the good
    parts of all products show, else none. A good part gives the place where its map is highest.
    `threshold` is the map value from which the line calls a pixel defective.
    """
    good = [pair for pair in samples if pair[1].is_good]
    found: list[tuple[NDArray[np.float32], str, str]] = []
    peaks: list[float] = []
    for product, sample in (*good, *(pair for pair in samples if not pair[1].is_good)):
        least = float(np.quantile(peaks, GOOD_QUANTILE)) if peaks else -np.inf
        inputs, masks = _inputs(sample, shape)
        upright = [_see(detector, pixels) for pixels in inputs]
        if sample.is_good:
            peaks.append(max(float(seen.map.max()) for seen in upright))
        for index in _showing(upright, masks, least=-np.inf if sample.is_good else least):
            mask = None if masks is None else masks[index]
            for turned, cut in _orientations(inputs[index], mask):
                seen = _see(detector, turned)
                level = defect_level(seen.map, cut, threshold)
                weights = grid_weights(level, detector.features.grid_hw).reshape(-1)
                found.append((weights @ seen.tokens, sample.label, f"{product}/{sample.group}"))
        advance(1)
    channels = sum(detector.features.channels)
    tokens = np.array([each[0] for each in found], np.float32).reshape(len(found), channels)
    return Regions(tokens, tuple(each[1] for each in found), tuple(each[2] for each in found))


def _inputs(sample: Sample, shape: InputShape) -> tuple[NDArray[np.uint8], list[Mask] | None]:
    """Network inputs (t, H, W, 3) of a sample and their masks; None without a mask."""
    pixels = read_view(sample).pixels_bgr
    inputs = network_inputs(pixels, shape)
    if sample.mask is None:
        return inputs, None
    if shape.tiles == 1:
        return inputs, [read_mask(sample, shape.size_wh)]
    whole = read_mask(sample, (pixels.shape[1], pixels.shape[0]))
    tiles = views(whole[..., None].astype(np.uint8), shape.tiles_wh, shape.overlap)
    return inputs, [shrink(tile[..., 0] > 0, shape.size_wh) for tile in tiles]


def _showing(upright: Sequence[_Seen], masks: Sequence[Mask] | None, least: float) -> list[int]:
    """Which network inputs of a picture show its defect, or what comes nearest to one."""
    if masks is not None:
        shown = [np.count_nonzero(mask) for mask in masks]
        return [index for index, count in enumerate(shown) if 2 * count >= max(1, *shown)]
    peaks = [float(seen.map.max()) for seen in upright]
    return [int(np.argmax(peaks))] if max(peaks) > least else []


def _see(detector: Detector, pixels: Image) -> _Seen:
    groups = detector.extract(torch.from_numpy(np.ascontiguousarray(pixels))[None])
    judged = detector.judge(detector.branch_maps(groups))
    return _Seen(judged.map[0].numpy(), torch.cat(groups, -1)[0].numpy())


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


def _orientations(pixels: Image, mask: Mask | None) -> Iterator[tuple[Image, Mask | None]]:
    """Mirror images and, of square pictures, quarter turns: a defect is named alike in all."""
    turns = range(4) if pixels.shape[0] == pixels.shape[1] else (0, 2)
    for quarter in turns:
        turned = np.rot90(pixels, quarter)
        cut = None if mask is None else np.rot90(mask, quarter)
        yield turned, cut
        yield turned[:, ::-1], None if cut is None else cut[:, ::-1]
