"""A model that anomalib 2.x exported: what it takes, what it gives, how it judges a picture."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from edge.bundle.manifest import GraphFile
from edge.engines.protocol import Engine
from edge.errors import ExportError
from edge.toolchain.anomalib_import.seen_area import SeenArea

# A picture fills every place of a fixed batch, and each costs the time of a picture.
MOST_BATCH = 4
SCORE, MAP, LABEL = "pred_score", "anomaly_map", "pred_label"
GREY_LEVELS = 255
# One picture, (3, H, W) float32 RGB in 0..1.
Planes = NDArray[np.float32]


class InputForm(NamedTuple):
    """The one input of an export: (N, 3, H, W) RGB in 0..1.

    Attributes:
        name, dtype: float32 or float16.
        batch: N; 1 where it is free.
        size_wh: W and H; None where they are free, and the graph resizes itself.
    """

    name: str
    dtype: str
    batch: int
    size_wh: tuple[int, int] | None

    def filled(self, planes: Planes) -> NDArray[Any]:
        """Repeat one picture in every place of the batch, in the model's dtype."""
        return np.repeat(planes[None], self.batch, axis=0).astype(self.dtype)


class ExportedModel(Protocol):
    """An export, untouched, on the runtime that the bundle is held to.

    Attributes:
        files: that it was read from, the graph first.
        input: see InputForm.
        has_label: it says itself whether a picture is anomalous.
        is_quantized: it was made to compute in 8 bits.
        graph_file: name of the bundle's graph.
        reference: for parity records.
    """

    files: tuple[Path, ...]
    input: InputForm
    has_label: bool
    is_quantized: bool
    graph_file: str
    reference: str

    def run(self, outputs: Sequence[str], planes: Planes) -> list[NDArray[Any]]:
        """Run on one picture; return outputs by their names.

        Raises:
            ExportError: it fails.
        """
        ...

    def first_convolved(self) -> Callable[[Planes], NDArray[Any]]:
        """Return what makes of a picture that which is first convolved, (channels, h, w).

        Raises:
            ExportError: there is no convolution over the input.
        """
        ...

    def write_frame_graph(
        self, path: Path, size_wh: tuple[int, int], map_wh: tuple[int, int], area: SeenArea
    ) -> GraphFile:
        """Write the graph of a bundle: `frame` (1, H, W, 3) uint8 RGB to `map` and `score`.

        Nothing of the network changes. In front, a frame becomes what anomalib feeds: floats in
        0..1, planes first, one picture in every place of a fixed batch. Behind, map and score of
        the first place are taken, and the map is padded where the model sees a part of the frame.

        Args:
            path: to write.
            size_wh: W and H, pixels.
            map_wh: of the export's own map.
            area: see SeenArea.

        Raises:
            ExportError: the graph cannot be written.
        """
        ...

    def load_frame_graph(self, path: Path, graph: GraphFile) -> Engine:
        """Load what `write_frame_graph` wrote, as a station does.

        Raises:
            EngineLoadError: it does not load.
        """
        ...


class Judged(NamedTuple):
    """What an exported model says of a picture.

    `map` is (h, w) float32; `is_anomalous` is its own verdict, None where it gives none.
    """

    map: NDArray[np.float32]
    score: float
    is_anomalous: bool | None


def judge(exported: ExportedModel, frame: NDArray[np.uint8]) -> Judged:
    """Judge one network input, (H, W, 3) uint8 RGB, as anomalib does.

    Raises:
        ExportError: the model does not run, or what it gives is not one map and one score.
    """
    planes = frame.transpose(2, 0, 1).astype(np.float32) / GREY_LEVELS
    found = exported.run([SCORE, MAP, *([LABEL] if exported.has_label else [])], planes)
    score, anomaly_map = (np.asarray(values[0], np.float32) for values in found[:2])
    anomaly_map = np.squeeze(anomaly_map)
    if score.size != 1 or anomaly_map.ndim != 2:
        raise ExportError(
            f"the export gives a score of {score.size} values and a map {anomaly_map.shape} "
            "for a picture; expected one value and (h, w)"
        )
    label = bool(np.ravel(found[2][0])[0]) if exported.has_label else None
    return Judged(anomaly_map, float(score.reshape(())), label)


def check_names(path: Path, inputs: int, outputs: Sequence[str]) -> None:
    """Check that a graph has one input, and the outputs of an export.

    Raises:
        ExportError: it has others.
    """
    if inputs != 1 or not {SCORE, MAP} <= set(outputs):
        raise ExportError(
            f"{path}: expected one input and the outputs {SCORE} and {MAP} of an anomalib 2.x "
            f"export, found {inputs} inputs and the outputs {', '.join(outputs) or 'none'}"
        )


def input_form(
    path: Path, name: str, dtype: str, shape: Sequence[int], export_again: str
) -> InputForm:
    """Describe the input of a graph; 0 stands for a dimension that is free.

    Raises:
        ExportError: it takes no pictures, or too many at once.
    """
    if dtype not in ("float32", "float16") or len(shape) != 4 or shape[1] not in (0, 3):
        raise ExportError(
            f"{path}: expected an input (N, 3, H, W) of float, found {list(shape)} of {dtype}; "
            f"{export_again}"
        )
    batch, _, height, width = shape
    if batch > MOST_BATCH:
        raise ExportError(
            f"{path}: expected a batch that is free or at most {MOST_BATCH}, found one fixed at "
            f"{batch}; {export_again}"
        )
    size_wh = (width, height) if width and height else None
    return InputForm(name, dtype, batch or 1, size_wh)
