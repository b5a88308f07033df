"""FP32 graph and calibration frames -> INT8 graph with quantise/dequantise nodes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import onnx

from edge.toolchain.quantization.bias_correction import subtract_bias
from edge.toolchain.quantization.image_branch_centre import PooledCentre
from edge.toolchain.quantization.quantize import Frames, calibrate, quantised_graph
from edge.toolchain.quantization.sensitivity import SensitivityReport, choose_layers
from edge.toolchain.quantization.settings import Int8Settings


@dataclass(frozen=True, slots=True)
class Quantised:
    """An INT8 graph and why it is as it is."""

    model: onnx.ModelProto
    report: SensitivityReport


def quantise(
    model: onnx.ModelProto,
    frames: Frames,
    settings: Int8Settings,
    threshold: float,
    probes: Frames | None = None,
    fresh: Frames | None = None,
    tiles: int = 1,
    advance: Callable[[int], None] = lambda _: None,
) -> Quantised:
    """Quantise all layers but those that hurt, and take off what that adds to map and score.

    The image branch is brought to what the coded graph pools first.

    Args:
        model: FP32; one uint8 input (1, H, W, 3); outputs map and score, or type_logits.
        frames: (n, H, W, 3) uint8 RGB network inputs of good parts, never of a test set.
        settings: how.
        threshold: of the score.
        probes: more, which have to pass the parity gate: the golden ones; may show defects.
        fresh: more good parts, that codes are not fitted to: they tell the bias, since the rounding
            suits `frames` better than any other. None takes `frames`.
        tiles: of a picture, one after the other in `probes`; the gate judges pictures.
        advance: called with 1 as layers are measured.

    Raises:
        PrecisionError: the limit cannot be kept, or the graph does not run on the frames.
    """
    calibration = calibrate(model, frames, settings)
    good = frames if fresh is None else np.concatenate([frames, fresh])
    centre = PooledCentre(calibration.model, good)
    layers, report = choose_layers(
        calibration, frames, threshold, probes, fresh, tiles, centre, advance
    )
    coded = centre.moved(quantised_graph(calibration, layers))
    return Quantised(subtract_bias(coded, report.bias) if report.bias else coded, report)
