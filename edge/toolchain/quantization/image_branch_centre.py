"""Correct the centre of the image branch for the shift that quantization causes.

The image branch measures the distance between a frame's mean features and those of good frames, in
units of the scatter among good frames (see image_statistics.py). Quantization shifts every
channel's mean by a constant. The shift is small against the features, but a quarter of that unit.
It raises the branch's distances far more than the map, so that no constant at the end of the graph
corrects both.
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


class CentreCorrection:
    """Shifts the centre by the change of the mean features, if there is an image branch.

    Args:
        reference: the FP32 graph.
        frames: (n, H, W, 3) uint8 RGB network inputs of good parts.
    """

    def __init__(self, reference: onnx.ModelProto, frames: NDArray[np.uint8]):
        self._frames = frames
        self._mean = _mean_features(reference, frames)

    def apply(self, quantized: onnx.ModelProto) -> onnx.ModelProto:
        """Return a copy of a quantized graph with a corrected centre."""
        mean = None if self._mean is None else _mean_features(quantized, self._frames)
        if mean is None:
            return quantized
        corrected = onnx.ModelProto()
        corrected.CopyFrom(quantized)
        for entry in corrected.graph.initializer:
            if entry.name == CENTRE:
                centre = numpy_helper.to_array(entry) + (mean - self._mean)
                entry.CopyFrom(numpy_helper.from_array(centre.astype(np.float32), CENTRE))
        return corrected


def _mean_features(model: onnx.ModelProto, frames: NDArray[np.uint8]) -> NDArray[Any] | None:
    """Return the mean over frames of the tensor that CENTRE is subtracted from; None without it."""
    readers: Sequence[onnx.NodeProto] = [
        node for node in model.graph.node if node.op_type == "Sub" and CENTRE in node.input
    ]
    if not readers:
        return None
    name = readers[0].input[0]
    features = [outputs[name].reshape(-1) for outputs in Runner(model, [name]).each(frames)]
    return np.asarray(np.mean(features, axis=0, dtype=np.float64))
