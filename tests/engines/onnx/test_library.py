"""ONNX Runtime's providers: what is not there is an error, and nothing moves to the CPU unasked."""

from __future__ import annotations

from pathlib import Path

import onnxruntime
import pytest

from edge.bundle.store import Bundle, open_bundle
from edge.engines.onnx import gpu_engine as onnx_gpu_engine
from edge.engines.onnx import library as onnx_providers
from edge.engines.onnx.gpu_engine import OnnxGpuEngine
from edge.engines.onnx.library import check_providers, gpu_name, session_providers
from edge.errors import EngineLoadError
from tests.support.bundles import DEMO_BUNDLE

HAS_GPU_BUILD = "CUDAExecutionProvider" in onnxruntime.get_available_providers()


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return open_bundle(DEMO_BUNDLE)


@pytest.mark.skipif(HAS_GPU_BUILD, reason="this build of ONNX Runtime has the GPU's providers")
@pytest.mark.parametrize(
    ("provider", "name"),
    [("cuda", "CUDAExecutionProvider"), ("tensorrt", "TensorrtExecutionProvider")],
)
def test_an_absent_provider_is_one_clear_line(bundle: Bundle, provider: str, name: str) -> None:
    words = rf"expected {name}, this build has .*CPUExecutionProvider; install .* onnxruntime-gpu"
    with pytest.raises(EngineLoadError, match=words) as refused:
        OnnxGpuEngine(bundle.path(bundle.graph.file), bundle.graph, provider)
    assert "\n" not in str(refused.value)


@pytest.mark.skipif(
    "AzureExecutionProvider" not in onnxruntime.get_available_providers(),
    reason="needs a provider that is there and takes nothing of ours",
)
def test_nodes_that_a_provider_leaves_do_not_move_to_the_cpu(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture
) -> None:
    """A real session of a provider that takes none of the nodes: they would all fall to the CPU."""
    taken = [("AzureExecutionProvider", {})]
    monkeypatch.setattr(onnx_gpu_engine, "session_providers", lambda *_: taken)
    monkeypatch.setattr(onnx_gpu_engine, "gpu_name", lambda: "a GPU")
    with pytest.raises(EngineLoadError, match="fallback to CPU EP has been explicitly disabled"):
        OnnxGpuEngine(bundle.path(bundle.graph.file), bundle.graph, "cuda")


def test_a_provider_that_did_not_load_is_missed() -> None:
    """TensorRT's libraries are absent: the session would run on CUDA alone."""
    with pytest.raises(EngineLoadError, match="TensorrtExecutionProvider did not load"):
        check_providers("tensorrt", ["CUDAExecutionProvider", "CPUExecutionProvider"])
    check_providers("cuda", ["CUDAExecutionProvider", "CPUExecutionProvider"])


def test_tensorrt_keeps_its_engines_and_hands_the_rest_to_cuda(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(onnx_providers.ort, "get_available_providers", lambda: both)
    (first, options), (second, cuda_options) = session_providers("tensorrt", tmp_path)
    assert [first, second] == both[:2]
    assert options["trt_engine_cache_path"] == str(tmp_path)
    assert cuda_options == {"use_tf32": 0}
    assert dict(session_providers("tensorrt", None))[first] == {}


def test_the_gpu_is_named_by_its_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_providers, "_DRIVER_FOLDER", tmp_path)
    with pytest.raises(EngineLoadError, match="no NVIDIA driver is loaded"):
        gpu_name()
    (tmp_path / "0000:01:00.0").mkdir()
    information = "Model: \t\t NVIDIA RTX 4000 Ada\nIRQ:   \t\t 170\n"
    (tmp_path / "0000:01:00.0" / "information").write_text(information)
    assert gpu_name() == "NVIDIA RTX 4000 Ada"
