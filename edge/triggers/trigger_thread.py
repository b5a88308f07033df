"""A thread that announces parts until it is stopped."""

from __future__ import annotations

import threading
from collections.abc import Callable


class TriggerThread:
    """What triggers that watch something in a thread of their own have in common."""

    def __init__(self) -> None:
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def stop(self, timeout_s: float) -> bool:
        """End; False when the thread did not end in time."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout_s)
        return self._thread is None or not self._thread.is_alive()

    def _begin(self, name: str, run: Callable[[], None]) -> None:
        self._thread = threading.Thread(target=run, name=name, daemon=True)
        self._thread.start()
