"""Activation ranges over calibration frames: min-max, entropy or percentile."""

from __future__ import annotations

import io
from collections.abc import Sequence
from contextlib import redirect_stdout

import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime.quantization.calibrate import HistogramCollector

from edge.errors import PrecisionError
from edge.toolchain.quantization.graph_runner import Runner
from edge.toolchain.quantization.settings import Calibrator

Range = tuple[float, float]

# ONNX Runtime's own defaults for the two histogram calibrators.
BINS = {"entropy": 128, "percentile": 2048}
QUANTIZED_BINS = 128


def activation_ranges(
    model: onnx.ModelProto,
    tensors: Sequence[str],
    frames: NDArray[np.uint8],
    calibrator: Calibrator = "minmax",
    percentile: float = 99.99,
    *,
    symmetric: bool = False,
) -> dict[str, Range]:
    """Lowest and highest value worth representing of each tensor.

    Frames pass one at a time: only histograms are kept.

    Args:
        model: holds the tensors.
        tensors: names of float tensors.
        frames: (n, H, W, 3) uint8 RGB network inputs of good parts.
        calibrator: what counts as worth it.
        percentile: share of values kept, for that calibrator.
        symmetric: percentiles are taken of absolute values.

    Raises:
        PrecisionError: there are no frames, or a tensor has values that are not finite.
    """
    if not len(frames):
        raise PrecisionError("expected calibration frames, got none")
    runner = Runner(model, tensors)
    if calibrator == "minmax":
        return _extremes(runner, frames)
    collector = HistogramCollector(
        method=calibrator,
        symmetric=symmetric,
        num_bins=BINS[calibrator],
        num_quantized_bins=QUANTIZED_BINS,
        percentile=percentile,
        scenario="same",
    )
    # It reports on stdout, which belongs to our own results.
    with redirect_stdout(io.StringIO()):
        for values in runner.each(frames):
            _check_finite(values)
            collector.collect(values)
        found = collector.compute_collection_result()
    return {name: (float(limits[0]), float(limits[1])) for name, limits in found.items()}


def _extremes(runner: Runner, frames: NDArray[np.uint8]) -> dict[str, Range]:
    ranges: dict[str, Range] = {}
    for values in runner.each(frames):
        _check_finite(values)
        for name, value in values.items():
            low, high = ranges.get(name, (np.inf, -np.inf))
            ranges[name] = (min(low, float(value.min())), max(high, float(value.max())))
    return ranges


def _check_finite(values: dict[str, NDArray[np.float32]]) -> None:
    for name, value in values.items():
        if not np.isfinite(value).all():
            raise PrecisionError(f"tensor {name}: not finite on a calibration frame")
