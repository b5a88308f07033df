"""Runtimes that compile while they load pass the same gate and are chosen in the same way."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

from edge.bundle.store import open_bundle
from edge.config.station import EngineSettings
from edge.engines.load import load_engine
from edge.engines.verified import PARITY
from edge.errors import EngineBuildError, EngineLoadError, ParityError
from edge.toolchain import parity
from edge.toolchain.engine_build.backends import find_backend
from edge.toolchain.engine_build.build import Built, build_engines
from edge.toolchain.engine_build.runtime_backends import OnnxGpuBackend
from edge.toolchain.engine_build.target_profile import TargetProfile, read_target
from edge.toolchain.engine_build.variants import EngineVariant
from edge.toolchain.parity import Tolerance
from tests.support.bundles import DEMO_BUNDLE
from tests.support.engines import write_sealed

BF16 = read_target("cpu-openvino")
FP32 = BF16.model_copy(update={"precision": "fp32"})

needs_openvino = pytest.mark.skipif(
    importlib.util.find_spec("openvino") is None,
    reason="OpenVINO NOT TESTED: pip install 'edge-inspection[openvino]'",
)


def build(out: Path, target: TargetProfile = FP32, **options: bool) -> Built:
    return build_engines(DEMO_BUNDLE, target, find_backend("x", target, out), out, **options)


def load(folder: Path, backend: str):
    settings = EngineSettings(backend=backend, folder=folder, threads=1)
    return load_engine(open_bundle(DEMO_BUNDLE), settings)


@needs_openvino
def test_openvino_runs_where_it_has_passed(tmp_path: Path) -> None:
    with pytest.raises(EngineLoadError, match="found none for openvino"):
        load(tmp_path, "openvino")
    built = build(tmp_path)
    record = built.verified.record
    assert built.is_new
    assert record.parity.passed
    assert (record.backend, record.precision) == ("openvino", "fp32")
    for backend in ("openvino", "auto"):
        with load(tmp_path, backend) as engine:
            assert (engine.info.backend, engine.info.is_verified) == ("openvino", True)
    assert not build(tmp_path).is_new, "what has passed is not verified again"


@needs_openvino
def test_a_record_of_another_release_is_not_trusted(tmp_path: Path) -> None:
    path = build(tmp_path).verified.folder / PARITY
    record = {**json.loads(path.read_text()), "version": "2024.0.0"}
    write_sealed(path, json.dumps(record).encode())
    with pytest.raises(EngineLoadError, match=r"checked with openvino 2024\.0\.0, here is 20"):
        load(tmp_path, "openvino")


@needs_openvino
def test_bf16_has_limits_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import openvino

    if "BF16" not in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        pytest.skip("this CPU computes no bf16")
    assert build(tmp_path, BF16).verified.record.precision == "bf16"
    with load(tmp_path, "openvino") as engine:
        assert engine.info.precision == "bf16", "as the record says, not as the graph does"
    strict = Tolerance(score=1e-6, map=1e-6, correlation=0.999999, types=1e-6, rounding=0)
    monkeypatch.setitem(parity.TOLERANCES, "bf16", strict)
    with pytest.raises(ParityError, match=r"openvino .* bf16 on CPU: does not decide"):
        build(tmp_path / "strict", BF16)
    built = build(tmp_path / "strict", BF16, fallback=True)
    assert built.verified.record.precision == "fp32"
    assert "does not decide" in built.refused[0]


@needs_openvino
def test_a_bundle_without_an_int8_graph_says_so(tmp_path: Path) -> None:
    int8 = FP32.model_copy(update={"precision": "int8"})
    if any(graph.precision == "int8" for graph in open_bundle(DEMO_BUNDLE).manifest.graphs):
        pytest.skip("the demo's bundle has one")
    with pytest.raises(EngineBuildError, match="has no int8 graph; pack one"):
        build(tmp_path, int8)


def test_a_gpu_graph_is_kept_beside_its_record(tmp_path: Path) -> None:
    """Its precision may not be in the bundle; what ran in the check is what runs on the line."""
    backend, variant = (
        OnnxGpuBackend("tensorrt", "a GPU"),
        EngineVariant("onnxruntime_tensorrt", "fp16"),
    )
    bundle = open_bundle(DEMO_BUNDLE)
    scratch, folder = tmp_path / "scratch", tmp_path / "engines"
    scratch.mkdir()
    folder.mkdir()
    source = backend.source(bundle, bundle.graph, variant, scratch)
    assert source.graph.precision == "fp16"
    part = backend.make(source, variant, folder)
    assert (folder / part.file).read_bytes() == source.path.read_bytes()
    assert "a GPU" in backend.key(source, variant)
    with pytest.raises(EngineLoadError, match="expected TensorrtExecutionProvider"):
        backend.load(source, variant, part, folder)
