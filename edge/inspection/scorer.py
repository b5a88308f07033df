"""Frame -> map and score: pre-processing and engine, tile by tile."""

from __future__ import annotations

import math
from dataclasses import dataclass
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from edge.bundle.frame_limits import FrameQuality
from edge.bundle.manifest import GraphFile, Recipe
from edge.engines.protocol import Engine
from edge.errors import InferenceError
from edge.inspection.frame_quality import grey_statistics, quality_problem
from edge.inspection.preprocess import tile_boxes, to_network, views


@dataclass(frozen=True, slots=True)
class Scored:
    """Map, score and type logits of one frame.

    Attributes:
        map: (h, w) float32 over the whole frame; overwritten by the next frame.
        score: the worst tile's.
        quality_problem: why the frame looks wrong, or None.
        type_logits: (1 + types, h', w') float32 over the whole frame, row 0 normal; None when the
            graph names no types.
        preprocess_ms, infer_ms: time spent.
    """

    map: NDArray[np.float32]
    score: float
    quality_problem: str | None
    preprocess_ms: float
    infer_ms: float
    type_logits: NDArray[np.float32] | None = None


class FrameScorer:
    """Applies a recipe and runs its graph; buffers are allocated once."""

    def __init__(self, engine: Engine, recipe: Recipe, graph: GraphFile):
        self._engine = engine
        self._recipe = recipe
        self._input = graph.inputs[0].name
        self._frame = np.zeros(graph.inputs[0].shape, np.uint8)

    def score(self, pixels_bgr: NDArray[np.uint8]) -> Scored:
        """Score one frame, (H, W, 3) uint8 BGR of any size.

        Raises:
            InferenceError: the engine failed or returned values that are not finite.
        """
        recipe = self._recipe
        if recipe.tiles_wh == (1, 1):
            anomaly_map, view = self._score_view(pixels_bgr)
            scored, logits = [view], view.type_logits
        else:
            tiles = views(pixels_bgr, recipe.tiles_wh, recipe.overlap)
            results = [self._score_view(tile, copy=True) for tile in tiles]
            scored = [view for _, view in results]
            frame_wh = (pixels_bgr.shape[1], pixels_bgr.shape[0])
            boxes = tile_boxes(frame_wh, recipe.tiles_wh, recipe.overlap)
            anomaly_map = stitch([tile_map for tile_map, _ in results], boxes, frame_wh)
            grids = [view.type_logits for view in scored if view.type_logits is not None]
            logits = stitch_logits(grids, boxes, frame_wh) if grids else None
        greys = [view.grey for view in scored if view.grey is not None]
        return Scored(
            map=anomaly_map,
            score=max(view.score for view in scored),
            quality_problem=_quality_problem(greys, recipe.frame_quality),
            preprocess_ms=sum(view.preprocess_ms for view in scored),
            infer_ms=sum(view.infer_ms for view in scored),
            type_logits=logits,
        )

    def _score_view(
        self, pixels_bgr: NDArray[np.uint8], copy: bool = False
    ) -> tuple[NDArray[np.float32], _View]:
        start = perf_counter()
        to_network(pixels_bgr, self._recipe.size_wh, self._frame[0])
        grey = grey_statistics(self._frame[0]) if self._recipe.frame_quality else None
        ready = perf_counter()
        outputs = self._engine.run({self._input: self._frame})
        done = perf_counter()
        anomaly_map, score = outputs["map"][0], float(outputs["score"][0])
        if not (math.isfinite(score) and math.isfinite(float(anomaly_map.sum()))):
            raise InferenceError("engine: score or map is not finite; rebuild the engine")
        logits = outputs["type_logits"][0] if "type_logits" in outputs else None
        if logits is not None and not np.isfinite(logits).all():
            raise InferenceError("engine: type logits are not finite; rebuild the engine")
        if copy:
            anomaly_map = anomaly_map.copy()
            logits = None if logits is None else logits.copy()
        view = _View(score, grey, (ready - start) * 1e3, (done - ready) * 1e3, logits)
        return anomaly_map, view


@dataclass(frozen=True, slots=True)
class _View:
    """One tile's numbers."""

    score: float
    grey: tuple[float, float] | None
    preprocess_ms: float
    infer_ms: float
    type_logits: NDArray[np.float32] | None


def _quality_problem(greys: list[tuple[float, float]], accepted: FrameQuality | None) -> str | None:
    """Say what is wrong with the grey mean and deviation of a frame, the mean of its tiles'."""
    if accepted is None:
        return None
    mean, deviation = (sum(values) / len(values) for values in zip(*greys, strict=True))
    return quality_problem((mean, deviation), accepted)


def stitch(
    maps: list[NDArray[np.float32]],
    boxes: tuple[tuple[int, int, int, int], ...],
    frame_wh: tuple[int, int],
) -> NDArray[np.float32]:
    """Join tile maps (h, w) into one map of the frame; where tiles overlap the higher value holds.

    Args:
        maps: one per box, all of one shape.
        boxes: x, y, width, height in frame pixels, all of one size.
        frame_wh: frame size in pixels.
    """
    height, width = maps[0].shape
    sx, sy = width / boxes[0][2], height / boxes[0][3]
    whole = np.full((round(frame_wh[1] * sy), round(frame_wh[0] * sx)), -np.inf, np.float32)
    for tile, (x, y, _, _) in zip(maps, boxes, strict=True):
        top = min(round(y * sy), whole.shape[0] - height)
        left = min(round(x * sx), whole.shape[1] - width)
        part = whole[top : top + height, left : left + width]
        np.maximum(part, tile, out=part)
    return whole


def stitch_logits(
    logits: list[NDArray[np.float32]],
    boxes: tuple[tuple[int, int, int, int], ...],
    frame_wh: tuple[int, int],
) -> NDArray[np.float32]:
    """Join type logits (1 + types, h, w) of tiles into those of the frame; their mean on overlaps.

    Arguments as in `stitch`. A region that reaches over a seam is then named by all of its cells.
    """
    rows, height, width = logits[0].shape
    sx, sy = width / boxes[0][2], height / boxes[0][3]
    whole = np.zeros((rows, round(frame_wh[1] * sy), round(frame_wh[0] * sx)), np.float32)
    count = np.zeros(whole.shape[1:], np.float32)
    for tile, (x, y, _, _) in zip(logits, boxes, strict=True):
        top = min(round(y * sy), whole.shape[1] - height)
        left = min(round(x * sx), whole.shape[2] - width)
        whole[:, top : top + height, left : left + width] += tile
        count[top : top + height, left : left + width] += 1
    return np.asarray(whole / np.maximum(count, 1), np.float32)
