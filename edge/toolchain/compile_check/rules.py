"""Compare the layers of a built engine with its graph.

The types of a graph set the precision of each product. The builder may still take another one, or
leave an attention unfused, without an error.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

import onnx

from edge.toolchain.compile_check.layer_report import EngineLayer
from edge.toolchain.quantization.graph import Graph, element_types

PRODUCTS = frozenset({"Conv", "ConvTranspose", "MatMul", "Gemm"})
CONVERSIONS = frozenset({"Cast", "QuantizeLinear", "DequantizeLinear"})
# Between the scores of an attention and their softmax.
SCALINGS = frozenset({"Add", "Div", "Mul"})
_ENGINE_TYPE: dict[int, str] = {onnx.TensorProto.FLOAT: "Float", onnx.TensorProto.FLOAT16: "Half"}


@dataclass(frozen=True, slots=True)
class Examined:
    """Outcome of comparing an engine's layers with its graph.

    Attributes:
        layers: of the engine.
        attentions: softmax attentions in the graph; `fused`: those that are one layer.
        int8: products with quantized inputs in the graph; `as_int8`: those computed in INT8.
        problems: one line each; empty if the engine fits its graph.
    """

    layers: int
    attentions: int
    fused: int
    int8: int
    as_int8: int
    problems: tuple[str, ...]


def examine(model: onnx.ModelProto, layers: Iterable[EngineLayer]) -> Examined:
    """Compare an engine with its graph.

    Attention in half precision must be fused, products with quantized inputs must be INT8 layers,
    and no product that the graph has in half or INT8 may read FP32 alone.
    """
    layers = tuple(layers)
    graph = Graph(model)
    types = element_types(graph.model)
    attentions = dict(_attentions(graph, types))
    fused = {name for layer in layers if layer.is_fused_attention for name in layer.sources}
    products = {
        node.name: _wanted_type(graph, node, types)
        for node in graph.nodes
        if node.op_type in PRODUCTS
    }
    int8 = {name for name, wanted in products.items() if wanted == "Int8"}
    as_int8 = {
        name for layer in layers if "Int8" in layer.input_types for name in layer.sources & int8
    }
    problems = [
        f"{name}: attention in half precision, not fused"
        for name, is_half in attentions.items()
        if is_half and name not in fused
    ]
    problems += [f"{name}: quantized, not an INT8 layer" for name in sorted(int8 - as_int8)]
    problems += _stray_floats(layers, products)
    return Examined(
        layers=len(layers),
        attentions=len(attentions),
        fused=len(fused & set(attentions)),
        int8=len(int8),
        as_int8=len(as_int8),
        problems=tuple(problems),
    )


def _stray_floats(layers: Iterable[EngineLayer], products: dict[str, str]) -> list[str]:
    return [
        f"{layer.name}: reads FP32, the graph has {name} in {products[name]}"
        for layer in layers
        if layer.is_product and layer.input_types == {"Float"}
        for name in sorted(layer.sources & set(products))
        if products[name] != "Float"
    ]


def _attentions(graph: Graph, types: dict[str, int]) -> Iterator[tuple[str, bool]]:
    """Name of each softmax between two products, and whether those are in half precision."""
    for node in graph.nodes:
        if node.op_type != "Softmax":
            continue
        scores = _producer_of(graph, node.input[0], CONVERSIONS | SCALINGS)
        readers = {reader.op_type for reader in _readers(graph, node.output[0])}
        if scores is not None and scores.op_type == "MatMul" and "MatMul" in readers:
            yield node.name, types[scores.input[0]] == onnx.TensorProto.FLOAT16


def _wanted_type(graph: Graph, node: onnx.NodeProto, types: dict[str, int]) -> str:
    producers = [_producer_of(graph, name, {"Cast"}) for name in node.input[:2]]
    if all(
        producer is not None and producer.op_type == "DequantizeLinear" for producer in producers
    ):
        return "Int8"
    return _ENGINE_TYPE[types[node.input[0]]]


def _producer_of(graph: Graph, name: str, skipped: AbstractSet[str]) -> onnx.NodeProto | None:
    """Return the node that a tensor comes from, behind nodes that only convert it."""
    producer = graph.producer(name)
    while producer is not None and producer.op_type in skipped:
        producer = graph.producer(producer.input[0])
    return producer


def _readers(graph: Graph, name: str) -> Iterator[onnx.NodeProto]:
    """Nodes that a tensor goes to, behind nodes that only convert it."""
    for reader in graph.readers(name):
        if reader.op_type in CONVERSIONS:
            yield from _readers(graph, reader.output[0])
        else:
            yield reader
