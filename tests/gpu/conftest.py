"""Tests that need an NVIDIA GPU: what the fakes of CUDA and TensorRT elsewhere stand for."""

from __future__ import annotations

import pytest

from edge.engines.cuda.library import load_cuda
from edge.engines.cuda.protocol import Cuda
from edge.errors import EngineLoadError


@pytest.fixture(scope="session")
def cuda() -> Cuda:
    try:
        cuda = load_cuda("auto")
        cuda.gpu()
    except EngineLoadError as error:
        pytest.skip(f"NOT RUN: {error}")
    return cuda
