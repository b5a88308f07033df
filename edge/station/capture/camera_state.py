"""How one camera does: connected or lost, frames so far, frames per second."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from edge.cameras.description import CameraDescription

_RATE_WINDOW_NS = 5 * 10**9
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class CameraState:
    """How the camera does.

    Attributes:
        connected: open, and not found silent.
        ended: a finite source delivered its last frame.
        frames: delivered so far, broken ones included.
        reconnects: times the camera came back.
        last_frame_ns: monotonic clock of the last frame; None before the first.
        fps: frames per second over the last five seconds.
        detail: what is wrong, without credentials; empty while connected.
        description: the camera as it was when last opened; None when it does not say.
        transport: what was lost on the way from the camera, such as missing_packets.
    """

    connected: bool = False
    ended: bool = False
    frames: int = 0
    reconnects: int = 0
    last_frame_ns: int | None = None
    fps: float = 0.0
    detail: str = ""
    description: CameraDescription | None = None
    transport: Mapping[str, int] = field(default_factory=dict)


class CameraMonitor:
    """Keeps the state of a camera and reports its changes; safe to use from any thread.

    Args:
        camera: its name, for the log.
        on_change: gets the state whenever the camera comes, goes or ends, one call at a time; the
            last call always has the newest state.
    """

    def __init__(self, camera: str, on_change: Callable[[CameraState], None]):
        self._camera = camera
        self._on_change = on_change
        self._lock = threading.Lock()
        self._reporting = threading.Lock()
        self._state = CameraState()
        self._times_ns: deque[int] = deque(maxlen=512)
        self._was_connected = False

    @property
    def state(self) -> CameraState:
        """The state now."""
        return self.state_at(time.monotonic_ns())

    def state_at(self, now_ns: int) -> CameraState:
        """Return the state, with the frame rate over the five seconds before `now_ns`."""
        with self._lock:
            recent = [at for at in self._times_ns if at >= now_ns - _RATE_WINDOW_NS]
            span_s = (recent[-1] - recent[0]) / 1e9 if recent else 0.0
            fps = (len(recent) - 1) / span_s if span_s else 0.0
            return replace(self._state, fps=fps)

    def connected(
        self, *, unless: Callable[[], bool], description: CameraDescription | None = None
    ) -> None:
        """Note that the camera is open. `unless` is asked last: True makes the news void."""
        with self._lock:
            if unless():
                return
            reconnects = self._state.reconnects + self._was_connected
            self._was_connected = True
            self._state = replace(
                self._state,
                connected=True,
                reconnects=reconnects,
                detail="",
                description=description,
            )
        _log.info("camera connected camera=%s reconnects=%d", self._camera, reconnects)
        self._report()

    def frame(self, captured_ns: int) -> None:
        """Count a frame, captured at this time of the monotonic clock."""
        with self._lock:
            self._times_ns.append(captured_ns)
            frames = self._state.frames + 1
            self._state = replace(self._state, frames=frames, last_frame_ns=captured_ns)

    def lost(self, detail: str) -> None:
        """Note what is wrong; it is reported only if the camera was there before, or at first."""
        with self._lock:
            is_news = self._state.connected or not self._state.detail
            self._state = replace(self._state, connected=False, detail=detail)
        if is_news:
            _log.warning("camera lost camera=%s detail=%r", self._camera, detail)
            self._report()

    def forget_loss(self) -> bool:
        """Clear the detail of a lost camera, so that a further loss is news; False if none is."""
        with self._lock:
            if self._state.connected or not self._state.detail:
                return False
            self._state = replace(self._state, detail="")
        self._report()
        return True

    def ended(self) -> None:
        """Note the regular end of a finite source."""
        with self._lock:
            self._state = replace(self._state, connected=False, ended=True)
        self._report()

    def _report(self) -> None:
        with self._reporting:
            self._on_change(self.state)
