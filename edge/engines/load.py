"""Pick and load the engine that a station asks for."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace

from edge.bundle.manifest import GraphFile
from edge.bundle.store import Bundle, sha256
from edge.config.station import EngineSettings
from edge.engines.cache_trust import REBUILD
from edge.engines.protocol import Engine, EngineInfo
from edge.engines.tensorrt.engine_file import read_engine_file
from edge.engines.verified import VerifiedEngines, cpu_name, find_verified
from edge.errors import EngineLoadError
from edge.paths import find_engine_dir

log = logging.getLogger(__name__)
Loader = Callable[[Bundle, GraphFile, EngineSettings, VerifiedEngines], Engine]


def load_engine(bundle: Bundle, settings: EngineSettings) -> Engine:
    """Load the detection graph on the configured backend.

    Raises:
        EngineLoadError: no engine of that backend has passed the parity check on this device, or
            it does not load any more.
    """
    return _load(bundle, bundle.graph, settings)


def load_types_engine(
    bundle: Bundle, settings: EngineSettings
) -> AbstractContextManager[Engine | None]:
    """Load the graph that names types. The context is None for a bundle without such a graph.

    Raises:
        EngineLoadError: as load_engine.
    """
    graph = bundle.types_graph
    return nullcontext() if graph is None else _load(bundle, graph, settings)


def engine_key(bundle: Bundle, info: EngineInfo) -> str:
    """Short hash that changes whenever a graph, precision or runtime do."""
    if info.key:
        return info.key
    graphs = (bundle.graph, *([bundle.types_graph] if bundle.types_graph else []))
    hashes = (bundle.manifest.files[file] for graph in graphs for file in graph.files)
    parts = (*hashes, info.backend, info.version, info.precision)
    return hashlib.sha256(" ".join(parts).encode()).hexdigest()[:12]


def _load(bundle: Bundle, graph: GraphFile, settings: EngineSettings) -> Engine:
    """Load the fastest verified engine of the backend; `graph` is the FP32 graph of its role."""
    if graph.format == "openvino_ir":
        return _load_ir(bundle, graph, settings)
    if settings.backend in (None, "onnxruntime"):
        return load_reference(bundle, graph, settings)
    folder = find_engine_dir(settings.folder)
    refusal = (
        f"{folder}: expected an engine of bundle {bundle.folder} that has passed the parity check, "
        f"found none for {settings.backend}; {REBUILD}"
    )
    for verified in find_verified(folder, bundle.id):
        if settings.backend not in ("auto", FAMILY.get(verified.record.backend)):
            continue
        try:
            engine = load_verified(bundle, graph, settings, verified)
        except EngineLoadError as error:
            refusal = str(error)
            log.warning("engine refused reason=%s", error)
            continue
        log.info(
            "engine chosen role=%s backend=%s precision=%s device=%s median_ms=%.2f "
            "because=fastest that passed parity on this device",
            graph.role, engine.info.backend, engine.info.precision, engine.info.device,
            verified.record.median_ms,
        )  # fmt: skip
        return engine
    if settings.backend == "auto":
        log.info("engine chosen role=%s backend=onnxruntime precision=fp32 because=no other has "
                 "passed parity on this device", graph.role)  # fmt: skip
        return load_reference(bundle, graph, settings)
    raise EngineLoadError(refusal)


def load_verified(
    bundle: Bundle, graph: GraphFile, settings: EngineSettings, verified: VerifiedEngines
) -> Engine:
    """Load a verified engine; `graph` is the FP32 graph of its role.

    Raises:
        EngineLoadError: it did not pass, was made elsewhere, is of another device or release, or
            does not load.
    """
    if verified.problem is not None:
        raise EngineLoadError(verified.problem)
    loader = LOADERS.get(verified.record.backend)
    if loader is None:
        raise EngineLoadError(f"{verified.folder}: unknown backend {verified.record.backend}")
    engine = loader(bundle, graph, settings, verified)
    record = verified.record
    engine.info = replace(engine.info, key=record.key[:12], score_tolerance=record.score_tolerance)
    return engine


def _load_ir(bundle: Bundle, graph: GraphFile, settings: EngineSettings) -> Engine:
    """Load an OpenVINO IR on OpenVINO, whose parity was checked when the bundle was made.

    Raises:
        EngineLoadError: another backend is asked for, or it does not load.
    """
    if settings.backend not in (None, "auto", "openvino"):
        raise EngineLoadError(
            f"bundle {bundle.folder}: expected engine.backend openvino, which alone runs its "
            f"OpenVINO IR, found {settings.backend}; set openvino, or leave the key out"
        )
    if settings.backend == "auto":
        log.info("engine chosen role=%s backend=openvino precision=fp32 because=the graph is an "
                 "OpenVINO IR", graph.role)  # fmt: skip
    return load_reference(bundle, graph, settings)


def load_reference(bundle: Bundle, graph: GraphFile, settings: EngineSettings) -> Engine:
    """Load a graph of the bundle on the runtime that it passed parity on when it was packed.

    That is ONNX Runtime on the CPU, or OpenVINO for an OpenVINO IR.

    Raises:
        EngineLoadError: it does not load.
    """
    # Imported here: each backend's library is needed only where it is chosen.
    if graph.format == "openvino_ir":
        from edge.engines.openvino.engine import OpenVinoEngine

        file, values = (bundle.manifest.files[file] for file in graph.files)
        return OpenVinoEngine(
            bundle.path(graph.file), graph, settings.threads, sha256=file, values_sha256=values
        )
    from edge.engines.onnx.engine import OnnxEngine, can_spin_briefly

    if settings.spin == "brief" and not can_spin_briefly():
        log.info("engine.spin: brief needs ONNX Runtime 1.26; threads sleep as with off")
    path, sha256 = bundle.path(graph.file), bundle.graph_sha256(graph)
    return OnnxEngine(path, graph, settings.threads, spin=settings.spin, sha256=sha256)


def _onnxruntime(
    bundle: Bundle, graph: GraphFile, settings: EngineSettings, verified: VerifiedEngines
) -> Engine:
    import onnxruntime

    verified.check(onnxruntime.__version__, cpu_name())
    return load_reference(bundle, _of_bundle(bundle, graph, verified), settings)


def _tensorrt(
    bundle: Bundle,
    graph: GraphFile,
    settings: EngineSettings,
    verified: VerifiedEngines,
) -> Engine:
    from edge.engines.cuda.library import load_cuda
    from edge.engines.tensorrt.engine import TensorRTEngine
    from edge.engines.tensorrt.library import load_library

    record, path = verified.record, verified.file(graph.role)
    library = load_library("tensorrt_rtx" if record.backend == "tensorrt_rtx" else "tensorrt")
    cuda = load_cuda(settings.cuda)
    verified.check(library.version, str(cuda.gpu()))
    if read_engine_file(path).engine_sha256 != record.engines[graph.role].sha256:
        raise EngineLoadError(f"{path}: not the engine whose parity was checked; {REBUILD}")
    return TensorRTEngine(path, graph, library, cuda, use_cuda_graph=settings.cuda_graph)


def _openvino(
    bundle: Bundle, graph: GraphFile, settings: EngineSettings, verified: VerifiedEngines
) -> Engine:
    from edge.engines.openvino.engine import OpenVinoEngine, arithmetic_of
    from edge.engines.openvino.library import openvino_version

    verified.check(openvino_version(), cpu_name())
    wanted = _of_bundle(bundle, graph, verified)
    arithmetic = arithmetic_of(verified.record.precision)
    path, sha256 = bundle.path(wanted.file), bundle.graph_sha256(wanted)
    return OpenVinoEngine(path, wanted, settings.threads, arithmetic, sha256=sha256)


def _onnxruntime_gpu(
    bundle: Bundle,
    graph: GraphFile,
    settings: EngineSettings,
    verified: VerifiedEngines,
) -> Engine:
    import onnxruntime

    from edge.engines.onnx.gpu_engine import OnnxGpuEngine
    from edge.engines.onnx.library import PROVIDERS, gpu_name

    record, path = verified.record, verified.file(graph.role)
    verified.check(onnxruntime.__version__, gpu_name())
    expected = record.engines[graph.role].sha256
    if not path.is_file() or sha256(path) != expected:
        raise EngineLoadError(f"{path}: not the graph whose parity was checked; {REBUILD}")
    kept = graph.model_copy(update={"precision": record.precision})
    provider, cache = PROVIDERS[record.backend], verified.folder
    return OnnxGpuEngine(
        path, kept, provider, cache, sha256=expected, use_cuda_graph=settings.cuda_graph
    )


def _of_bundle(bundle: Bundle, graph: GraphFile, verified: VerifiedEngines) -> GraphFile:
    """Return the graph of a role that was verified; the record is of this bundle, so it exists."""
    file = verified.record.engines[graph.role].file
    return next(found for found in bundle.manifest.graphs if found.file == file)


# Loader of a verified engine, by the backend in its record.
LOADERS: dict[str, Loader] = {
    "onnxruntime": _onnxruntime,
    "onnxruntime_cuda": _onnxruntime_gpu,
    "onnxruntime_tensorrt": _onnxruntime_gpu,
    "openvino": _openvino,
    "tensorrt": _tensorrt,
    "tensorrt_rtx": _tensorrt,
}
# Backends of a record -> engine.backend of the station file that means them.
FAMILY = {
    "onnxruntime_cuda": "onnxruntime_gpu",
    "onnxruntime_tensorrt": "onnxruntime_gpu",
    "openvino": "openvino",
    "tensorrt": "tensorrt",
    "tensorrt_rtx": "tensorrt",
}
