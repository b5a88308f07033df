"""Compiled engines for tests: the demo's graph as fake TensorRT keeps it, with a true side file."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge.bundle.manifest import GraphFile
from edge.bundle.store import Bundle, sha256
from edge.engines.cache_trust import make_seal, seal_path
from edge.engines.cuda.cuda_python_binding import CudaPython
from edge.engines.cuda.gpu import Gpu
from edge.engines.tensorrt.engine import TensorRTEngine
from edge.engines.tensorrt.engine_file import BuildOptions, EngineFile, engine_key, side_path
from edge.engines.tensorrt.library import Library, make_library
from edge.engines.verified import PARITY, DeviceParity, EnginePart
from tests.support.fake_cuda import FakeCudart
from tests.support.fake_tensorrt import MAGIC, FakeTensorRT


@dataclass
class Machine:
    """A device that is none: CUDA, TensorRT and what our code makes of them."""

    cudart: FakeCudart
    trt: FakeTensorRT
    cuda: CudaPython
    library: Library

    @property
    def gpu(self) -> Gpu:
        return self.cuda.gpu()


def make_machine(version: str = "10.3.0", capability: str = "8.7", gpu: str = "Orin") -> Machine:
    cudart = FakeCudart(capability, gpu)
    trt = FakeTensorRT(cudart, version)
    return Machine(cudart, trt, CudaPython(cudart), make_library("tensorrt", trt))


def write_engine(path: Path, onnx: Path, graph: GraphFile, machine: Machine) -> Path:
    """Write an engine with its side file, as a build on this machine would."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(MAGIC + onnx.read_bytes())
    gpu, version, options = machine.gpu, machine.library.version, BuildOptions()
    side = EngineFile(
        key=engine_key(sha256(onnx), graph, "tensorrt", version, gpu, options),
        graph=graph,
        graph_sha256=sha256(onnx),
        product="tensorrt",
        version=version,
        gpu=gpu,
        options=options,
        engine_sha256=sha256(path),
        engine_bytes=path.stat().st_size,
        build_seconds=1.0,
        created_at="2026-01-01T00:00:00+00:00",
        created_by="test",
    )
    side_path(path).write_text(side.model_dump_json(by_alias=True))
    return path


def write_record(folder: Path, bundle: Bundle, engines: dict, **changes) -> DeviceParity:
    """Write a passed parity record; `engines` is role -> path of an engine or a bundle's file."""
    folder.mkdir(parents=True, exist_ok=True)
    parts = {
        role: EnginePart(file=file.name, sha256=sha256(file))
        if isinstance(file, Path)
        else EnginePart(file=file, sha256=bundle.manifest.files[file])
        for role, file in engines.items()
    }
    own = bundle.manifest.parity[0]
    values = {
        "bundle_id": bundle.id,
        "key": hashlib.sha256(folder.name.encode()).hexdigest(),
        "backend": "tensorrt",
        "version": "10.3.0",
        "precision": "fp32",
        "device": "Orin (8.7)",
        "engines": parts,
        "parity": own,
        "score_tolerance": 0.01,
        "median_ms": 5.0,
        "created_at": "2026-01-01T00:00:00+00:00",
    }
    record = DeviceParity(**{**values, **changes})
    write_sealed(folder / PARITY, record.model_dump_json(by_alias=True).encode())
    return record


def write_sealed(path: Path, text: bytes) -> None:
    """Write a record as this device's own."""
    path.write_bytes(text)
    seal_path(path).write_bytes(make_seal(text))


def load(path: Path, graph: GraphFile, machine: Machine, **options) -> TensorRTEngine:
    return TensorRTEngine(path, graph, machine.library, machine.cuda, **options)


def random_frame(graph: GraphFile, seed: int = 0) -> dict[str, np.ndarray]:
    shape = graph.inputs[0].shape
    return {"frame": np.random.default_rng(seed).integers(0, 255, shape, np.uint8)}
