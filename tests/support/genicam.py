"""Sources of `genicam://` cameras for tests."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager

from edge.cameras.factory import make_source
from edge.config.camera import CameraSettings
from edge.errors import CameraUnavailable

STALL_S = 10


def source_of(address="genicam://S42", stall_timeout_s=STALL_S, **features):
    settings = CameraSettings(
        name="top", source=address, features=features, stall_timeout_s=stall_timeout_s
    )
    return make_source(settings)


@contextmanager
def opened(*args, **features):
    source = source_of(*args, **features)
    source.open()
    try:
        yield source
    finally:
        source.close()


def fire_three_times(source) -> None:
    """Fire at an open camera that waits for triggers: one frame each, and none before or after."""
    frames, errors = [], []

    def read() -> None:
        try:
            while True:
                frames.append(source.read())
        except CameraUnavailable as error:
            errors.append(str(error))

    reader = threading.Thread(target=read)
    reader.start()
    time.sleep(1)
    assert frames == []
    for count in (1, 2, 3):
        source.fire()
        deadline = time.monotonic() + STALL_S
        while len(frames) < count:
            assert time.monotonic() < deadline
            time.sleep(0.005)
    time.sleep(0.2)
    assert len(frames) == 3
    source.close()
    reader.join(STALL_S)
    assert len(errors) == 1
    assert errors[0].endswith(": the camera is closed")
