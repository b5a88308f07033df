import threading

import cv2
import numpy as np
import pytest

from edge.cameras.opencv import VideoHandle
from edge.quiet_opencv import quiet_opencv


class SlowDriver:
    """A driver that crashes when released during a call."""

    calls = 0
    released = 0
    is_reading = threading.Event()
    let_go = threading.Event()

    def __init__(self, *arguments):
        pass

    def isOpened(self):  # noqa: N802
        return True

    def read(self):
        SlowDriver.calls += 1
        self.is_reading.set()
        assert self.let_go.wait(30)
        SlowDriver.calls -= 1
        return True, np.zeros((2, 2, 3), np.uint8)

    def release(self):
        assert SlowDriver.calls == 0, "released under a running read: a crash"
        SlowDriver.released += 1


@pytest.fixture
def handle(monkeypatch):
    monkeypatch.setattr(cv2, "VideoCapture", SlowDriver)
    monkeypatch.setattr(SlowDriver, "released", 0)
    monkeypatch.setattr(SlowDriver, "is_reading", threading.Event())
    monkeypatch.setattr(SlowDriver, "let_go", threading.Event())
    handle = VideoHandle()
    assert handle.open("x", cv2.CAP_ANY)
    return handle


def test_close_during_a_read_returns_at_once_and_the_reader_releases(handle):
    got = []
    reader = threading.Thread(target=lambda: got.append(handle.read()))
    reader.start()
    assert SlowDriver.is_reading.wait(30)
    handle.close()
    assert reader.is_alive(), "close does not wait for the reader"
    assert SlowDriver.released == 0
    SlowDriver.let_go.set()
    reader.join(30)
    assert SlowDriver.released == 1
    assert got[0] is not None, "a late picture is handed out, so that it can be counted"
    assert handle.read() is None


def test_close_while_nobody_reads_releases_once(handle):
    handle.close()
    handle.close()
    assert SlowDriver.released == 1
    assert handle.get(cv2.CAP_PROP_FPS) == 0


def test_a_handle_can_be_opened_again(handle):
    handle.close()
    assert handle.open("x", cv2.CAP_ANY)
    SlowDriver.let_go.set()
    assert handle.read() is not None


def test_quiet_nests_and_gives_the_level_back():
    log = cv2 if hasattr(cv2, "setLogLevel") else cv2.utils.logging
    before = log.getLogLevel()
    with quiet_opencv():
        with quiet_opencv():
            assert log.getLogLevel() == 0
        assert log.getLogLevel() == 0
    assert log.getLogLevel() == before
