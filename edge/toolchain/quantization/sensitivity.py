"""Which layers hurt in 8 bits: measured one by one, on what the graph says of frames."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import onnx

from edge.errors import PrecisionError
from edge.toolchain.quantization.bias_correction import score_bias, without_bias
from edge.toolchain.quantization.graph_runner import Arrays, Runner
from edge.toolchain.quantization.image_branch_centre import PooledCentre
from edge.toolchain.quantization.layers import Layer
from edge.toolchain.quantization.output_differences import Effect, effect_of, unit_of
from edge.toolchain.quantization.quantize import Calibration, Frames, quantised_graph

# Frames on which layers are measured one by one; their sum is measured on all.
LAYER_FRAMES = 12


@dataclass(frozen=True, slots=True)
class LayerEffect:
    """What one layer does when it alone is in 8 bits."""

    label: str
    op: str
    effect: Effect
    is_excluded: bool


@dataclass(frozen=True, slots=True)
class SensitivityReport:
    """Outcome of the pass: `every` is with all layers in 8 bits, `chosen` without the excluded.

    `shift` of every effect is the bias; all else is measured after it was taken off map and score,
    see bias_correction.py. `frames` are good parts, the last `fresh` of them those that
    nothing was fitted to: they give the bias, or all do where there are none.
    """

    form: str
    frames: int
    fresh: int
    probes: int
    threshold: float
    limit: float
    every: Effect
    chosen: Effect
    layers: tuple[LayerEffect, ...]

    @property
    def excluded(self) -> tuple[str, ...]:
        """Labels of the layers that stay float."""
        return tuple(layer.label for layer in self.layers if layer.is_excluded)

    @property
    def bias(self) -> float:
        """What the chosen layers add to scores of good parts, in the unit of the score."""
        return self.chosen.shift * unit_of(self.threshold)

    def as_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)

    def as_markdown(self) -> str:
        """A table of all layers, worst first, under the two sums."""
        worst = sorted(self.layers, key=lambda layer: -layer.effect.error)
        rows = [
            ("all layers", "", self.every, ""),
            ("without the excluded", "", self.chosen, ""),
            *((x.label, x.op, x.effect, "float" if x.is_excluded else "") for x in worst),
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
        for label, op, effect, note in rows:
            lines.append(
                f"| {label} | {op} | {effect.error:.4f} | {effect.score:.4f} | {effect.shift:+.4f} "
                f"| {effect.correlation:.4f} | {effect.types:.4f} | {effect.flips} | {note} |"
            )
        return "\n".join(lines) + "\n"


def choose_layers(
    calibration: Calibration,
    frames: Frames,
    threshold: float,
    probes: Frames | None = None,
    fresh: Frames | None = None,
    tiles: int = 1,
    centre: PooledCentre | None = None,
    advance: Callable[[int], None] = lambda _: None,
) -> tuple[tuple[Layer, ...], SensitivityReport]:
    """Leave the layers out that hurt most, until all keep the limit and probes pass the gate.

    Args:
        calibration: of the graph and all layers that could be quantised.
        frames: (n, H, W, 3) uint8 RGB network inputs to judge by. One may stand at the threshold,
            where any rounding turns its verdict.
        threshold: of the score.
        probes: more of them, which have to pass the parity gate: their verdicts may not turn.
        fresh: more good parts, which the calibration has not seen: they give the bias.
        tiles: of a picture, one after the other in `probes`.
        centre: brings that of the image branch to what a coded graph pools.
        advance: called with 1 after each layer; there are `len(calibration.layers)`.

    Raises:
        PrecisionError: half of the layers left out do not help.
    """
    some = _Judge(calibration, threshold, frames[:LAYER_FRAMES])
    alone = []
    for layer in calibration.layers:
        alone.append(some.effect((layer,)))
        advance(1)
    order = sorted(range(len(alone)), key=lambda index: -alone[index].error)
    judge = _Judge(calibration, threshold, frames, fresh, probes, tiles, centre)
    every = judge.effect(calibration.layers)
    excluded, chosen = _leave_out(calibration, judge, every, order)
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
            LayerEffect(layer.label, layer.op, effect, index in excluded)
            for index, (layer, effect) in enumerate(zip(calibration.layers, alone, strict=True))
        ),
    )
    return _without(calibration.layers, excluded), report


def _leave_out(
    calibration: Calibration, judge: _Judge, every: Effect, order: Sequence[int]
) -> tuple[set[int], Effect]:
    """Leave out as few of the layers in `order` as it takes, from its front."""
    limit = calibration.settings.limit
    excluded: set[int] = set()
    chosen = every
    # Written so that values that are not numbers keep no limit.
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
        chosen = judge.effect(_without(calibration.layers, excluded))
    return excluded, chosen


class _Judge:
    """Measures quantised graphs, without their bias, against the FP32 graph on the same frames."""

    def __init__(
        self,
        calibration: Calibration,
        threshold: float,
        frames: Frames,
        fresh: Frames | None = None,
        probes: Frames | None = None,
        tiles: int = 1,
        centre: PooledCentre | None = None,
    ):
        self._calibration, self._threshold = calibration, threshold
        self._tiles, self._centre = tiles, centre
        self._probes = _count(probes)
        good = len(frames) + _count(fresh)
        # The frames that give the bias.
        self._level = slice(good - (_count(fresh) or good), good)
        kinds = (frames, fresh, probes)
        self._frames = np.concatenate([kind for kind in kinds if kind is not None])
        self._reference = self._outputs(calibration.model)

    def effect(self, layers: tuple[Layer, ...]) -> Effect:
        coded = quantised_graph(self._calibration, layers)
        candidate = self._outputs(coded if self._centre is None else self._centre.moved(coded))
        bias = score_bias(self._reference[self._level], candidate[self._level])
        lowered = [without_bias(outputs, bias) for outputs in candidate]
        effect = effect_of(self._reference, lowered, self._threshold, self._probes, self._tiles)
        return replace(effect, shift=bias / unit_of(self._threshold))

    def _outputs(self, model: onnx.ModelProto) -> list[Arrays]:
        return list(Runner(model).each(self._frames))


def _without(layers: tuple[Layer, ...], excluded: set[int]) -> tuple[Layer, ...]:
    return tuple(layer for index, layer in enumerate(layers) if index not in excluded)


def _count(frames: Frames | None) -> int:
    return 0 if frames is None else len(frames)
