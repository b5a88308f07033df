"""Every engine that could run a bundle on this machine, to compare them."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from edge.bundle.manifest import GraphFile
from edge.bundle.store import Bundle
from edge.config.engine_dir import find_engine_dir
from edge.config.station import EngineSettings
from edge.engines.load import load_proven, load_reference
from edge.engines.protocol import Engine
from edge.engines.verified import VerifiedEngines, find_proven


@dataclass(frozen=True, slots=True)
class AvailableEngine:
    """One engine.

    Attributes:
        backend, precision: what it is.
        load: takes the FP32 graph of a role; raises EngineLoadError if it does not load after all.
        is_trusted: a station would run it: the reference, or it has passed parity on this device.
    """

    backend: str
    precision: str
    load: Callable[[GraphFile], Engine]
    is_trusted: bool = True

    def __str__(self) -> str:
        return f"{self.backend} {self.precision}"


def engines_at_hand(bundle: Bundle, settings: EngineSettings) -> tuple[AvailableEngine, ...]:
    """List the reference, what has passed parity here, and what could be built without a compiler.

    `settings.backend` plays no part.
    """
    reference = AvailableEngine(
        "onnxruntime", "fp32", lambda graph: load_reference(bundle, graph, settings)
    )
    found = {(reference.backend, reference.precision): reference}
    for proven in find_proven(find_engine_dir(settings.folder), bundle.id):
        record = proven.record
        one = AvailableEngine(record.backend, record.precision, _loader(bundle, settings, proven))
        # Records come fastest first.
        found.setdefault((one.backend, one.precision), one)
    for one in _unproven(bundle, settings):
        found.setdefault((one.backend, one.precision), one)
    return tuple(found.values())


def _loader(
    bundle: Bundle, settings: EngineSettings, proven: VerifiedEngines
) -> Callable[[GraphFile], Engine]:
    return lambda graph: load_proven(bundle, graph, settings, proven)


def _unproven(bundle: Bundle, settings: EngineSettings) -> Iterator[AvailableEngine]:
    """Runtimes that take the bundle's own graphs as they are."""
    has_int8 = any(graph.precision == "int8" for graph in bundle.manifest.graphs)
    if has_int8:
        yield AvailableEngine(
            "onnxruntime",
            "int8",
            lambda graph: load_reference(bundle, _stored(bundle, graph, "int8"), settings),
            is_trusted=False,
        )
    if importlib.util.find_spec("openvino") is None:
        return
    from edge.engines.openvino.engine import OpenVinoEngine, arithmetic_of

    def loader(precision: str) -> Callable[[GraphFile], Engine]:
        def load(graph: GraphFile) -> Engine:
            stored = _stored(bundle, graph, precision)
            path = bundle.path(stored.file)
            return OpenVinoEngine(path, stored, settings.threads, arithmetic_of(precision))

        return load

    for precision in ("fp32", "bf16", "int8") if has_int8 else ("fp32", "bf16"):
        yield AvailableEngine("openvino", precision, loader(precision), is_trusted=False)


def _stored(bundle: Bundle, graph: GraphFile, precision: str) -> GraphFile:
    """Return the bundle's graph of the same role in a precision; the FP32 one if it has none."""
    graphs = (found for found in bundle.manifest.graphs if found.role == graph.role)
    return next((found for found in graphs if found.precision == precision), graph)
