"""Read a file that anomalib 2.x exported, by what it is."""

from __future__ import annotations

from pathlib import Path

from edge.errors import ExportError
from edge.toolchain.anomalib_import.exported_model import ExportedModel


def read_export(path: Path) -> ExportedModel:
    """Read an ONNX file, or an OpenVINO IR by its .xml file.

    Raises:
        ExportError: the file is no such model, not of the form that anomalib 2.x exports, or does
            not load.
        EngineLoadError: it is an OpenVINO IR, and OpenVINO is not installed.
    """
    kind = path.suffix.lower()
    if kind in (".pt", ".ckpt"):
        raise ExportError(
            f"{path}: expected ONNX or an OpenVINO IR, found a torch file, which is code; export "
            'it again with engine.export(model, "onnx")'
        )
    if kind == ".bin":
        raise ExportError(
            f"{path}: expected the .xml file of an OpenVINO IR, found that of its values; give "
            f"{path.with_suffix('.xml').name}"
        )
    # Imported here: an export of one format needs no library of the other.
    if kind == ".xml":
        from edge.toolchain.anomalib_import.openvino_export import OpenVinoExport

        return OpenVinoExport(path)
    from edge.toolchain.anomalib_import.onnx_export import OnnxExport

    return OnnxExport(path)
