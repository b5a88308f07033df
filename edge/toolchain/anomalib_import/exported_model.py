"""An ONNX file that anomalib 2.x exported: what it takes and what it gives."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import onnx
from onnx import TensorProto

from edge.errors import ExportError

# A picture fills every place of a fixed batch, and each costs the time of a picture.
MOST_BATCH = 4
# From this opset on Slice and Pad take their places as inputs.
LEAST_OPSET = 13
SCORE, MAP, LABEL = "pred_score", "anomaly_map", "pred_label"
_DTYPES: dict[int, str] = {TensorProto.FLOAT: "float32", TensorProto.FLOAT16: "float16"}
_AGAIN = 'export it again with engine.export(model, "onnx")'


@dataclass(frozen=True, slots=True)
class ExportedModel:
    """A graph as anomalib wrote it.

    Attributes:
        model: with all values inside.
        input: takes (N, 3, H, W) RGB in 0..1, of `dtype` float32 or float16.
        batch: N; 1 where it is free.
        size_wh: W and H; None where they are free, and the graph resizes itself.
        has_label: it says itself whether a picture is anomalous.
    """

    model: onnx.ModelProto
    input: str
    dtype: str
    batch: int
    size_wh: tuple[int, int] | None
    has_label: bool


def read_export(path: Path) -> ExportedModel:
    """Read an exported model.

    Raises:
        ExportError: the file is no ONNX model, or not of the form that anomalib 2.x exports.
    """
    if path.suffix.lower() in (".xml", ".bin"):
        raise ExportError(
            f"{path}: expected ONNX, found an OpenVINO IR, which cannot be turned into ONNX; "
            f"{_AGAIN}: the OpenVINO engine of a station runs that, too"
        )
    if path.suffix.lower() in (".pt", ".ckpt"):
        raise ExportError(f"{path}: expected ONNX, found a torch file, which is code; {_AGAIN}")
    model = _load(path)
    opset = next((entry.version for entry in model.opset_import if not entry.domain), 0)
    if opset < LEAST_OPSET:
        raise ExportError(f"{path}: expected opset {LEAST_OPSET} or later, found {opset}; {_AGAIN}")
    constants = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in constants]
    outputs = [value.name for value in model.graph.output]
    if len(inputs) != 1 or not {SCORE, MAP} <= set(outputs):
        raise ExportError(
            f"{path}: expected one input and the outputs {SCORE} and {MAP} of an anomalib 2.x "
            f"export, found {len(inputs)} inputs and the outputs {', '.join(outputs) or 'none'}"
        )
    dtype, shape = _input(path, inputs[0])
    batch, _, height, width = shape
    if (batch or 1) > MOST_BATCH:
        raise ExportError(
            f"{path}: expected a batch that is free or at most {MOST_BATCH}, found one fixed at "
            f"{batch}; {_AGAIN}"
        )
    return ExportedModel(
        model=model,
        input=inputs[0].name,
        dtype=dtype,
        batch=batch or 1,
        size_wh=(width, height) if width and height else None,
        has_label=LABEL in outputs,
    )


def _load(path: Path) -> onnx.ModelProto:
    try:
        model = onnx.load(str(path))
        onnx.checker.check_model(model)
    except Exception as error:  # protobuf and onnx each have errors of their own
        said = str(error).strip().splitlines() or [type(error).__name__]
        reason = getattr(error, "strerror", None) or said[0]
        raise ExportError(f"{path}: expected an ONNX model: {reason}") from error
    return model


def _input(path: Path, value: onnx.ValueInfoProto) -> tuple[str, list[int]]:
    """Return dtype and shape of the input; 0 stands for a dimension that is free."""
    kind = value.type.tensor_type
    shape = [side.dim_value for side in kind.shape.dim]
    if kind.elem_type not in _DTYPES or len(shape) != 4 or shape[1] not in (0, 3):
        found = TensorProto.DataType.Name(kind.elem_type).lower()
        raise ExportError(
            f"{path}: expected an input (N, 3, H, W) of float, found {shape} of {found}; {_AGAIN}"
        )
    return _DTYPES[kind.elem_type], shape
