"""An ONNX file as a runtime gets it: its bytes, verified, with no other file needed."""

from __future__ import annotations

import hashlib
from pathlib import Path

from edge.bundle.contents import MAX_FILE_BYTES, read_file
from edge.bundle.onnx_file import check_onnx
from edge.errors import BundleCorrupt, EngineLoadError


def read_graph(path: Path, sha256: str | None = None) -> bytes:
    """Read an ONNX file. Runtimes take these bytes, so that no path leads anywhere else.

    Raises:
        EngineLoadError: it is absent, no regular file, no ONNX model, needs other files, or its
            hash is not `sha256`.
    """
    try:
        data = read_file(path.parent, path.name, MAX_FILE_BYTES)
        check_onnx(data)
    except (BundleCorrupt, ValueError) as error:
        raise EngineLoadError(f"{path}: {error}") from error
    if sha256 is not None and hashlib.sha256(data).hexdigest() != sha256:
        raise EngineLoadError(f"{path}: altered since the bundle was opened; open it again")
    return data
