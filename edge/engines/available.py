"""Every engine that could run a bundle on this machine, to compare them."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from edge.bundle.manifest import GraphFile
from edge.bundle.store import Bundle
from edge.config.station import EngineSettings
from edge.engines.load import load_reference, load_verified
from edge.engines.protocol import Engine
from edge.engines.verified import VerifiedEngines, find_verified
from edge.paths import find_engine_dir


@dataclass(frozen=True, slots=True)
class AvailableEngine:
    """An engine that could be loaded.

    Attributes:
        backend, precision: as EngineInfo has them.
        load: takes the FP32 graph of a role; raises EngineLoadError if it does not load after all.
        is_trusted: whether a station would run it. It is the reference, or it has passed the parity
            check on this device.
    """

    backend: str
    precision: str
    load: Callable[[GraphFile], Engine]
    is_trusted: bool = True

    def __str__(self) -> str:
        return f"{self.backend} {self.precision}"


def available_engines(bundle: Bundle, settings: EngineSettings) -> tuple[AvailableEngine, ...]:
    """List the reference, the verified engines, and the runtimes that need no build.

    `settings.backend` is ignored.
    """
    runtime = "onnxruntime" if bundle.graph.format == "onnx" else "openvino"
    reference = AvailableEngine(
        runtime, "fp32", lambda graph: load_reference(bundle, graph, settings)
    )
    found = {(reference.backend, reference.precision): reference}
    for verified in find_verified(find_engine_dir(settings.folder), bundle.id):
        record = verified.record
        one = AvailableEngine(record.backend, record.precision, _loader(bundle, settings, verified))
        # Records come fastest first.
        found.setdefault((one.backend, one.precision), one)
    for one in _unverified(bundle, settings):
        found.setdefault((one.backend, one.precision), one)
    return tuple(found.values())


def _loader(
    bundle: Bundle, settings: EngineSettings, verified: VerifiedEngines
) -> Callable[[GraphFile], Engine]:
    return lambda graph: load_verified(bundle, graph, settings, verified)


def _unverified(bundle: Bundle, settings: EngineSettings) -> Iterator[AvailableEngine]:
    """Yield the runtimes that take the bundle's graphs as they are, without a parity record."""
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
