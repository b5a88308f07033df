"""Subtract what quantization adds to map and score on good parts, so that one threshold serves.

Rounding to 8 bits adds noise, and distances between noisy features are larger: all scores rise by
about the same amount. This constant is measured against the FP32 graph and subtracted at the end of
the graph, as bias correction does layer by layer (Nagel et al. 2019, section 4.2). It is subtracted
from map and score alike, so that a score exceeds the threshold where the map does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx

from edge.toolchain.quantization.graph import Graph, make_node
from edge.toolchain.quantization.graph_runner import Arrays

# Outputs in units of the threshold.
CORRECTED = ("map", "score")
# A smaller mean may be chance; its subtraction could move other pictures away from FP32.
STANDARD_ERRORS = 2
LEAST_FRAMES = 2


def score_bias(reference: Sequence[Arrays], candidate: Sequence[Arrays]) -> float:
    """Return the mean difference of the scores of two graphs on the same frames.

    It is 0 if it is not significant, and for graphs without a score.
    """
    if "score" not in reference[0] or len(reference) < LEAST_FRAMES:
        return 0.0
    pairs = zip(reference, candidate, strict=True)
    moved = [float(b["score"][0] - a["score"][0]) for a, b in pairs]
    standard_error = np.std(moved, ddof=1) / len(moved) ** 0.5
    mean = float(np.mean(moved))
    return mean if abs(mean) > STANDARD_ERRORS * standard_error else 0.0


def without_bias(outputs: Arrays, bias: float) -> Arrays:
    """Return the outputs of a graph as they would be after `subtract_bias`."""
    lowered: dict[str, Any] = {
        name: value - np.float32(bias) for name, value in outputs.items() if name in CORRECTED
    }
    return {**outputs, **lowered}


def subtract_bias(model: onnx.ModelProto, bias: float) -> onnx.ModelProto:
    """Return a copy of a graph whose map and score are lower by `bias`.

    Raises:
        PrecisionError: the result is not a valid graph.
    """
    graph = Graph(model)
    nodes = graph.nodes
    constant = graph.add_constant("bias", np.asarray(bias, np.float32))
    for name in CORRECTED:
        if name not in graph.outputs:
            continue
        inner = graph.new_name(f"{name}_biased")
        for node in nodes:
            for names in (node.input, node.output):
                names[:] = [inner if entry == name else entry for entry in names]
        nodes.append(make_node("Sub", [inner, constant], name))
    graph.rewrite(nodes)
    return graph.checked()
