"""Measure how much each layer in 8 bits changes the outputs, and choose which stay float."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import onnx

from edge.errors import PrecisionError
from edge.toolchain.quantization.bias_correction import score_bias, without_bias
from edge.toolchain.quantization.graph_runner import Arrays, Runner
from edge.toolchain.quantization.image_branch_centre import CentreCorrection
from edge.toolchain.quantization.layers import Layer
from edge.toolchain.quantization.output_differences import (
    OutputDifference,
    output_difference,
    unit_of,
)
from edge.toolchain.quantization.quantize import Calibration, Frames, quantized_graph

# Frames on which layers are measured one by one. All layers together are measured on all frames.
LAYER_FRAMES = 12


@dataclass(frozen=True, slots=True)
class LayerSensitivity:
    """Differences that one layer makes when it alone is in 8 bits."""

    label: str
    op: str
    difference: OutputDifference
    is_excluded: bool


@dataclass(frozen=True, slots=True)
class SensitivityReport:
    """Result of the measurement: `every` has all layers in 8 bits, `chosen` all but the excluded.

    `shift` of a difference is the bias. Everything else is measured after the bias was subtracted
    from map and score, see bias_correction.py. `frames` are good parts; the last `fresh` of them
    were not used for calibration. These give the bias, or all frames do if there are none.
    """

    form: str
    frames: int
    fresh: int
    probes: int
    threshold: float
    limit: float
    every: OutputDifference
    chosen: OutputDifference
    layers: tuple[LayerSensitivity, ...]

    @property
    def excluded(self) -> tuple[str, ...]:
        """Labels of the layers that stay float."""
        return tuple(layer.label for layer in self.layers if layer.is_excluded)

    @property
    def bias(self) -> float:
        """What the chosen layers add to scores of good parts, in the unit of the score."""
        return self.chosen.shift * unit_of(self.threshold)

    def as_markdown(self) -> str:
        """Return a table of all layers, worst first, below the two totals."""
        worst = sorted(self.layers, key=lambda layer: -layer.difference.error)
        rows = [
            ("all layers", "", self.every, ""),
            ("without the excluded", "", self.chosen, ""),
            *((x.label, x.op, x.difference, "float" if x.is_excluded else "") for x in worst),
        ]
        summary = (
            f"INT8 ({self.form}) against FP32 on {self.frames} frames and {self.probes} probes; "
            f"scores and types may be off by {self.limit:g}. Unit of map and score is the "
            f"threshold, {self.threshold:.4g}. The bias is the mean difference of the scores on "
            f"{self.fresh or self.frames} of the frames; it is taken off map and score before all "
            "else is measured."
        )
        lines = [
            summary,
            "",
            "| layer | op | map error | worst score | bias | correlation | types | flips | |",
            "|---|---|---|---|---|---|---|---|---|",
        ]
        for label, op, found, note in rows:
            lines.append(
                f"| {label} | {op} | {found.error:.4f} | {found.score:.4f} | {found.shift:+.4f} "
                f"| {found.correlation:.4f} | {found.types:.4f} | {found.flips} | {note} |"
            )
        return "\n".join(lines) + "\n"


def choose_layers(
    calibration: Calibration,
    frames: Frames,
    threshold: float,
    probes: Frames | None = None,
    fresh: Frames | None = None,
    tiles: int = 1,
    centre: CentreCorrection | None = None,
    advance: Callable[[int], None] = lambda _: None,
) -> tuple[tuple[Layer, ...], SensitivityReport]:
    """Exclude the worst layers until all frames keep the limit and the probes pass the gate.

    Args:
        calibration: of the graph and all layers that could be quantized.
        frames: (n, H, W, 3) uint8 RGB network inputs to judge by. One may stand at the threshold,
            where any rounding flips its verdict.
        threshold: of the score.
        probes: more of them, which have to pass the parity gate: their verdicts may not flip.
        fresh: more good parts, which the calibration has not seen. They give the bias.
        tiles: of a picture, one after the other in `probes`.
        centre: correction of the image branch's centre.
        advance: called with 1 after each layer; there are `len(calibration.layers)`.

    Raises:
        PrecisionError: it does not suffice to exclude half of the layers.
    """
    few = _Comparison(calibration, threshold, frames[:LAYER_FRAMES])
    alone = []
    for layer in calibration.layers:
        alone.append(few.difference((layer,)))
        advance(1)
    order = sorted(range(len(alone)), key=lambda index: -alone[index].error)
    comparison = _Comparison(calibration, threshold, frames, fresh, probes, tiles, centre)
    every = comparison.difference(calibration.layers)
    excluded, chosen = _leave_out(calibration, comparison, every, order)
    report = SensitivityReport(
        form=calibration.settings.form,
        frames=len(frames) + _count(fresh),
        fresh=_count(fresh),
        probes=_count(probes),
        threshold=threshold,
        limit=calibration.settings.limit,
        every=every,
        chosen=chosen,
        layers=tuple(
            LayerSensitivity(layer.label, layer.op, difference, index in excluded)
            for index, (layer, difference) in enumerate(zip(calibration.layers, alone, strict=True))
        ),
    )
    return _without(calibration.layers, excluded), report


def _leave_out(
    calibration: Calibration, comparison: _Comparison, every: OutputDifference, order: Sequence[int]
) -> tuple[set[int], OutputDifference]:
    """Exclude as few layers as necessary, from the front of `order`."""
    limit = calibration.settings.limit
    excluded: set[int] = set()
    chosen = every
    # Written so that NaN exceeds the limit.
    while not (chosen.score <= limit and chosen.types <= limit and not chosen.refusal):
        if 2 * len(excluded) >= len(order):
            probes = chosen.refusal or "within the parity gate"
            raise PrecisionError(
                f"INT8 ({calibration.settings.form}): with {len(excluded)} of {len(order)} layers "
                f"left in float a score is still off by a share of {chosen.score:.2f}, a "
                f"type by {chosen.types:.2f} (limit {limit:g}); golden pictures: {probes}; "
                "calibrate on more frames, or stay with FP16"
            )
        excluded.add(order[len(excluded)])
        chosen = comparison.difference(_without(calibration.layers, excluded))
    return excluded, chosen


class _Comparison:
    """Compares quantized graphs, without their bias, with the FP32 graph on the same frames."""

    def __init__(
        self,
        calibration: Calibration,
        threshold: float,
        frames: Frames,
        fresh: Frames | None = None,
        probes: Frames | None = None,
        tiles: int = 1,
        centre: CentreCorrection | None = None,
    ):
        self._calibration, self._threshold = calibration, threshold
        self._tiles, self._centre = tiles, centre
        self._probes = _count(probes)
        good = len(frames) + _count(fresh)
        self._bias_frames = slice(good - (_count(fresh) or good), good)
        kinds = (frames, fresh, probes)
        self._frames = np.concatenate([kind for kind in kinds if kind is not None])
        self._reference = self._outputs(calibration.model)

    def difference(self, layers: tuple[Layer, ...]) -> OutputDifference:
        quantized = quantized_graph(self._calibration, layers)
        candidate = self._outputs(
            quantized if self._centre is None else self._centre.apply(quantized)
        )
        bias = score_bias(self._reference[self._bias_frames], candidate[self._bias_frames])
        lowered = [without_bias(outputs, bias) for outputs in candidate]
        found = output_difference(
            self._reference, lowered, self._threshold, self._probes, self._tiles
        )
        return replace(found, shift=bias / unit_of(self._threshold))

    def _outputs(self, model: onnx.ModelProto) -> list[Arrays]:
        return list(Runner(model).each(self._frames))


def _without(layers: tuple[Layer, ...], excluded: set[int]) -> tuple[Layer, ...]:
    return tuple(layer for index, layer in enumerate(layers) if index not in excluded)


def _count(frames: Frames | None) -> int:
    return 0 if frames is None else len(frames)
