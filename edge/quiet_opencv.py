"""Keeps OpenCV from printing what is reported otherwise."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import cv2

# OpenCV 5 moved the functions.
_log = cv2 if hasattr(cv2, "setLogLevel") else cv2.utils.logging
_quiet_lock = threading.Lock()
_quiet = {"depth": 0, "level": 0}


@contextmanager
def quiet_opencv() -> Iterator[None]:
    """Keep OpenCV from printing what we report ourselves; nests, also across threads."""
    with _quiet_lock:
        if _quiet["depth"] == 0:
            _quiet["level"] = _log.setLogLevel(0)
        _quiet["depth"] += 1
    try:
        yield
    finally:
        with _quiet_lock:
            _quiet["depth"] -= 1
            if _quiet["depth"] == 0:
                _log.setLogLevel(_quiet["level"])
