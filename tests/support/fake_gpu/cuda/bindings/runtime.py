"""Put tests/support/fake_gpu and the repository first on PYTHONPATH to have a GPU that is none."""

from tests.support.fake_cuda import FakeCudart

CUDART = FakeCudart()


def __getattr__(name):
    return getattr(CUDART, name)
