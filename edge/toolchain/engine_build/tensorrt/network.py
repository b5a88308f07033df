"""Make a strongly typed TensorRT network of an ONNX file, on 10.3 and later and on RTX."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edge.engines.tensorrt.engine_file import PRODUCTS
from edge.engines.tensorrt.library import Library
from edge.errors import EngineBuildError


def make_network(library: Library, builder: Any, onnx: Path) -> tuple[Any, Any]:
    """Parse a file; every tensor keeps the type that it has in the graph.

    Returns:
        The network, and the parser that owns its weights: keep it until the engine is built.

    Raises:
        EngineBuildError: TensorRT knows no strongly typed networks, or refuses an operator.
    """
    trt, name = library.trt, f"{PRODUCTS[library.product]} {library.version}"
    # Its number is 1 in TensorRT 10 and 0 in 11 and RTX, where bit 1 means something else.
    flag = getattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)
    if flag is None:
        raise EngineBuildError(f"{name}: has no strongly typed networks; expected 10.3 or newer")
    network = builder.create_network(1 << int(flag))
    parser = trt.OnnxParser(network, library.logger)
    if not parser.parse_from_file(str(onnx)):
        raise EngineBuildError(f"{onnx.name}: {name} does not take it: {_parser_error(parser)}")
    return network, parser


def keep_attention_apart(trt: Any, network: Any) -> int:
    """Put an identity step behind each Softmax, so that no fused attention kernel fits.

    TensorRT has silently computed wrong results for vision transformers with fused attention in
    half precision. A softmax is never negative, so that ReLU leaves it as it is.

    Returns:
        How many there are; 0 means that the network has no attention to keep apart.
    """
    layers = [network.get_layer(index) for index in range(network.num_layers)]
    softmaxes = [layer for layer in layers if layer.type == trt.LayerType.SOFTMAX]
    for softmax in softmaxes:
        weights = softmax.get_output(0)
        same = network.add_activation(weights, trt.ActivationType.RELU).get_output(0)
        for layer in layers:
            for index in range(layer.num_inputs):
                tensor = layer.get_input(index)
                if tensor is not None and tensor.name == weights.name:
                    layer.set_input(index, same)
    return len(softmaxes)


def _parser_error(parser: Any) -> str:
    """Return the first error of a parser in one line: the node, and what is wrong with it."""
    if not parser.num_errors:
        return "it does not say why"
    error = parser.get_error(0)
    text = " ".join(error.desc().split())
    return f"{error.node_operator()} {error.node_name()}: {text}"
