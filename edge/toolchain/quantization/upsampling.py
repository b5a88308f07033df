"""Upsample coarse features by a matrix product whose result is tokens.

INT8 convolutions leave their outputs channels-last. There a Resize of floats takes several times as
long as in FP32, and the transpose of its result to tokens as long again. Bilinear interpolation is
linear: it is one small product of the coarse tokens with interpolation weights, one row for every
place of the fine grid. The weights include the divisor behind the interpolation.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray

from edge.toolchain.quantization.graph import Graph, attribute, make_node, tensor_shapes

Doubles = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class _Chain:
    """Resize, Reshape to (1, C, N), Transpose to (1, N, C), division by one number."""

    nodes: tuple[onnx.NodeProto, ...]
    divisor: float

    @property
    def source(self) -> str:
        return self.nodes[0].input[0]

    @property
    def output(self) -> str:
        return self.nodes[-1].output[0]


def upsample_by_matmul(graph: Graph) -> None:
    """Replace every Resize to tokens; the result is equal up to the rounding of FP32."""
    shapes = tensor_shapes(graph.model)
    made: list[onnx.NodeProto] = []
    replaced: set[str] = set()
    for node in graph.nodes:
        chain = _chain(graph, node)
        if chain is None:
            continue
        _, channels, *coarse = shapes[chain.source]
        fine = shapes[node.output[0]][2:]
        rows, columns = (interpolation(a, b) for a, b in zip(coarse, fine, strict=True))
        weights = np.asarray(np.kron(rows, columns) / chain.divisor, np.float32)
        made += _product(graph, chain, (channels, weights.shape[1]), weights)
        replaced |= {part.name for part in chain.nodes}
    if made:
        graph.rewrite([*(node for node in graph.nodes if node.name not in replaced), *made])


def interpolation(coarse: int, fine: int) -> Doubles:
    """Return (fine, coarse) weights of linear interpolation at pixel centres, borders repeated."""
    places = (np.arange(fine) + 0.5) * coarse / fine - 0.5
    left = np.floor(places).astype(int)
    share = places - left
    weights = np.zeros((fine, coarse))
    for shift, part in ((0, 1 - share), (1, share)):
        np.add.at(weights, (np.arange(fine), (left + shift).clip(0, coarse - 1)), part)
    return weights


def _product(
    graph: Graph, chain: _Chain, shape: tuple[int, int], weights: NDArray[np.float32]
) -> list[onnx.NodeProto]:
    name = chain.source
    flat, tokens = graph.new_name(f"{name}_flat"), graph.new_name(f"{name}_tokens")
    sides = graph.add_constant(f"{name}_sides", np.array([1, *shape], np.int64))
    kernel = graph.add_constant(f"{name}_interpolation", weights)
    return [
        make_node("Reshape", [name, sides], flat),
        make_node("Transpose", [flat], tokens, perm=[0, 2, 1]),
        make_node("MatMul", [kernel, tokens], chain.output),
    ]


def _chain(graph: Graph, resize: onnx.NodeProto) -> _Chain | None:
    nodes = [resize]
    for op in ("Resize", "Reshape", "Transpose", "Div"):
        if nodes[-1].op_type != op:
            return None
        if op != "Div":
            reader = graph.only_reader(nodes[-1].output[0])
            if reader is None:
                return None
            nodes.append(reader)
    divisor = nodes[-1].input[1]
    is_plain = (
        attribute(resize, "mode", b"nearest") == b"linear"
        and attribute(resize, "coordinate_transformation_mode", b"half_pixel")
        in {b"half_pixel", b"pytorch_half_pixel"}
        and not attribute(resize, "antialias", 0)
        and attribute(nodes[2], "perm") == [0, 2, 1]
        and graph.is_constant(divisor)
        and graph.constant(divisor).size == 1
    )
    return _Chain(tuple(nodes), float(graph.constant(divisor).ravel()[0])) if is_plain else None
