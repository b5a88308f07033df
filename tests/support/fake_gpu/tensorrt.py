"""See cuda/bindings/runtime.py beside this file."""

import os

from cuda.bindings.runtime import CUDART

from tests.support.fake_tensorrt import FakeTensorRT

TENSORRT = FakeTensorRT(CUDART, os.environ.get("FAKE_TENSORRT", "10.3.0"))


def __getattr__(name):
    return getattr(TENSORRT, name)
