"""Bring the centre of the image branch to where the INT8 graph pools good parts.

That branch measures how far a frame's pooled features are from those of good frames, in units of
how little good frames differ (see image_statistics.py). Quantization moves every channel's mean
a little, always the same way: small against the features, but a quarter of that unit. Its distances
rise with it, far more than the map does, so that no constant at the end of the graph serves both.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from edge.toolchain.quantization.graph_runner import Runner

# The constant's name in an exported edge.methods.inp_former.detector.Detector.
CENTRE = "image.centre"


class PooledCentre:
    """What the FP32 graph pools of good frames, on average; nothing without an image branch."""

    def __init__(self, reference: onnx.ModelProto, frames: NDArray[np.uint8]):
        self._frames = frames
        self._pooled = _mean_pooled(reference, frames)

    def moved(self, coded: onnx.ModelProto) -> onnx.ModelProto:
        """Return a coded graph whose centre is off by as much as what it pools."""
        pooled = None if self._pooled is None else _mean_pooled(coded, self._frames)
        if pooled is None:
            return coded
        moved = onnx.ModelProto()
        moved.CopyFrom(coded)
        for entry in moved.graph.initializer:
            if entry.name == CENTRE:
                centre = numpy_helper.to_array(entry) + (pooled - self._pooled)
                entry.CopyFrom(numpy_helper.from_array(centre.astype(np.float32), CENTRE))
        return moved


def _mean_pooled(model: onnx.ModelProto, frames: NDArray[np.uint8]) -> NDArray[Any] | None:
    """Mean over frames of what CENTRE is subtracted from; None without it."""
    readers: Sequence[onnx.NodeProto] = [
        node for node in model.graph.node if node.op_type == "Sub" and CENTRE in node.input
    ]
    if not readers:
        return None
    name = readers[0].input[0]
    pooled = [outputs[name].reshape(-1) for outputs in Runner(model, [name]).each(frames)]
    return np.asarray(np.mean(pooled, axis=0, dtype=np.float64))
