"""OpenVINO on the CPU: the fastest engine on processors with matrix units for bf16 and INT8."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from edge.bundle.manifest import GraphFile, TensorSpec
from edge.engines.graph_file import read_graph, read_ir
from edge.engines.onnx.engine import physical_cores
from edge.engines.openvino.library import load_library, openvino_version, reason
from edge.engines.protocol import Arrays, Engine, EngineInfo, check_inputs
from edge.errors import EngineLoadError, InferenceError

# Arithmetic of float operators. By default OpenVINO silently takes bf16 where the processor has it.
# Here bf16 must be asked for, is named in EngineInfo, and is verified like any other precision.
Arithmetic = Literal["fp32", "bf16"]
_HINT: Final[dict[Arithmetic, str]] = {"fp32": "f32", "bf16": "bf16"}
_DTYPES = {"u8": "uint8", "f32": "float32"}


class OpenVinoEngine(Engine):
    """One graph with static shapes; input and output buffers are bound once and reused."""

    def __init__(
        self,
        path: Path,
        graph: GraphFile,
        threads: int = 0,
        arithmetic: Arithmetic = "fp32",
        *,
        sha256: str | None = None,
        values_sha256: str | None = None,
    ):
        """Load `path`.

        Args:
            path: an ONNX file, or the .xml of an OpenVINO IR with its values beside it.
            graph: its description.
            threads: 0 means one per physical core.
            arithmetic: of what the graph has in FP32; `bf16` becomes the engine's precision.
            sha256: of the file; None for one that nobody else can have exchanged.
            values_sha256: of the file of an IR's values; None likewise.

        Raises:
            EngineLoadError: OpenVINO is not installed or does not load the graph, tensors differ
                from `graph`, or this CPU does not compute in `arithmetic`.
        """
        openvino = load_library()
        self._inputs = {spec.name: spec for spec in graph.inputs}
        self._outputs = {spec.name: spec for spec in graph.outputs}
        threads = threads or physical_cores()
        precision = graph.precision if arithmetic == "fp32" else arithmetic
        self.info = EngineInfo("openvino", openvino_version(), precision, "CPU", threads)
        content: tuple[bytes, ...]
        if graph.format == "onnx":
            content = (read_graph(path, sha256),)
        else:
            content = read_ir(path, sha256, values_sha256)
        try:
            model = openvino.Core().read_model(*content)
            _check_graph(path, model, self._inputs, self._outputs)
            compiled = openvino.compile_model(model, "CPU", _settings(threads, arithmetic))
        except RuntimeError as error:
            raise EngineLoadError(f"{path}: OpenVINO cannot load it: {reason(error)}") from error
        _check_arithmetic(path, compiled, arithmetic)
        self._request: Any = compiled.create_infer_request()
        self._buffers = {
            name: np.zeros(spec.shape, spec.dtype)
            for name, spec in {**self._inputs, **self._outputs}.items()
        }
        for name, buffer in self._buffers.items():
            self._request.set_tensor(name, openvino.Tensor(buffer, shared_memory=True))

    def run(self, inputs: Arrays) -> dict[str, NDArray[Any]]:
        """Run the graph once; see `Engine.run`."""
        if self._request is None:
            raise InferenceError("engine: run after close")
        check_inputs(self._inputs, inputs)
        for name, array in inputs.items():
            np.copyto(self._buffers[name], array)
        try:
            self._request.infer()
        except RuntimeError as error:
            raise InferenceError(f"engine: OpenVINO failed: {reason(error)}") from error
        return {name: self._buffers[name] for name in self._outputs}

    def close(self) -> None:
        """Drop the compiled graph and its threads."""
        self._request = None


def arithmetic_of(precision: str) -> Arithmetic:
    """Return the arithmetic of float operators for the precision of a record or target."""
    return "bf16" if precision == "bf16" else "fp32"


def _settings(threads: int, arithmetic: Arithmetic) -> dict[str, object]:
    return {
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": 1,
        "INFERENCE_NUM_THREADS": threads,
        "INFERENCE_PRECISION_HINT": _HINT[arithmetic],
    }


def _check_arithmetic(path: Path, compiled: Any, arithmetic: Arithmetic) -> None:
    """Compare the hint with what became of it: a CPU that cannot takes another type silently."""
    found = compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
    if found != _HINT[arithmetic]:
        raise EngineLoadError(
            f"{path}: expected OpenVINO to compute in {_HINT[arithmetic]}, on this CPU it takes "
            f"{found}; choose a target with another precision"
        )


def _check_graph(
    path: Path, model: Any, inputs: dict[str, TensorSpec], outputs: dict[str, TensorSpec]
) -> None:
    for kind, ports, specs in (
        ("inputs", model.inputs, inputs),
        ("outputs", model.outputs, outputs),
    ):
        found = {port.get_any_name(): _shape_and_type(port) for port in ports}
        wanted = {name: (spec.shape, spec.dtype) for name, spec in specs.items()}
        if found != wanted:
            raise EngineLoadError(f"{path}: expected {kind} {wanted} by bundle.json, got {found}")


def _shape_and_type(port: Any) -> tuple[tuple[int, ...] | str, str]:
    shape, kind = port.get_partial_shape(), port.get_element_type().get_type_name()
    return (tuple(shape.to_shape()) if shape.is_static else str(shape)), _DTYPES.get(kind, kind)
