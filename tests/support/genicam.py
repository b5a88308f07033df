"""Sources of `genicam://` cameras for tests."""

from __future__ import annotations

from contextlib import contextmanager

from edge.cameras.factory import make_source
from edge.config.camera import CameraSettings

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
