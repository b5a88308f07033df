"""Load the installed CUDA binding."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from edge.engines.cuda.cuda_python_binding import CudaPython
from edge.engines.cuda.protocol import Cuda
from edge.engines.cuda.pycuda_binding import PyCuda
from edge.errors import EngineLoadError

Binding = Literal["auto", "cuda-python", "pycuda"]
INSTALL = {
    "cuda-python": "pip install 'edge-inspection[gpu]'",
    "pycuda": "pip install pycuda where the CUDA toolkit is installed",
}


def load_cuda(binding: Binding = "auto") -> Cuda:
    """Load a binding and check that there is a GPU.

    Raises:
        EngineLoadError: neither binding is installed, or there is no driver or GPU.
    """
    loaders: dict[str, Callable[[], Cuda]] = {"cuda-python": CudaPython, "pycuda": PyCuda}
    missing: ImportError | None = None
    for name in loaders if binding == "auto" else (binding,):
        try:
            cuda = loaders[name]()
        except ImportError as error:
            missing = missing or error
            continue
        cuda.gpu()
        return cuda
    name = "cuda-python" if binding == "auto" else binding
    raise EngineLoadError(
        f"CUDA: {name} does not load ({missing}); {INSTALL[name]}, or set engine.backend: "
        "onnxruntime"
    )
