"""The seam's calls on a GPU: copies arrive, recorded work runs again, failures are named."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from edge.engines.cuda.protocol import Cuda
from edge.errors import EngineLoadError

SIZE = 3 * 2**20 + 1


def test_a_copy_goes_to_the_device_and_back(cuda: Cuda):
    stream, buffer = cuda.open_stream(), cuda.allocate(SIZE)
    sent = np.random.default_rng(0).integers(0, 256, SIZE).astype(np.uint8)
    buffer.host[:] = sent
    cuda.copy(buffer, "device", stream)
    cuda.synchronise(stream)
    buffer.host[:] = 0
    cuda.copy(buffer, "host", stream)
    cuda.synchronise(stream)
    assert np.array_equal(buffer.host, sent)
    cuda.free(buffer)
    cuda.close_stream(stream)


def test_recorded_work_runs_at_every_launch_and_not_before(cuda: Cuda):
    stream, buffer = cuda.open_stream(), cuda.allocate(SIZE)
    buffer.host[:] = 7
    cuda.copy(buffer, "device", stream)
    cuda.synchronise(stream)
    buffer.host[:] = 0
    captured = cuda.capture(stream, lambda: cuda.copy(buffer, "host", stream))
    if captured is None:
        pytest.skip("NOT RUN: this binding records no CUDA graphs")
    cuda.synchronise(stream)
    assert not buffer.host.any(), "recording must not run the work"
    for _ in range(2):
        buffer.host[:] = 0
        captured.launch()
        cuda.synchronise(stream)
        assert (buffer.host == 7).all()
    captured.close()
    cuda.free(buffer)
    cuda.close_stream(stream)


def test_another_thread_may_allocate_while_work_is_recorded(cuda: Cuda):
    stream, buffer = cuda.open_stream(), cuda.allocate(SIZE)

    def work() -> None:
        cuda.copy(buffer, "host", stream)
        other = threading.Thread(target=lambda: cuda.free(cuda.allocate(SIZE)))
        other.start()
        other.join()

    captured = cuda.capture(stream, work)
    if captured is None and type(cuda).__name__ != "CudaPython":
        pytest.skip("NOT RUN: this binding records no CUDA graphs")
    assert captured is not None
    captured.close()
    cuda.free(buffer)
    cuda.close_stream(stream)


def test_what_does_not_fit_is_refused_with_advice(cuda: Cuda):
    with pytest.raises(EngineLoadError, match=r"cudaErrorMemoryAllocation\); stop other programs"):
        cuda.allocate(2**46)
    # The failure is not left behind for the next call.
    cuda.free(cuda.allocate(SIZE))
