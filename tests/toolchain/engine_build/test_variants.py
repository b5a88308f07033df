"""The order in which engine variants are tried."""

from __future__ import annotations

from edge.toolchain.engine_build.target_profile import read_target
from edge.toolchain.engine_build.variants import EngineVariant, variants

TENSORRT = read_target("jetson-orin-nano-jp62")
CPU = read_target("cpu")
BF16 = read_target("cpu-openvino")


def test_the_fallback_order_is_the_documented_one() -> None:
    assert [str(variant) for variant in variants(TENSORRT, fallback=True)] == [
        "tensorrt fp16",
        "tensorrt fp16, attention apart",
        "tensorrt fp32",
        "onnxruntime fp32",
    ]
    int8 = TENSORRT.model_copy(update={"precision": "int8"})
    assert [str(variant) for variant in variants(int8, fallback=True)][:2] == [
        "tensorrt int8",
        "tensorrt fp16",
    ]
    assert [str(variant) for variant in variants(TENSORRT, fallback=False)] == ["tensorrt fp16"]
    assert [str(variant) for variant in variants(CPU, fallback=True)] == ["onnxruntime fp32"]


def test_the_fallback_order_ends_at_the_reference() -> None:
    assert variants(BF16, fallback=False) == (EngineVariant("openvino", "bf16"),)
    assert variants(BF16, fallback=True) == (
        EngineVariant("openvino", "bf16"),
        EngineVariant("openvino", "fp32"),
        EngineVariant("onnxruntime", "fp32"),
    )
    targets = {
        "gpu-onnxruntime": "onnxruntime_tensorrt",
        "gpu-onnxruntime-cuda": "onnxruntime_cuda",
    }
    for name, backend in targets.items():
        assert variants(read_target(name), fallback=True) == (
            EngineVariant(backend, "fp16"),
            EngineVariant(backend, "fp32"),
            EngineVariant("onnxruntime", "fp32"),
        )
