"""ONNX Runtime's execution providers for NVIDIA GPUs: CUDA and TensorRT.

They need a build of ONNX Runtime that has its providers, such as the package onnxruntime-gpu in
place of onnxruntime. Nothing falls back to the CPU: a provider that does not load, or does not take
a node, is an error.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Literal

import onnxruntime as ort

from edge.errors import EngineLoadError

Provider = Literal["cuda", "tensorrt"]
# Backend of an engine in EngineInfo and parity records.
BACKENDS: Final[dict[Provider, str]] = {
    "cuda": "onnxruntime_cuda",
    "tensorrt": "onnxruntime_tensorrt",
}
PROVIDERS: Final = {backend: provider for provider, backend in BACKENDS.items()}
_CUDA, _TENSORRT = (f"{name}ExecutionProvider" for name in ("CUDA", "Tensorrt"))
# First choice first: what TensorRT does not take goes to CUDA.
_PROVIDERS: Final[dict[Provider, tuple[str, ...]]] = {
    "cuda": (_CUDA,),
    "tensorrt": (_TENSORRT, _CUDA),
}
_DRIVER_FOLDER = Path("/proc/driver/nvidia/gpus")


def session_providers(provider: Provider, cache: Path | None) -> list[tuple[str, dict[str, Any]]]:
    """Providers of a session with their options.

    Args:
        provider: what the station or target asks for.
        cache: folder where TensorRT keeps its engines, which take minutes to build; None: nowhere.

    Raises:
        EngineLoadError: this build of ONNX Runtime lacks one of them.
    """
    names, available = _PROVIDERS[provider], ort.get_available_providers()
    if missing := [name for name in names if name not in available]:
        raise EngineLoadError(
            f"ONNX Runtime {ort.__version__}: expected {missing[0]}, this build has "
            f"{', '.join(available)}; install a build for NVIDIA GPUs, such as onnxruntime-gpu"
        )
    options: dict[str, dict[str, Any]] = {name: {} for name in names}
    if provider == "tensorrt" and cache is not None:
        options[_TENSORRT] = {
            "trt_engine_cache_enable": True,
            "trt_engine_cache_path": str(cache),
            "trt_timing_cache_enable": True,
            "trt_timing_cache_path": str(cache),
        }
    # FP32 stays FP32: TF32 keeps 10 bits of the mantissa.
    options[_CUDA] = {"use_tf32": 0}
    return list(options.items())


def forbid_fallback(options: ort.SessionOptions) -> None:
    """Make a session fail that would compute anything on the CPU."""
    options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")


def check_providers(provider: Provider, loaded: Sequence[str]) -> None:
    """Compare the providers a session has with those it was given: what fails to load is left out.

    Raises:
        EngineLoadError: one is missing.
    """
    if missing := [name for name in _PROVIDERS[provider] if name not in loaded]:
        raise EngineLoadError(
            f"ONNX Runtime {ort.__version__}: {missing[0]} did not load; expected the CUDA, cuDNN "
            "or TensorRT libraries that this build was made for"
        )


def gpu_name() -> str:
    """Name of the first NVIDIA GPU by its driver.

    Raises:
        EngineLoadError: no driver is loaded.
    """
    for path in sorted(_DRIVER_FOLDER.glob("*/information")):
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "Model":
                return value.strip()
    raise EngineLoadError(
        f"ONNX Runtime on a GPU: no NVIDIA driver is loaded ({_DRIVER_FOLDER} is absent or empty)"
    )
