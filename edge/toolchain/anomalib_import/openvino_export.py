"""An OpenVINO IR that anomalib 2.x exported, on OpenVINO."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.bundle.manifest import GraphFile
from edge.bundle.openvino_ir_file import values_beside
from edge.engines.graph_file import read_ir
from edge.engines.onnx.engine import physical_cores
from edge.engines.openvino.engine import OpenVinoEngine
from edge.engines.openvino.library import load_library, openvino_version, reason
from edge.engines.protocol import Engine
from edge.errors import EngineLoadError, ExportError
from edge.toolchain.anomalib_import.exported_model import (
    LABEL,
    ExportedModel,
    InputForm,
    Planes,
    check_names,
    input_form,
)
from edge.toolchain.anomalib_import.openvino_frame_graph import write_frame_graph
from edge.toolchain.anomalib_import.seen_area import SeenArea

_DTYPES = {"f32": "float32", "f16": "float16"}
_AGAIN = 'export it again with engine.export(model, "openvino")'
# What stands for values of 8 bits in a model that is otherwise of floats.
_QUANTIZER = "FakeQuantize"


class OpenVinoExport(ExportedModel):
    """See ExportedModel.

    Raises:
        ExportError: the file is no IR, not of the form that anomalib 2.x exports, or OpenVINO does
            not load it.
        EngineLoadError: OpenVINO is not installed.
    """

    graph_file = "models/anomalib.fp32.xml"

    def __init__(self, path: Path):
        self.reference = f"anomalib's export on openvino {openvino_version()}"
        self.files = (path, path.with_name(values_beside(path.name)))
        self._model = _load(path)
        self.input, self.has_label = _form(path, self._model)
        kinds = {operator.get_type_name() for operator in self._model.get_ops()}
        self.is_quantized = _QUANTIZER in kinds
        self._run = self._runner(self._model)

    def run(self, outputs: Sequence[str], planes: Planes) -> list[NDArray[Any]]:
        """See ExportedModel."""
        found = self._run(planes)
        return [found[name] for name in outputs]

    def first_convolved(self) -> Callable[[Planes], NDArray[Any]]:
        """See ExportedModel."""
        openvino = load_library()
        model = self._model.clone()
        first = openvino.Model([_first_convolved(model)], model.get_parameters(), "seen")
        first.output(0).get_tensor().set_names({"seen"})
        run = self._runner(first)
        return lambda planes: run(planes)["seen"][0]

    def write_frame_graph(
        self, path: Path, size_wh: tuple[int, int], map_wh: tuple[int, int], area: SeenArea
    ) -> GraphFile:
        """See ExportedModel."""
        return write_frame_graph(self._model, self.input, path, size_wh, map_wh, area)

    def load_frame_graph(self, path: Path, graph: GraphFile) -> Engine:
        """See ExportedModel."""
        return OpenVinoEngine(path, graph)

    def _runner(self, model: Any) -> Callable[[Planes], dict[str, NDArray[Any]]]:
        """Compile a model in FP32; the function returns all outputs of one picture by name."""
        openvino = load_library()
        settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": physical_cores()}
        try:
            compiled = openvino.compile_model(model, "CPU", settings)
        except RuntimeError as error:
            raise ExportError(f"the export does not load on OpenVINO: {reason(error)}") from error
        names = [(name, port) for port in compiled.outputs for name in port.get_names()]

        def run(planes: Planes) -> dict[str, NDArray[Any]]:
            try:
                found = compiled([self.input.filled(planes)])
            except RuntimeError as error:
                raise ExportError(
                    f"the export does not run on OpenVINO: {reason(error)}"
                ) from error
            return {name: np.array(found[port]) for name, port in names}

        return run


def _load(path: Path) -> Any:
    if not path.exists():
        raise ExportError(f"{path}: no such file; give the .xml file of an OpenVINO IR")
    try:
        return load_library().Core().read_model(*read_ir(path))
    except EngineLoadError as error:
        raise ExportError(f"{error}; {_AGAIN}") from error
    except RuntimeError as error:
        raise ExportError(f"{path}: OpenVINO cannot read it: {reason(error)}; {_AGAIN}") from error


def _form(path: Path, model: Any) -> tuple[InputForm, bool]:
    """Return the form of the input, and whether there is a label."""
    outputs = [name for port in model.outputs for name in port.get_names()]
    check_names(path, len(model.inputs), outputs)
    port = model.input()
    kind = port.get_element_type().get_type_name()
    shape = port.get_partial_shape()
    ranked = [] if shape.rank.is_dynamic else list(shape)
    sides = [0 if side.is_dynamic else side.get_length() for side in ranked]
    name = port.get_node().get_friendly_name()
    return input_form(path, name, _DTYPES.get(kind, kind), sides, _AGAIN), LABEL in outputs


def _first_convolved(model: Any) -> Any:
    """What comes from the input of a model and is first convolved, before it is quantized.

    Raises:
        ExportError: there is none.
    """
    derived = {model.input().get_node().get_name()}
    for operator in model.get_ordered_ops():
        sources = [port.get_source_output() for port in operator.inputs()]
        names = [source.get_node().get_name() for source in sources]
        if operator.get_type_name() == "Convolution" and names[0] in derived:
            return _unquantized(sources[0])
        if derived.intersection(names):
            derived.add(operator.get_name())
    raise ExportError("the export has no convolution over its input; expected an image model")


def _unquantized(source: Any) -> Any:
    while source.get_node().get_type_name() == _QUANTIZER:
        source = source.get_node().input_value(0)
    return source
