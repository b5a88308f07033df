"""An exported model run as anomalib runs it: the reference that an imported bundle is held to."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray

from edge.engines.onnx.engine import physical_cores, session_options
from edge.errors import ExportError
from edge.toolchain.anomalib_import.exported_model import LABEL, MAP, SCORE, ExportedModel

REFERENCE = f"anomalib's export on onnxruntime {ort.__version__}"
GREY_LEVELS = 255


class Judged(NamedTuple):
    """What an exported model says of a picture.

    `map` is (h, w) float32; `is_anomalous` is its own verdict, None where it gives none.
    """

    map: NDArray[np.float32]
    score: float
    is_anomalous: bool | None


class ExportSession:
    """An exported model on ONNX Runtime, untouched.

    Raises:
        ExportError: ONNX Runtime does not load it.
    """

    def __init__(self, exported: ExportedModel):
        self._exported = exported
        self._session = open_session(exported.model)
        self._outputs = [SCORE, MAP, *([LABEL] if exported.has_label else [])]

    def judge(self, frame: NDArray[np.uint8]) -> Judged:
        """Judge one network input, (H, W, 3) uint8 RGB.

        Raises:
            ExportError: the model does not run, or what it gives is not one map and one score.
        """
        exported = self._exported
        planes = frame.transpose(2, 0, 1).astype(np.float32) / GREY_LEVELS
        found = run(
            self._session, self._outputs, {exported.input: exported_batch(exported, planes)}
        )
        score, anomaly_map = (np.asarray(values[0], np.float32) for values in found[:2])
        anomaly_map = np.squeeze(anomaly_map)
        if score.size != 1 or anomaly_map.ndim != 2:
            raise ExportError(
                f"the export gives a score of {score.size} values and a map {anomaly_map.shape} "
                "for a picture; expected one value and (h, w)"
            )
        label = bool(np.ravel(found[2][0])[0]) if exported.has_label else None
        return Judged(anomaly_map, float(score.reshape(())), label)


def exported_batch(exported: ExportedModel, planes: NDArray[np.float32]) -> NDArray[Any]:
    """Repeat one picture (3, H, W) in every place of the batch, in the model's dtype."""
    return np.repeat(planes[None], exported.batch, axis=0).astype(exported.dtype)


def open_session(model: onnx.ModelProto) -> ort.InferenceSession:
    """Open a model on the CPU.

    Raises:
        ExportError: ONNX Runtime does not load it.
    """
    options = session_options(physical_cores())
    try:
        return ort.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # ONNX Runtime and protobuf each have errors of their own
        raise ExportError(f"the export does not load on ONNX Runtime: {_first(error)}") from error


def run(
    session: ort.InferenceSession, outputs: list[str], inputs: dict[str, NDArray[Any]]
) -> list[NDArray[Any]]:
    """Run a model once.

    Raises:
        ExportError: it fails.
    """
    try:
        return list(session.run(outputs, inputs))
    except Exception as error:  # as above
        raise ExportError(f"the export does not run on ONNX Runtime: {_first(error)}") from error


def _first(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
