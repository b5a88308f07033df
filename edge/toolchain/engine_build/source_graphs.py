"""Find or make the ONNX file that an engine of some precision is built from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from edge.bundle.manifest import GraphFile
from edge.bundle.store import Bundle, sha256
from edge.errors import EngineBuildError
from edge.toolchain.engine_build.target_profile import Precision


@dataclass(frozen=True, slots=True)
class Source:
    """An ONNX file, its description and its hash; `graph.precision` is that of its tensors."""

    path: Path
    graph: GraphFile
    sha256: str


def stored_graph(
    bundle: Bundle, graph: GraphFile, precision: Precision, form: Literal["cpu", "trt"]
) -> Source | None:
    """Return the bundle's own graph of the same role in a precision; None if it has none."""
    for found in bundle.manifest.graphs:
        is_wanted = (found.role, found.precision) == (graph.role, precision)
        if is_wanted and found.form in ("any", form):
            return Source(bundle.path(found.file), found, bundle.manifest.files[found.file])
    return None


def cpu_graph(bundle: Bundle, graph: GraphFile, precision: Precision) -> Source:
    """Return the graph for a CPU; a types graph without an INT8 form runs in FP32.

    Args:
        bundle: that holds the graphs.
        graph: the FP32 graph of a role.
        precision: wanted.

    Raises:
        EngineBuildError: the bundle has none of that precision.
    """
    stored = stored_graph(bundle, graph, precision, "cpu")
    if stored is None and graph.role == "types":
        stored = stored_graph(bundle, graph, "fp32", "cpu")
    if stored is None:
        raise EngineBuildError(
            f"bundle {bundle.folder}: has no {precision} graph; pack one, or choose another "
            "precision"
        )
    return stored


def tensorrt_graph(bundle: Bundle, graph: GraphFile, precision: Precision, scratch: Path) -> Source:
    """Return the graph for TensorRT, which computes in the types of its tensors.

    FP16 graphs that a bundle does not hold are made from its FP32 ones. The FP32 part of an INT8
    graph becomes FP16. A types graph without an INT8
    form is built in FP16.

    Args:
        bundle: that holds the graphs.
        graph: the FP32 graph of a role.
        precision: wanted.
        scratch: where a graph that the bundle does not hold is written.

    Raises:
        EngineBuildError: the bundle has no INT8 graph, or onnx is missing to make an FP16 one.
        PrecisionError: the graph cannot be rewritten.
    """
    stored = stored_graph(bundle, graph, precision, "trt")
    if precision == "fp32" or (precision == "fp16" and stored is not None):
        return stored or stored_graph_of(bundle, graph)
    if precision == "int8" and stored is None:
        if graph.role == "detect":
            raise EngineBuildError(
                f"bundle {bundle.folder}: has no INT8 graph; pack one, or choose another precision"
            )
        return tensorrt_graph(bundle, graph, "fp16", scratch)
    return _in_half(stored or stored_graph_of(bundle, graph), precision, scratch)


def stored_graph_of(bundle: Bundle, graph: GraphFile) -> Source:
    """Return a graph of the bundle as it is."""
    return Source(bundle.path(graph.file), graph, bundle.manifest.files[graph.file])


def _in_half(source: Source, precision: Precision, scratch: Path) -> Source:
    try:
        import onnx

        from edge.toolchain.quantization.fp16 import to_fp16
    except ImportError as error:
        raise EngineBuildError(
            f"{source.path.name}: an FP16 graph is made with onnx, which is missing ({error}); "
            "pip install onnx, or pack the bundle with its FP16 graph"
        ) from error
    path = scratch / f"{source.graph.role}.{precision}.onnx"
    onnx.save(to_fp16(onnx.load(str(source.path))), str(path))
    graph = source.graph.model_copy(update={"precision": precision, "file": path.name})
    return Source(path, graph, sha256(path))
