"""ONNX Runtime on the CPU: the reference engine, which every station can run."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from edge.bundle.manifest import GraphFile, TensorSpec
from edge.config.station import Spin
from edge.engines.graph_file import read_graph
from edge.engines.protocol import Arrays, Engine, EngineInfo, check_inputs
from edge.errors import EngineLoadError, InferenceError

# Optimisers that harm graphs with QuantizeLinear and DequantizeLinear nodes. The first makes a Gemm
# of a quantized MatMul with a bias. Gemm has no INT8 kernel for them: weights are dequantized for
# every frame, and INT8 is slower than FP32. The second quantizes weights that were left in float on
# purpose, with one scale for a whole layer.
HARM_INT8 = ("MatMulAddFusion", "WeightBiasQuantization")

# Most operators of a frame take less than this, so that the next one finds its threads awake; a
# thread whose core is wanted elsewhere loses little (docs/speed.md).
SPIN_US = 20

_DTYPES = {"tensor(uint8)": "uint8", "tensor(float)": "float32"}


class OnnxEngine(Engine):
    """One graph with static shapes; input and output buffers are bound once and reused."""

    _session: ort.InferenceSession | None = None
    _binding: Any = None

    def __init__(
        self,
        path: Path,
        graph: GraphFile,
        threads: int = 0,
        *,
        spin: Spin = "brief",
        sha256: str | None = None,
    ):
        """Load `path`.

        Args:
            path: an ONNX file.
            graph: its description.
            threads: of the CPU; 0 means one per physical core.
            spin: see session_options.
            sha256: of the file; None for one that nobody else can have exchanged.

        Raises:
            EngineLoadError: the file does not load, or needs other files, or its tensors differ
                from `graph`.
        """
        threads = threads or physical_cores()
        self.info = EngineInfo("onnxruntime", ort.__version__, graph.precision, "CPU", threads)
        options = session_options(threads, graph.precision, spin=spin)
        self._open(path, graph, options, [("CPUExecutionProvider", {})], sha256)

    def run(self, inputs: Arrays) -> dict[str, NDArray[Any]]:
        """Run the graph once; see `Engine.run`."""
        if self._session is None:
            raise InferenceError("engine: run after close")
        check_inputs(self._inputs, inputs)
        try:
            self._send(inputs)
            self._session.run_with_iobinding(self._binding)
            return self._fetch()
        except Exception as error:
            raise InferenceError(f"engine: ONNX Runtime failed: {error}") from error

    def close(self) -> None:
        """Drop the session and its threads."""
        self._session = self._binding = None

    def _open(
        self,
        path: Path,
        graph: GraphFile,
        options: ort.SessionOptions,
        providers: list[tuple[str, dict[str, Any]]],
        sha256: str | None = None,
    ) -> None:
        self._inputs = {spec.name: spec for spec in graph.inputs}
        self._outputs = {spec.name: spec for spec in graph.outputs}
        if graph.format != "onnx":
            raise EngineLoadError(
                f"{path}: expected an ONNX graph, found an OpenVINO IR; run it on OpenVINO"
            )
        model = read_graph(path, sha256)
        try:
            # Its own fallback prints to standard output and hides why it was needed.
            session = ort.InferenceSession(model, options, providers=providers, enable_fallback=0)
        except Exception as error:
            raise EngineLoadError(f"{path}: ONNX Runtime cannot load it: {error}") from error
        _check_graph(path, session, self._inputs, self._outputs)
        self._session = session
        self._binding = session.io_binding()
        self._bind()

    def _bind(self) -> None:
        """Give inputs and outputs memory where the graph runs."""
        self._buffers = {
            name: np.zeros(spec.shape, spec.dtype)
            for name, spec in {**self._inputs, **self._outputs}.items()
        }
        for name in self._inputs:
            self._binding.bind_ortvalue_input(name, _wrap(self._buffers[name]))
        for name in self._outputs:
            self._binding.bind_ortvalue_output(name, _wrap(self._buffers[name]))

    def _send(self, inputs: Arrays) -> None:
        for name, array in inputs.items():
            np.copyto(self._buffers[name], array)

    def _fetch(self) -> dict[str, NDArray[Any]]:
        return {name: self._buffers[name] for name in self._outputs}


def physical_cores() -> int:
    """Count physical cores this process may use; falls back to half the logical ones."""
    allowed = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
    logical = len(allowed) if allowed else os.cpu_count() or 1
    cores: set[tuple[str, str]] = set()
    for cpu in allowed or ():
        topology = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology")
        try:
            package = (topology / "physical_package_id").read_text(encoding="ascii")
            cores.add((package, (topology / "core_id").read_text(encoding="ascii")))
        except OSError:
            return max(1, logical // 2)
    return len(cores) or max(1, logical // 2)


def can_spin_briefly() -> bool:
    """Whether this ONNX Runtime, 1.26 or later, can limit how long a thread spins."""
    major, minor = ort.__version__.split(".")[:2]
    return (int(major), int(minor)) >= (1, 26)


def session_options(
    threads: int, precision: str = "fp32", *, spin: Spin = "brief"
) -> ort.SessionOptions:
    """Options of every session of ours; benchmarks compare against a bare session with the same.

    `spin` is how a thread waits for the next operator while a frame is computed: asleep (`off`),
    actively (`on`: fast where every thread has a core to itself, slow where something else wants
    the core), or actively for SPIN_US and then asleep (`brief`; asleep before ONNX Runtime 1.26,
    which cannot). Between frames threads always sleep.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    spins = spin == "on" or (spin == "brief" and can_spin_briefly())
    options.add_session_config_entry("session.intra_op.allow_spinning", str(int(spins)))
    # Camera, outbox and broker share these cores: between frames idle threads always sleep.
    options.add_session_config_entry("session.force_spinning_stop", str(int(spins)))
    if spins and spin == "brief":
        options.add_session_config_entry("session.intra_op.spin_duration_us", str(SPIN_US))
    if precision == "int8":
        options.add_session_config_entry(
            "optimization.disable_specified_optimizers", ";".join(HARM_INT8)
        )
        # x86 without VNNI adds 8-bit products in 16 bits, where they overflow silently. With this
        # option ONNX Runtime takes slower kernels there, and its usual ones elsewhere.
        options.add_session_config_entry("session.x64quantprecision", "1")
    # ONNX Runtime's own format begins like no ONNX model, but is taken where bytes look like it.
    options.add_session_config_entry("session.load_model_format", "ONNX")
    options.log_severity_level = 3
    return options


def _wrap(array: NDArray[Any]) -> ort.OrtValue:
    return ort.OrtValue.ortvalue_from_numpy(array)


def _check_graph(
    path: Path,
    session: ort.InferenceSession,
    inputs: dict[str, TensorSpec],
    outputs: dict[str, TensorSpec],
) -> None:
    for kind, nodes, specs in (
        ("inputs", session.get_inputs(), inputs),
        ("outputs", session.get_outputs(), outputs),
    ):
        found = {n.name: (tuple(n.shape), _DTYPES.get(n.type, n.type)) for n in nodes}
        wanted = {name: (spec.shape, spec.dtype) for name, spec in specs.items()}
        if found != wanted:
            raise EngineLoadError(f"{path}: expected {kind} {wanted} by bundle.json, got {found}")
