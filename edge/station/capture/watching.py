"""Frames of a camera for people who set it up: without a station, without a bundle."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator

from edge.cameras.factory import is_live, make_source
from edge.config.camera import CameraSettings
from edge.drop_counts import DropCounts
from edge.errors import CameraTimeout
from edge.frame import Frame
from edge.station.capture.capture import Capture
from edge.station.capture.mailbox import Mailbox

# How long a camera may be lost or silent before it is given up, in stall timeouts.
_PATIENCE = 6
# Cameras find their own exposure in the first frames.
_SETTLING_FRAMES, _SETTLING_S = 10, 1.0
_POLL_S = 0.1


def watch_camera(settings: CameraSettings) -> Generator[Frame, None, None]:
    """Open a camera and yield its frames, of a live one the newest, until the end of a finite one.

    The first frames of a live camera are left out. A lost camera is reopened, as a station does.
    Closing the generator closes the camera.

    Raises:
        CameraError: the camera cannot be opened, or sends nothing for six stall timeouts.
    """
    drops, is_newest_wanted = DropCounts(), is_live(settings)
    mailbox = Mailbox("latest" if is_newest_wanted else "every", 1, drops)
    capture = Capture(
        settings,
        make_source(settings),
        mailbox,
        drops,
        on_refused=lambda _: None,
        on_change=lambda _: None,
    )
    try:
        capture.open()
        capture.start()
        frames = _frames(capture, mailbox, settings)
        if is_newest_wanted:
            _settle(frames)
        yield from frames
    finally:
        capture.stop()
        capture.join(settings.stall_timeout_s)


def _frames(capture: Capture, mailbox: Mailbox, settings: CameraSettings) -> Iterator[Frame]:
    patience_s = _PATIENCE * settings.stall_timeout_s
    last_s = time.monotonic()
    while not mailbox.closed:
        frame = mailbox.take(_POLL_S)
        capture.check(time.monotonic_ns())
        if frame is not None:
            yield frame
            last_s = time.monotonic()
        elif time.monotonic() - last_s > patience_s and not mailbox.closed:
            detail = capture.state.detail or f"{settings.name}: check the camera"
            raise CameraTimeout(f"no frame for {patience_s:g} s: {detail}")


def _settle(frames: Iterator[Frame]) -> None:
    started_s = time.monotonic()
    for number, _ in enumerate(frames, start=1):
        if number == _SETTLING_FRAMES or time.monotonic() - started_s > _SETTLING_S:
            return
