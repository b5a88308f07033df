"""Round the weights of convolutions with regard to their inputs, instead of each to the nearest.

Rounding errors of a kernel's weights add up where its inputs are correlated. Weights are therefore
rounded one after the other, and the later ones compensate each error (GPTQ, Frantar et al. 2023, on
the covariance of the inputs over calibration frames). The remaining mean error goes into the bias
(Nagel et al. 2019, section 4.2). This matters most for depthwise kernels, whose few weights act on
similar values: there it divides the error by more than ten.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from edge.toolchain.quantization.graph import Graph, attribute
from edge.toolchain.quantization.graph_runner import Runner
from edge.toolchain.quantization.layers import Layer

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]

# Approximate number of positions used of a frame; neighbours are alike.
POSITIONS = 1024
# Share of the mean variance that is added to every input, so that constant inputs do no harm.
DAMPING = 1e-3


@dataclass(frozen=True, slots=True)
class Moments:
    """Moments of the inputs of a convolution's kernels.

    Attributes:
        mean: (G, K) for G groups of K = inputs per group x kernel size.
        covariance: (G, K, K).
    """

    mean: Doubles
    covariance: Doubles


@dataclass(frozen=True, slots=True)
class _Geometry:
    kernel: tuple[int, int]
    strides: tuple[int, int]
    pads: tuple[int, int, int, int]
    groups: int


def input_moments(
    model: onnx.ModelProto, layers: Sequence[Layer], frames: NDArray[np.uint8]
) -> dict[str, Moments]:
    """Moments of the inputs of all convolutions among `layers`, by node, over (n, H, W, 3) frames.

    Dilated convolutions are left out.
    """
    graph = Graph(model)
    nodes = {node.name: node for node in graph.nodes}
    chosen = {}
    for layer in layers:
        geometry = _geometry(graph, nodes[layer.node]) if layer.op == "Conv" else None
        if geometry is not None:
            chosen[layer.node] = (layer.input, geometry)
    sums: dict[str, tuple[int, Doubles, Doubles]] = {}
    runner = Runner(model, list(dict.fromkeys(tensor for tensor, _ in chosen.values())))
    for values in runner.each(frames):
        for node, (tensor, geometry) in chosen.items():
            # In double precision: the covariance is a small difference of large sums.
            seen = _patches(values[tensor], geometry).astype(np.float64)
            count, first, second = sums.get(node, (0, np.zeros(()), np.zeros(())))
            second = second + seen.transpose(0, 2, 1) @ seen
            sums[node] = (count + seen.shape[1], first + seen.sum(1), second)
    return {node: _moments(*entry) for node, entry in sums.items()}


def round_weight(weight: Floats, scales: Floats, moments: Moments, largest: int) -> Floats:
    """Integers, as floats, of a (O, I, h, w) weight, one scale per output; at most +-`largest`."""
    groups, size = moments.mean.shape
    rest = weight.reshape(groups, -1, size).astype(np.float64)
    steps = scales.reshape(groups, -1).astype(np.float64)
    values = np.zeros_like(rest)
    shares = _error_shares(moments.covariance)
    for k in range(size):
        values[:, :, k] = np.rint(rest[:, :, k] / steps).clip(-largest, largest)
        error = (rest[:, :, k] - values[:, :, k] * steps) / shares[:, k, k, None]
        rest[:, :, k:] -= error[:, :, None] * shares[:, None, k, k:]
    return values.reshape(weight.shape).astype(np.float32)


def mean_error(weight: Floats, rounded: Floats, moments: Moments) -> Floats:
    """Return the mean error of each output after rounding, (O,)."""
    groups, size = moments.mean.shape
    error = (rounded - weight).reshape(groups, -1, size)
    return np.einsum("gok,gk->go", error, moments.mean).ravel().astype(np.float32)


def _error_shares(covariance: Doubles) -> Doubles:
    """Upper Cholesky factor of the inverse: how an error in one input is shared by later ones."""
    size = covariance.shape[-1]
    damping = np.trace(covariance, axis1=1, axis2=2) / size * DAMPING + 1e-9
    damped = covariance + damping[:, None, None] * np.eye(size)
    return np.linalg.cholesky(np.linalg.inv(damped)).transpose(0, 2, 1)


def _moments(count: int, first: Doubles, second: Doubles) -> Moments:
    mean = first / count
    return Moments(mean, second / count - mean[:, :, None] * mean[:, None, :])


def _geometry(graph: Graph, node: onnx.NodeProto) -> _Geometry | None:
    kernel = graph.constant(node.input[1]).shape[2:]
    one = [1] * len(kernel)
    if len(kernel) != 2 or list(attribute(node, "dilations", one)) != one:
        return None
    strides, pads = attribute(node, "strides", one), attribute(node, "pads", [0, 0, 0, 0])
    return _Geometry(tuple(kernel), tuple(strides), tuple(pads), int(attribute(node, "group", 1)))


def _patches(values: Floats, geometry: _Geometry) -> Floats:
    """Cut (1, C, H, W) into the inputs of kernels, (G, positions, K)."""
    top, left, bottom, right = geometry.pads
    padded = np.pad(values[0], ((0, 0), (top, bottom), (left, right)))
    windows = sliding_window_view(padded, geometry.kernel, (1, 2))
    windows = windows[:, :: geometry.strides[0], :: geometry.strides[1]]
    step = max(1, int((windows.shape[1] * windows.shape[2] / POSITIONS) ** 0.5))
    windows = windows[:, ::step, ::step]
    channels, height, width, *_ = windows.shape
    per_group = windows.reshape(geometry.groups, channels // geometry.groups, height * width, -1)
    return per_group.transpose(0, 2, 1, 3).reshape(geometry.groups, height * width, -1)
