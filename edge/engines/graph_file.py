"""A graph's files as a runtime gets them: their bytes, verified, with no other file needed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

from edge.bundle.contents import MAX_FILE_BYTES, read_file
from edge.bundle.onnx_file import check_onnx
from edge.bundle.openvino_ir_file import check_ir, values_beside
from edge.errors import BundleCorrupt, EngineLoadError


def read_graph(path: Path, sha256: str | None = None) -> bytes:
    """Read an ONNX file. Runtimes take these bytes, so that no path leads anywhere else.

    Raises:
        EngineLoadError: it is absent, no regular file, no ONNX model, needs other files, or its
            hash is not `sha256`.
    """
    return _read(path, sha256, check_onnx)


def read_ir(
    path: Path, sha256: str | None = None, values_sha256: str | None = None
) -> tuple[bytes, bytes]:
    """Read the XML of an OpenVINO IR, and its values from the file beside it.

    Raises:
        EngineLoadError: one is absent or no regular file, the first is no IR or needs an extension
            of OpenVINO, or a hash is another one than given.
    """
    values = path.with_name(values_beside(path.name))
    return _read(path, sha256, check_ir), _read(values, values_sha256)


def _read(path: Path, sha256: str | None, check: Callable[[bytes], None] | None = None) -> bytes:
    try:
        data = read_file(path.parent, path.name, MAX_FILE_BYTES)
        if check is not None:
            check(data)
    except (BundleCorrupt, ValueError) as error:
        raise EngineLoadError(f"{path}: {error}") from error
    if sha256 is not None and hashlib.sha256(data).hexdigest() != sha256:
        raise EngineLoadError(f"{path}: altered since the bundle was opened; open it again")
    return data
