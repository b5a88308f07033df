"""An ONNX file that anomalib 2.x exported, on ONNX Runtime."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import TensorProto, helper

from edge.bundle.manifest import GraphFile
from edge.engines.onnx.engine import OnnxEngine, physical_cores, session_options
from edge.engines.protocol import Engine
from edge.errors import ExportError
from edge.toolchain.anomalib_import.exported_model import (
    LABEL,
    ExportedModel,
    InputForm,
    Planes,
    check_names,
    input_form,
)
from edge.toolchain.anomalib_import.onnx_frame_graph import write_frame_graph
from edge.toolchain.anomalib_import.seen_area import SeenArea

# From this opset on Slice and Pad take their places as inputs.
LEAST_OPSET = 13
_DTYPES: dict[int, str] = {TensorProto.FLOAT: "float32", TensorProto.FLOAT16: "float16"}
_AGAIN = 'export it again with engine.export(model, "onnx")'


class OnnxExport(ExportedModel):
    """See ExportedModel.

    Raises:
        ExportError: the file is no ONNX model, not of the form that anomalib 2.x exports, or ONNX
            Runtime does not load it.
    """

    is_quantized = False
    graph_file = "models/anomalib.fp32.onnx"
    reference = f"anomalib's export on onnxruntime {ort.__version__}"

    def __init__(self, path: Path):
        self.files = (path,)
        self._model = _load(path)
        self.input, self.has_label = _form(path, self._model)
        self._session = _open_session(self._model)

    def run(self, outputs: Sequence[str], planes: Planes) -> list[NDArray[Any]]:
        """See ExportedModel."""
        return self._run(self._session, outputs, planes)

    def first_convolved(self) -> Callable[[Planes], NDArray[Any]]:
        """See ExportedModel."""
        first = _input_of_first_convolution(self._model.graph, self.input.name)
        model = onnx.ModelProto()
        model.CopyFrom(self._model)
        del model.graph.output[:]
        kind = TensorProto.FLOAT16 if self.input.dtype == "float16" else TensorProto.FLOAT
        model.graph.output.append(helper.make_tensor_value_info(first, kind, None))
        session = _open_session(model)
        return lambda planes: self._run(session, [first], planes)[0][0]

    def write_frame_graph(
        self, path: Path, size_wh: tuple[int, int], map_wh: tuple[int, int], area: SeenArea
    ) -> GraphFile:
        """See ExportedModel."""
        return write_frame_graph(self._model, self.input, path, size_wh, map_wh, area)

    def load_frame_graph(self, path: Path, graph: GraphFile) -> Engine:
        """See ExportedModel."""
        return OnnxEngine(path, graph)

    def _run(
        self, session: ort.InferenceSession, outputs: Sequence[str], planes: Planes
    ) -> list[NDArray[Any]]:
        try:
            return list(session.run(outputs, {self.input.name: self.input.filled(planes)}))
        except Exception as error:  # ONNX Runtime and protobuf each have errors of their own
            raise ExportError(
                f"the export does not run on ONNX Runtime: {_first(error)}"
            ) from error


def _load(path: Path) -> onnx.ModelProto:
    try:
        model = onnx.load(str(path))
        onnx.checker.check_model(model)
    except Exception as error:  # protobuf and onnx each have errors of their own
        said = str(error).strip().splitlines() or [type(error).__name__]
        reason = getattr(error, "strerror", None) or said[0]
        raise ExportError(f"{path}: expected an ONNX model: {reason}") from error
    opset = next((entry.version for entry in model.opset_import if not entry.domain), 0)
    if opset < LEAST_OPSET:
        raise ExportError(f"{path}: expected opset {LEAST_OPSET} or later, found {opset}; {_AGAIN}")
    return model


def _form(path: Path, model: onnx.ModelProto) -> tuple[InputForm, bool]:
    """Return the form of the input, and whether there is a label."""
    constants = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in constants]
    outputs = [value.name for value in model.graph.output]
    check_names(path, len(inputs), outputs)
    kind = inputs[0].type.tensor_type
    dtype = _DTYPES.get(kind.elem_type, TensorProto.DataType.Name(kind.elem_type).lower())
    shape = [side.dim_value for side in kind.shape.dim]
    return input_form(path, inputs[0].name, dtype, shape, _AGAIN), LABEL in outputs


def _open_session(model: onnx.ModelProto) -> ort.InferenceSession:
    options = session_options(physical_cores())
    try:
        return ort.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # ONNX Runtime and protobuf each have errors of their own
        raise ExportError(f"the export does not load on ONNX Runtime: {_first(error)}") from error


def _input_of_first_convolution(graph: onnx.GraphProto, name: str) -> str:
    """Name of the tensor that comes from the input `name` and that is first convolved.

    Raises:
        ExportError: there is none.
    """
    derived = {name}
    for node in graph.node:
        if node.op_type == "Conv" and node.input[0] in derived:
            return str(node.input[0])
        if derived.intersection(node.input):
            derived.update(node.output)
    raise ExportError("the export has no convolution over its input; expected an image model")


def _first(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
