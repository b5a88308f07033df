"""Pick and load the engine that a station asks for."""

from __future__ import annotations

import hashlib

from edge.bundle.store import Bundle
from edge.config.station import EngineSettings
from edge.engines.protocol import Engine, EngineInfo


def load_engine(bundle: Bundle, settings: EngineSettings) -> Engine:
    """Load the bundle's graph on the configured backend.

    Raises:
        EngineLoadError: the backend is not installed or does not take the graph.
    """
    # Imported here: each backend's library is needed only where it is chosen.
    from edge.engines.onnx_engine import OnnxEngine

    return OnnxEngine(bundle.path(bundle.graph.file), bundle.graph, settings.threads)


def engine_key(bundle: Bundle, info: EngineInfo) -> str:
    """Short hash that changes whenever graph, precision or runtime do."""
    parts = (bundle.manifest.files[bundle.graph.file], info.backend, info.version, info.precision)
    return hashlib.sha256(" ".join(parts).encode()).hexdigest()[:12]
