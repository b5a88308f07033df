"""The CUDA seam: both bindings, and what each says when there is no GPU."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from edge.bundle.store import Bundle, open_bundle
from edge.engines.cuda.cuda_python_binding import CudaPython
from edge.engines.cuda.gpu import l4t_release
from edge.engines.cuda.library import load_cuda
from edge.engines.cuda.protocol import Cuda
from edge.engines.cuda.pycuda_binding import PyCuda
from edge.engines.tensorrt.engine import TensorRTEngine
from edge.errors import EngineLoadError, InferenceError
from tests.support.bundles import DEMO_BUNDLE
from tests.support.engines import make_machine, random_frame, write_engine
from tests.support.fake_cuda import FakeCudart, cudaError_t
from tests.support.fake_pycuda import FakePyCuda


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return open_bundle(DEMO_BUNDLE)


@pytest.fixture
def cudart() -> FakeCudart:
    return FakeCudart()


@pytest.fixture(params=["cuda-python", "pycuda"])
def cuda(request, cudart: FakeCudart) -> Cuda:
    return CudaPython(cudart) if request.param == "cuda-python" else PyCuda(FakePyCuda(cudart))


def test_both_bindings_describe_the_same_gpu(cuda: Cuda) -> None:
    gpu = cuda.gpu()
    assert str(gpu) == "Orin (8.7)"
    assert (gpu.multiprocessors, gpu.memory_clock_khz) == (8, 3_199_000)
    assert (gpu.driver, gpu.runtime) == ("12.6", "12.6")


def test_what_is_copied_to_the_device_comes_back(cuda: Cuda, cudart: FakeCudart) -> None:
    stream, buffer = cuda.open_stream(), cuda.allocate(1000)
    buffer.host[...] = np.arange(1000) % 251
    cuda.copy(buffer, "device", stream)
    cuda.synchronise(stream)
    buffer.host[...] = 0
    cuda.copy(buffer, "host", stream)
    cuda.synchronise(stream)
    assert np.array_equal(buffer.host, np.arange(1000) % 251)
    cuda.free(buffer)
    cuda.close_stream(stream)
    del stream
    cudart.assert_clean()


@pytest.mark.parametrize("call", ["cudaMalloc", "cudaHostAlloc"])
def test_no_memory_is_an_error_of_loading(cuda: Cuda, cudart: FakeCudart, call: str) -> None:
    cudart.statuses[call] = cudaError_t.cudaErrorMemoryAllocation
    with pytest.raises(EngineLoadError, match=f"CUDA: {call}"):
        cuda.allocate(10)


def test_a_failed_copy_is_an_error_of_the_run(cuda: Cuda, cudart: FakeCudart) -> None:
    stream, buffer = cuda.open_stream(), cuda.allocate(10)
    cudart.statuses["cudaMemcpyAsync"] = cudaError_t.cudaErrorIllegalAddress
    with pytest.raises(InferenceError, match="CUDA: cudaMemcpyAsync"):
        cuda.copy(buffer, "device", stream)
    cuda.free(buffer)
    cuda.close_stream(stream)


def test_an_engine_runs_on_both_from_any_thread(
    cuda: Cuda, cudart: FakeCudart, bundle: Bundle, tmp_path: Path
) -> None:
    machine = make_machine()
    machine.trt.cudart = cudart
    onnx = bundle.path(bundle.graph.file)
    path = write_engine(tmp_path / "a.engine", onnx, bundle.graph, machine)
    frame = random_frame(bundle.graph)
    found = []
    with TensorRTEngine(path, bundle.graph, machine.library, cuda) as engine:

        def judge(engine: TensorRTEngine = engine) -> None:
            found.append(engine.run(frame)["score"][0])

        thread = threading.Thread(target=judge)
        thread.start()
        thread.join()
        judge()
    assert found[0] == found[1] > 0
    del engine, judge
    cudart.assert_clean()


def test_what_cannot_be_freed_is_logged_and_the_rest_is_freed(
    cudart: FakeCudart, caplog: pytest.LogCaptureFixture
) -> None:
    cuda = CudaPython(cudart)
    buffer = cuda.allocate(10)
    free, cudart.cudaFree = cudart.cudaFree, lambda devPtr: (cudaError_t.cudaErrorIllegalAddress,)
    cudart.cudaFree.__name__ = "cudaFree"
    cuda.free(buffer)
    assert "not freed reason=CUDA: cudaFree: fake IllegalAddress" in caplog.text
    assert [side for side, _ in cudart.memory.values()] == ["device"]
    free(buffer.device)


def test_no_driver_and_no_gpu_are_one_line_each(cudart: FakeCudart) -> None:
    cudart.statuses["cudaGetDeviceCount"] = cudaError_t.cudaErrorInsufficientDriver
    with pytest.raises(EngineLoadError, match="install the NVIDIA driver"):
        CudaPython(cudart).gpu()
    cudart.statuses["cudaGetDeviceCount"] = cudaError_t.cudaErrorNoDevice
    with pytest.raises(EngineLoadError, match="no NVIDIA GPU is visible"):
        CudaPython(cudart).gpu()
    cudart.statuses["cuInit"] = cudaError_t.cudaErrorNoDevice
    with pytest.raises(EngineLoadError, match="no CUDA-capable device"):
        PyCuda(FakePyCuda(cudart))


def test_the_real_binding_says_in_one_line_that_there_is_no_gpu() -> None:
    runtime = pytest.importorskip("cuda.bindings.runtime", reason="needs cuda-bindings: extra gpu")
    status, count = runtime.cudaGetDeviceCount()
    if status == runtime.cudaError_t.cudaSuccess and count:
        pytest.skip("this machine has a GPU")
    with pytest.raises(EngineLoadError, match=r"^CUDA: .*engine\.backend: onnxruntime$") as caught:
        load_cuda()
    assert "\n" not in str(caught.value)


def test_a_missing_binding_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pycuda", None)
    with pytest.raises(EngineLoadError, match=r"pycuda does not load .*; pip install pycuda"):
        load_cuda("pycuda")


@pytest.mark.parametrize(
    ("text", "release"),
    [
        ("# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64", "36.4.3"),
        ("# R38 (release), REVISION: 2.0, GCID: 1", "38.2.0"),
        ("something else", ""),
    ],
)
def test_the_jetson_release_is_read(tmp_path: Path, text: str, release: str) -> None:
    path = tmp_path / "nv_tegra_release"
    path.write_text(text + "\nSTRING: other\n")
    assert l4t_release(path) == release
    assert l4t_release(tmp_path / "absent") == ""
