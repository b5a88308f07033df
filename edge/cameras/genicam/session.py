"""A frame source over any driver that gives one camera at a time: opening, reading, patience."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Protocol

from edge.cameras.description import CameraDescription
from edge.cameras.genicam import pixel_formats
from edge.cameras.genicam.block_ids import BlockIds
from edge.cameras.genicam.clock import DeviceClock
from edge.cameras.genicam.genapi_features import one_line
from edge.cameras.genicam.in_time import in_time
from edge.errors import CameraTimeout, CameraUnavailable
from edge.frame import Acquisition, Frame

# How long one wait for a frame takes, and how often a silent camera is asked whether it is there.
_WAIT_S = 0.1
_ASK_S = 0.4
# Our own patience ends before the supervisor's, so that the camera is given back in order.
_READ_PATIENCE = 0.8
# Searching a network alone takes a second.
_LEAST_OPEN_S = 2.0
# A camera that answers is free at once, also for another program. A longer wait would hold up
# whoever stops the station.
_RELEASE_S = 0.3


@dataclass(frozen=True, slots=True)
class Received:
    """One buffer of a camera, copied out of the driver.

    Attributes:
        arrived_ns: monotonic time at which the driver gave it, nanoseconds.
        pixels: (H, W, 3) uint8 BGR; None when `fault` is set.
        fault: why there is no picture.
        pixel_format: as the camera sent it.
        block_id: the camera's number of the frame; None when it does not count.
        device_ns: time of the camera's own clock, nanoseconds; None without one.
        exposure_us: exposure time that came with the frame, microseconds.
        line_status: levels of the lines that came with the frame.
    """

    arrived_ns: int
    pixels: pixel_formats.Bytes | None
    fault: str | None = None
    pixel_format: str | None = None
    block_id: int | None = None
    device_ns: int | None = None
    exposure_us: float | None = None
    line_status: int | None = None


class Session(Protocol):
    """An open camera that sends frames; `failure` is what its driver raises when it is lost."""

    failure: type[Exception]
    description: CameraDescription
    is_triggered: bool

    @property
    def holds_camera(self) -> bool:
        """The camera can be opened again only after `release`."""

    def pop(self, wait_s: float) -> Received | None:
        """Return the next buffer, None when none came in time or after `release`."""

    def ask(self) -> None:
        """Have the camera answer, whatever; raises `failure` when it is lost."""

    def fire(self) -> None:
        """Execute TriggerSoftware."""

    def counts(self) -> Mapping[str, int]:
        """Return what the driver counted in this session."""

    def release(self) -> None:
        """Stop the camera and give it back; may take long when it is gone."""


class SessionSource:
    """A camera that a driver opens by its serial number or user name.

    Args:
        camera: its name in the station file.
        address: scheme://name, for messages.
        start: finds, opens, sets and starts the camera; may hang.
        stall_timeout_s: seconds without a frame after which a free-running camera is silent.
    """

    def __init__(
        self, camera: str, address: str, start: Callable[[], Session], stall_timeout_s: float
    ):
        self._camera = camera
        self._where = f"{camera}: {address}"
        self._start = start
        self._stall_timeout_s = stall_timeout_s
        self._session: Session | None = None
        self._description: CameraDescription | None = None
        self._is_closed = threading.Event()
        self._changing = threading.Lock()
        self._releasing: threading.Thread | None = None
        self._clock = DeviceClock()
        self._blocks = BlockIds()
        self._first_id = 0
        self._next_id = 0
        self._counts: Counter[str] = Counter()

    @property
    def description(self) -> CameraDescription | None:
        """The camera as it was when last opened; None before."""
        return self._description

    @property
    def transport_counts(self) -> Mapping[str, int]:
        """Incomplete frames, missing packets and the like, since the source was made."""
        session = self._session
        total = Counter({"incomplete_frames": 0})
        total.update(self._counts)
        total.update(session.counts() if session is not None else {})
        return total

    @property
    def is_triggered(self) -> bool:
        """The camera waits for triggers, so that silence is no fault."""
        session = self._session
        return session is not None and session.is_triggered

    def open(self) -> None:
        """Find, open, set and start the camera within the stall timeout."""
        self.close()
        self._is_closed.clear()
        limit_s = max(self._stall_timeout_s, _LEAST_OPEN_S)
        if self._releasing is not None:
            self._releasing.join(limit_s / 2)
        session = in_time(
            self._start,
            limit_s,
            lambda late: late.release(),
            f"{self._where}: expected the camera to open",
        )
        self._clock, self._blocks = DeviceClock(), BlockIds()
        self._first_id = self._next_id
        self._description = session.description
        with self._changing:
            self._session = session
        if self._is_closed.is_set():
            self.close()
            raise self._closed()

    def read(self) -> Frame | None:
        """Return the next frame; one that came incomplete has a fault."""
        silent_s = _READ_PATIENCE * self._stall_timeout_s
        began = asked = time.monotonic()
        while True:
            session = self._session
            if session is None or self._is_closed.is_set():
                raise self._closed()
            try:
                received = session.pop(_WAIT_S)
                if received is None and time.monotonic() - asked > _ASK_S:
                    session.ask()
                    asked = time.monotonic()
            except session.failure as error:
                if self._is_closed.is_set():
                    raise self._closed() from None
                raise CameraUnavailable(
                    f"{self._where}: the camera was lost: {one_line(error)}; check power, cable "
                    f"and network"
                ) from None
            if received is not None:
                return self._frame(session, received)
            if not session.is_triggered and time.monotonic() - began > silent_s:
                raise CameraTimeout(
                    f"{self._where}: the camera answers but sent no frame for {silent_s:g} s; "
                    f"check the firewall, the packet size and the bandwidth"
                )

    def fire(self) -> None:
        """Make the camera take one picture now.

        Raises:
            CameraUnavailable: the camera is closed, lost or not set to software triggers.
        """
        session = self._session
        if session is None:
            raise self._closed()
        features = session.description.features
        if not session.is_triggered or features.get("TriggerSource") != "Software":
            raise CameraUnavailable(
                f"{self._where}: expected a camera that waits for software triggers, TriggerMode "
                f"is {features.get('TriggerMode', 'missing')} and TriggerSource "
                f"{features.get('TriggerSource', 'missing')}; set camera.features"
            )
        try:
            session.fire()
        except session.failure as error:
            raise CameraUnavailable(
                f"{self._where}: the trigger did not reach the camera: {one_line(error)}"
            ) from None

    def close(self) -> None:
        """Give the camera back, and wait for that only as long as a camera needs that answers."""
        self._is_closed.set()
        with self._changing:
            session, self._session = self._session, None
        if session is None:
            return
        self._counts.update(session.counts())
        releasing = threading.Thread(
            target=session.release, name=f"release-{self._camera}", daemon=True
        )
        releasing.start()
        releasing.join(_RELEASE_S)
        self._releasing = releasing if session.holds_camera else None

    def _closed(self) -> CameraUnavailable:
        return CameraUnavailable(f"{self._where}: the camera is closed")

    def _frame(self, session: Session, received: Received) -> Frame:
        if received.pixels is None:
            self._counts["incomplete_frames"] += 1
        self._next_id = self._first_id + self._blocks.frame_id(received.block_id) + 1
        captured_ns = self._clock.host_ns(received.device_ns, received.arrived_ns)
        ago = timedelta(microseconds=(time.monotonic_ns() - captured_ns) / 1000)
        return Frame(
            camera=self._camera,
            frame_id=self._next_id - 1,
            captured_ns=captured_ns,
            captured_at=datetime.now(timezone.utc) - ago,
            pixels_bgr=received.pixels,
            fault=received.fault,
            acquisition=Acquisition(
                device_id=session.description.serial or None,
                device_timestamp_ns=received.device_ns,
                block_id=received.block_id,
                exposure_us=received.exposure_us,
                line_status=received.line_status,
                pixel_format=received.pixel_format,
            ),
        )


def incomplete(reason: str) -> str:
    """Return the fault of a frame of which something is missing."""
    return f"the frame came incomplete ({reason}); check cable, switch, packet size and bandwidth"


def unusable(error: Exception) -> str:
    """Return the fault of a frame that came whole but cannot be converted."""
    return f"the frame cannot be used: {error}"
