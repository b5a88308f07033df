"""Our fakes offer nothing that the real modules do not: names, arguments, enumerations.

Recorded for releases of TensorRT (see tests/models/record_tensorrt_api.py), live for TensorRT for
RTX and cuda-python where they are installed.
"""

from __future__ import annotations

import inspect
import json

import pytest

from tests.support import fake_cuda, fake_tensorrt
from tests.support.bundles import ROOT
from tests.support.fake_cuda import FakeCudart
from tests.support.gpu_api import ENUMS, offered, used

RECORD = json.loads((ROOT / "tests" / "models" / "tensorrt_api.json").read_text())
CUDA_ENUMS = ("cudaError_t", "cudaMemcpyKind", "cudaStreamCaptureMode", "cudaDeviceAttr")


def differences(found: dict) -> list[str]:
    """What we use that a module does not have, or has with other arguments."""
    wrong = []
    for name, arguments in used().items():
        real = found.get(name, "absent")
        if arguments is None or real is None or real == "absent":
            is_same = real is None and arguments is None
        else:
            is_same = any(overload[: len(arguments)] == arguments for overload in real)
        if not is_same:
            wrong.append(f"{name}: expected {arguments}, found {real}")
    for name, members in ENUMS.items():
        wrong += [f"{name}.{member}" for member in members if member not in found[name]]
    return wrong


@pytest.mark.parametrize("version", RECORD)
def test_every_release_of_tensorrt_has_what_we_use(version: str) -> None:
    assert differences(RECORD[version]) == []


def test_the_record_spans_the_releases_that_we_support() -> None:
    assert {tuple(map(int, version.split(".")[:2])) for version in RECORD} >= {
        (10, 3), (10, 13), (10, 16), (11, 4),
    }  # fmt: skip


def test_the_number_of_the_strongly_typed_flag_is_not_the_same_everywhere() -> None:
    numbers = {
        v: found["NetworkDefinitionCreationFlag"]["STRONGLY_TYPED"] for v, found in RECORD.items()
    }
    assert numbers["10.3.0"] == 1
    assert numbers["11.4.0.106"] == 0


def test_tensorrt_for_rtx_has_what_we_use() -> None:
    trt = pytest.importorskip("tensorrt_rtx", reason="needs TensorRT for RTX: extra rtx")
    assert differences(offered(trt)) == []


def test_a_wrong_name_or_argument_would_be_noticed() -> None:
    found = json.loads(json.dumps(RECORD["10.3.0"]))
    found["IExecutionContext.execute_async_v3"] = "absent"
    found["IExecutionContext.set_tensor_address"] = [["tensor_name", "memory"]]
    found["ICudaEngine.num_io_tensors"] = [[]]
    found["MemoryPoolType"] = {}
    assert [line.split(":")[0] for line in sorted(differences(found))] == [
        "ICudaEngine.num_io_tensors",
        "IExecutionContext.execute_async_v3",
        "IExecutionContext.set_tensor_address",
        "MemoryPoolType.WORKSPACE",
    ]


def test_cuda_python_has_what_we_use() -> None:
    runtime = pytest.importorskip("cuda.bindings.runtime", reason="needs cuda-bindings: extra gpu")
    functions = {
        n: f for n, f in vars(FakeCudart).items() if n.startswith("cuda") and inspect.isfunction(f)
    }
    assert len(functions) >= 18
    for name, function in functions.items():
        real = getattr(runtime, name).__doc__.strip().splitlines()[0]
        assert real.startswith(f"{name}(")
        arguments = [a.split(":")[0].split()[-1] for a in real[len(name) + 1 : -1].split(", ") if a]
        assert list(inspect.signature(function).parameters)[1:] == arguments, name
    for name in CUDA_ENUMS:
        for member in getattr(fake_cuda, name):
            assert int(getattr(getattr(runtime, name), member.name)) == member
    assert runtime.cudaHostAllocDefault == FakeCudart.cudaHostAllocDefault
    assert runtime.cudaStreamNonBlocking == FakeCudart.cudaStreamNonBlocking


def test_our_data_types_have_the_numbers_of_tensorrt() -> None:
    for found in RECORD.values():
        for member in fake_tensorrt.DataType:
            assert found["DataType"][member.name] == member
