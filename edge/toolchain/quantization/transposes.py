"""Turn a frame's bytes instead of its floats.

Models read `frame`, make it float and turn it to NCHW, in this order: TensorRT knows uint8 as an
input only, not as something to compute with. A CPU that reads codes wants the bytes turned.
"""

from __future__ import annotations

from edge.toolchain.quantization.graph import Graph


def turn_bytes(graph: Graph) -> None:
    """Exchange the Cast of an input and the Transpose behind it; else leave the graph. Exact."""
    for cast in graph.nodes:
        if cast.op_type != "Cast" or cast.input[0] not in graph.inputs:
            continue
        turn = graph.only_reader(cast.output[0])
        if turn is None or turn.op_type != "Transpose":
            continue
        turned = turn.output[0]
        turn.input[0], turn.output[0] = cast.input[0], graph.new_name(f"{cast.input[0]}_turned")
        cast.input[0], cast.output[0] = turn.output[0], turned
        graph.rewrite(graph.nodes)
        return
