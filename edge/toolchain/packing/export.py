"""Export a detector to ONNX with named inputs and outputs and static shapes."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path

import onnx
import torch

from edge.bundle.manifest import GraphFile, TensorSpec
from edge.errors import ExportError
from edge.methods.method import Network
from edge.toolchain.packing.types_graph import TypeNamer

# The exporter's own default; TensorRT 10.3 is the oldest parser that documents it.
OPSET = 20
INPUT = "frame"
# The third one only if the model has defect types.
OUTPUTS = ("map", "score", "type_logits")


def export_detector(detector: Network, path: Path) -> GraphFile:
    """Write the detector as a checked FP32 ONNX file with batch 1.

    The graph takes (1, H, W, 3) uint8 RGB and returns `map` (1, h, w) and `score` (1,) float32, and
    `type_logits` (1, 1 + types, h', w') float32 if the detector has types; channel 0 is normal.

    Raises:
        ExportError: the exporter fails, or its result is not as requested.
    """
    return _export(detector, path, OUTPUTS)


def export_types(namer: TypeNamer, path: Path) -> GraphFile:
    """Write the types graph, like `export_detector`, with the output `type_logits` alone."""
    graph = _export(namer, path, OUTPUTS[2:])
    return graph.model_copy(update={"role": "types"})


def _export(detector: Network | TypeNamer, path: Path, names: tuple[str, ...]) -> GraphFile:
    width, height = detector.settings.size_wh
    frame = torch.zeros((1, height, width, 3), dtype=torch.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    with torch.no_grad():
        outputs = detector(frame)
    names = names[: len(outputs)]
    try:
        # The exporter reports its steps on stdout, which belongs to our own results.
        with redirect_stdout(io.StringIO()), warnings.catch_warnings(), _quiet():
            warnings.simplefilter("ignore")
            torch.onnx.export(
                detector,
                (frame,),
                str(path),
                dynamo=True,
                opset_version=OPSET,
                external_data=False,
                input_names=[INPUT],
                output_names=list(names),
                verbose=False,
            )
        model = onnx.load(str(path))
        clean(model)
    except Exception as error:
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ExportError(f"{path.name}: export failed: {first}") from error
    onnx.save(model, str(path))
    return GraphFile(
        file=path.name,
        precision="fp32",
        inputs=(TensorSpec(name=INPUT, shape=tuple(frame.shape), dtype="uint8"),),
        outputs=tuple(
            TensorSpec(name=name, shape=tuple(value.shape), dtype="float32")
            for name, value in zip(names, outputs, strict=True)
        ),
    )


def clean(model: onnx.ModelProto) -> None:
    """Remove the exporter's metadata and check the graph.

    Raises:
        ExportError: the opset is not OPSET; the exporter falls back silently.
        onnx.checker.ValidationError: the graph is invalid.
    """
    without_traces(model)
    found = {entry.domain: entry.version for entry in model.opset_import}
    if found != {"": OPSET}:
        raise ExportError(f"expected opset {OPSET} only, the exporter wrote {found}")
    onnx.checker.check_model(model, full_check=True)


def without_traces(model: onnx.ModelProto) -> None:
    """Remove an exporter's metadata from a graph.

    It holds stack traces with absolute paths, which leak names, enlarge the file and change its
    hash from machine to machine.
    """
    graph = model.graph
    for node in (*graph.node, *(node for each in model.functions for node in each.node)):
        del node.metadata_props[:]
        node.doc_string = ""
    for value in (*graph.input, *graph.output, *graph.value_info, *graph.initializer):
        del value.metadata_props[:]
        value.doc_string = ""
    del graph.metadata_props[:]
    del model.metadata_props[:]
    graph.name = "detector"
    model.producer_name, model.producer_version = "edge-inspection", ""


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the exporter's log; its failures are raised anyway."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
