"""Choose the nodes that stay in FP32 when a graph goes to half precision."""

from __future__ import annotations

import numpy as np
import onnx

from edge.toolchain.quantization.graph import Graph

HALF_MAX = 65504.0
HALF_LEAST_NORMAL = 2.0**-14

# Sums of many squares exceed the range of half precision; what follows a norm needs its digits.
ALWAYS = frozenset(
    {
        "LayerNormalization", "Softmax", "LpNormalization", "Pow", "Sqrt", "Reciprocal",
        "ReduceL2", "ReduceMean", "ReduceSum", "ReduceSumSquare", "TopK",
    }
)  # fmt: skip
NORMS = frozenset({"ReduceL2", "Sqrt", "Reciprocal"})
# The normalisation of the frame ends at weights, or at their dequantized input.
WEIGHTED = frozenset({"Conv", "Gemm", "MatMul", "DequantizeLinear"})


def single_precision_nodes(graph: Graph) -> set[str]:
    """Return the names of these nodes: sums, norms, both ends, and users of extreme constants."""
    kept = _before_weights(graph) | _scoring(graph)
    for node in graph.nodes:
        producers = {producer.op_type for name in node.input if (producer := graph.producer(name))}
        is_scaled = node.op_type in {"Div", "Mul"} and producers & NORMS
        if node.op_type in ALWAYS or is_scaled or _has_extreme_constant(graph, node):
            kept.add(node.name)
    return kept


def _before_weights(graph: Graph) -> set[str]:
    """Nodes between the frame and the first weights, whose mean and deviation need FP32."""
    kept: set[str] = set()
    reached = set(graph.inputs)
    for node in graph.nodes:
        given = [name for name in node.input if name and not graph.is_constant(name)]
        if given and node.op_type not in WEIGHTED and reached.issuperset(given):
            kept.add(node.name)
            reached.update(node.output)
    return kept


def _scoring(graph: Graph) -> set[str]:
    """Nodes between the network's last layers and the outputs.

    Distances are differences of nearly equal numbers: of features and their reconstruction, of a
    cosine and 1. Walking up from the outputs, the network begins at a convolution, a layer with a
    bias, or a sum of two of its tensors.
    """
    kept: set[str] = set()
    pending = [graph.producer(name) for name in graph.outputs]
    while pending:
        node = pending.pop()
        if node is None or node.name in kept or _is_network(graph, node):
            continue
        kept.add(node.name)
        pending += [graph.producer(name) for name in node.input]
    return kept


def _is_network(graph: Graph, node: onnx.NodeProto) -> bool:
    if node.op_type in {"LayerNormalization", "Gelu", "Relu", "Clip", "Softmax", "Gemm"}:
        # Clip and Relu without weights before them limit distances.
        return node.op_type not in {"Clip", "Relu"} or _follows_weights(graph, node)
    if node.op_type == "Conv":
        return _size(graph, node.input[1]) > 1
    if node.op_type == "Add":
        return all(not graph.is_constant(name) or _size(graph, name) > 1 for name in node.input)
    return False


def _follows_weights(graph: Graph, node: onnx.NodeProto) -> bool:
    producer = graph.producer(node.input[0])
    return producer is not None and producer.op_type in {"Conv", "Gemm"}


def _size(graph: Graph, name: str) -> int:
    """Length of a constant's first side, or number of its values if it is a vector."""
    while not graph.is_constant(name):
        producer = graph.producer(name)
        if producer is None or producer.op_type not in {"DequantizeLinear", "QuantizeLinear"}:
            return 0
        name = producer.input[0]
    shape = graph.constant(name).shape
    return shape[0] if shape else 1


def _has_extreme_constant(graph: Graph, node: onnx.NodeProto) -> bool:
    """Return whether half precision would make a constant infinite, or all of it zero."""
    for name in node.input:
        if not graph.is_constant(name):
            continue
        values = graph.constant(name)
        if values.dtype != np.float32 or not values.size:
            continue
        largest = float(np.abs(values).max())
        if largest > HALF_MAX or 0 < largest < HALF_LEAST_NORMAL:
            return True
    return False
