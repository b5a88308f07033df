"""ONNX Runtime on an NVIDIA GPU, with all tensors in its memory and a CUDA graph."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from edge.bundle.manifest import GraphFile
from edge.engines.onnx.engine import OnnxEngine, session_options
from edge.engines.onnx.library import (
    BACKENDS,
    Provider,
    check_providers,
    forbid_fallback,
    gpu_name,
    session_providers,
)
from edge.engines.protocol import Arrays, EngineInfo
from edge.errors import EngineLoadError, InferenceError

log = logging.getLogger(__name__)
# ONNX Runtime records its CUDA graph in the first run and replays it from the second.
WARM_UP_RUNS = 2


class OnnxGpuEngine(OnnxEngine):
    """One graph on an execution provider for NVIDIA GPUs.

    A tensor bound in the CPU's memory would be copied when it is bound, not when it is run: every
    frame would be judged as the first. So all tensors stay on the device, and frames are copied.

    Args:
        path: an ONNX file.
        graph: its description.
        provider: the execution provider; see edge.engines.onnx.library.
        cache: folder for what the provider compiles; None keeps nothing.
        sha256: of the file; None for one that nobody else can have exchanged.
        use_cuda_graph: launch all kernels as one, with the CUDA provider; without it the launches
            of a small network take longer than its work.

    Raises:
        EngineLoadError: the file does not load or its tensors differ from `graph`, or the provider
            is not there or does not take the whole graph.
    """

    def __init__(
        self,
        path: Path,
        graph: GraphFile,
        provider: Provider,
        cache: Path | None = None,
        *,
        sha256: str | None = None,
        use_cuda_graph: bool = True,
    ):
        self._provider: Provider = provider
        backend = BACKENDS[provider]
        providers = session_providers(provider, cache)
        self.info = EngineInfo(backend, ort.__version__, graph.precision, gpu_name(), 0)
        options = session_options(1, graph.precision)
        forbid_fallback(options)
        if use_cuda_graph and provider == "cuda":
            try:
                self._load(path, graph, options, _with_cuda_graph(providers), sha256)
            except EngineLoadError as error:
                log.info("cuda graph off reason=%s", error)
            else:
                return
        self._load(path, graph, options, providers, sha256)

    def _load(
        self,
        path: Path,
        graph: GraphFile,
        options: ort.SessionOptions,
        providers: list[tuple[str, dict[str, Any]]],
        sha256: str | None,
    ) -> None:
        self._open(path, graph, options, providers, sha256)
        assert self._session is not None  # noqa: S101 - narrowing only
        check_providers(self._provider, self._session.get_providers())
        blank = {name: np.zeros(spec.shape, spec.dtype) for name, spec in self._inputs.items()}
        try:
            for _ in range(WARM_UP_RUNS):
                self.run(blank)
        except InferenceError as error:
            raise EngineLoadError(f"{path}: the first run failed: {error}") from error

    def _bind(self) -> None:
        self._sent, self._received = (
            {
                name: ort.OrtValue.ortvalue_from_numpy(np.zeros(spec.shape, spec.dtype), "cuda", 0)
                for name, spec in specs.items()
            }
            for specs in (self._inputs, self._outputs)
        )
        for name, value in self._sent.items():
            self._binding.bind_ortvalue_input(name, value)
        for name, value in self._received.items():
            self._binding.bind_ortvalue_output(name, value)

    def _send(self, inputs: Arrays) -> None:
        for name, array in inputs.items():
            self._sent[name].update_inplace(np.ascontiguousarray(array))

    def _fetch(self) -> dict[str, NDArray[Any]]:
        self._binding.synchronize_outputs()
        return {name: value.numpy() for name, value in self._received.items()}


def _with_cuda_graph(
    providers: list[tuple[str, dict[str, Any]]],
) -> list[tuple[str, dict[str, Any]]]:
    return [(name, options | {"enable_cuda_graph": "1"}) for name, options in providers]
