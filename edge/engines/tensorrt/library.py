"""Load TensorRT or TensorRT for RTX, with a logger that keeps its errors."""

from __future__ import annotations

import functools
import logging
from collections import deque
from dataclasses import dataclass
from typing import Any

from edge.engines.tensorrt.engine_file import PRODUCTS, Product
from edge.errors import EngineLoadError

log = logging.getLogger(__name__)
# Before 10.3 there is no strongly typed network on any JetPack that we support.
OLDEST = {"tensorrt": (10, 3), "tensorrt_rtx": (1, 0)}
INSTALL = {
    "tensorrt": "it comes with JetPack or NVIDIA's packages",
    "tensorrt_rtx": "pip install 'edge-inspection[rtx]'",
}


@dataclass(frozen=True, slots=True, eq=False)
class Library:
    """TensorRT or TensorRT for RTX, loaded.

    Attributes:
        trt: the module; both products have the same names as far as we use them.
        logger: passed to all TensorRT objects; a process keeps the first one it gets.
        problems: the last errors it logged. TensorRT gives reasons of failures nowhere else.
    """

    product: Product
    trt: Any
    logger: Any
    problems: deque[str]

    @property
    def version(self) -> str:
        """Full version, such as `10.13.3.9`."""
        return str(self.trt.__version__)

    def why(self) -> str:
        """Return the first error since the last call, in one line."""
        first = self.problems[0] if self.problems else "it does not say why"
        self.problems.clear()
        return first


def load_library(product: Product) -> Library:
    """Import a product, once per process.

    Raises:
        EngineLoadError: it is not installed, does not load, or is too old.
    """
    return _load(product)


@functools.cache
def _load(product: Product) -> Library:
    name = PRODUCTS[product]
    try:
        if product == "tensorrt":
            import tensorrt as trt
        else:
            import tensorrt_rtx as trt
    except ImportError as error:
        raise EngineLoadError(f"{name}: not installed ({error}); {INSTALL[product]}") from error
    library = make_library(product, trt)
    found = tuple(int(part) for part in library.version.split(".")[:2])
    if found < OLDEST[product]:
        oldest = ".".join(str(part) for part in OLDEST[product])
        raise EngineLoadError(f"{name}: expected {oldest} or newer, found {library.version}")
    return library


def make_library(product: Product, trt: Any) -> Library:
    """Give a module a logger that keeps its errors."""
    problems: deque[str] = deque(maxlen=8)
    severity = trt.ILogger.Severity

    # Its base class exists only now that the module is loaded.
    class Logger(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)

        def log(self, level: Any, text: str) -> None:
            line = " ".join(text.split())
            if level in (severity.INTERNAL_ERROR, severity.ERROR):
                problems.append(line)
            elif level == severity.WARNING:
                log.debug("%s %s", product, line)

    return Library(product, trt, Logger(), problems)
