"""Transpose a frame's bytes instead of its floats.

Models cast `frame` to float and then transpose it to NCHW, since TensorRT takes uint8 as an input
only and computes nothing with it. An INT8 graph for CPUs reads the bytes, so they are transposed.
"""

from __future__ import annotations

from edge.toolchain.quantization.graph import Graph


def transpose_bytes(graph: Graph) -> None:
    """Exchange the Cast of an input and the Transpose behind it; else leave the graph. Exact."""
    for cast in graph.nodes:
        if cast.op_type != "Cast" or cast.input[0] not in graph.inputs:
            continue
        transpose = graph.only_reader(cast.output[0])
        if transpose is None or transpose.op_type != "Transpose":
            continue
        result = transpose.output[0]
        transpose.input[0] = cast.input[0]
        transpose.output[0] = graph.new_name(f"{cast.input[0]}_turned")
        cast.input[0], cast.output[0] = transpose.output[0], result
        graph.rewrite(graph.nodes)
        return
