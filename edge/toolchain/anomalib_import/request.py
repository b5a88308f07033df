"""What is asked of an import, and the size of the network input that follows from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edge.data.image_set import Sample, read_view
from edge.errors import DataError
from edge.toolchain.anomalib_import.exported_model import InputForm


@dataclass(frozen=True, slots=True)
class ImportRequest:
    """Which export to import, and what the bundle is to say.

    Attributes:
        export: ONNX file of anomalib 2.x, or the .xml file of its OpenVINO IR.
        data: folder of good pictures that the model has not seen.
        size_wh: network input; None takes the export's, or the size of the pictures where the
            export takes any.
        name, version, alpha, mm_per_px, licence: see PackOptions.
        seed: of the synthetic defects.
    """

    export: Path
    data: Path
    size_wh: tuple[int, int] | None = None
    name: str | None = None
    version: str = "1"
    alpha: float | None = None
    mm_per_px: float | None = None
    licence: str = "not stated"
    seed: int = 0


def network_size(
    request: ImportRequest, form: InputForm, samples: Sequence[Sample]
) -> tuple[int, int]:
    """Return the size of the network input.

    Raises:
        DataError: the export takes another size, or the pictures have several.
    """
    if form.size_wh is not None:
        if request.size_wh not in (None, form.size_wh):
            width, height = form.size_wh
            raise DataError(f"--input: this export takes {width}x{height} alone; leave it out")
        return form.size_wh
    if request.size_wh is not None:
        return request.size_wh
    sizes = sorted({read_view(sample).size_wh for sample in samples})
    if len(sizes) > 1:
        (width, height), other = sizes[0], sizes[-1]
        raise DataError(
            f"--data {request.data}: expected pictures of one size, as the export resizes them "
            f"itself, found {width}x{height} and {other[0]}x{other[1]}; give the size with --input"
        )
    return sizes[0]
