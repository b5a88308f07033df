"""Driver calls that hang are given up, and what they return later is freed."""

from __future__ import annotations

import threading

import pytest

from edge.cameras.genicam.in_time import in_time
from edge.errors import CameraTimeout, CameraUnavailable


def test_a_call_in_time_returns_or_raises() -> None:
    assert in_time(lambda: 5, 10, pytest.fail, "expected") == 5

    def fail() -> None:
        raise CameraUnavailable("gone")

    with pytest.raises(CameraUnavailable, match="gone"):
        in_time(fail, 10, pytest.fail, "expected")


def test_a_late_answer_is_freed() -> None:
    go_on, freed = threading.Event(), threading.Event()

    def hang() -> str:
        go_on.wait(10)
        return "camera"

    def late(value: str) -> None:
        assert value == "camera"
        freed.set()

    with pytest.raises(
        CameraTimeout, match=r"top: expected it to open within 0.05 s, got no answer"
    ):
        in_time(hang, 0.05, late, "top: expected it to open")
    go_on.set()
    assert freed.wait(10)
