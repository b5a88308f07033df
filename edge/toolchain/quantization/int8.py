"""Make an INT8 graph of an FP32 graph and calibration frames."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import onnx

from edge.toolchain.quantization.bias_correction import subtract_bias
from edge.toolchain.quantization.image_branch_centre import CentreCorrection
from edge.toolchain.quantization.quantize import Frames, calibrate, quantized_graph
from edge.toolchain.quantization.sensitivity import SensitivityReport, choose_layers
from edge.toolchain.quantization.settings import Int8Settings


@dataclass(frozen=True, slots=True)
class QuantizedModel:
    """An INT8 graph and the report of its sensitivity analysis."""

    model: onnx.ModelProto
    report: SensitivityReport


def quantize(
    model: onnx.ModelProto,
    frames: Frames,
    settings: Int8Settings,
    threshold: float,
    probes: Frames | None = None,
    fresh: Frames | None = None,
    tiles: int = 1,
    advance: Callable[[int], None] = lambda _: None,
) -> QuantizedModel:
    """Quantize all layers but the most sensitive ones, and subtract the bias from map and score.

    The centre of the image branch is corrected first.

    Args:
        model: FP32; one uint8 input (1, H, W, 3); outputs map and score, or type_logits.
        frames: (n, H, W, 3) uint8 RGB network inputs of good parts, never of a test set.
        settings: of the quantization.
        threshold: of the score.
        probes: more, which have to pass the parity gate: the golden ones, which may show defects.
        fresh: more good parts, which the calibration does not use. They give the bias, since
            weights are rounded to suit `frames`. None takes `frames`.
        tiles: of a picture, one after the other in `probes`; the gate judges pictures.
        advance: called with 1 as layers are measured.

    Raises:
        PrecisionError: the limit cannot be kept, or the graph does not run on the frames.
    """
    calibration = calibrate(model, frames, settings)
    good = frames if fresh is None else np.concatenate([frames, fresh])
    centre = CentreCorrection(calibration.model, good)
    layers, report = choose_layers(
        calibration, frames, threshold, probes, fresh, tiles, centre, advance
    )
    quantized = centre.apply(quantized_graph(calibration, layers))
    return QuantizedModel(
        subtract_bias(quantized, report.bias) if report.bias else quantized, report
    )
