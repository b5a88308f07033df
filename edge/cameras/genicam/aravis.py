"""`genicam://`: a GigE Vision or USB3 Vision camera through Aravis."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from ipaddress import ip_address
from typing import Any
from urllib.parse import unquote

from edge.cameras.address import Address
from edge.cameras.description import CameraDescription
from edge.cameras.genicam import pixel_formats
from edge.cameras.genicam.aravis_connection import DRIVER_COUNTS, Connection, Wanted, connect
from edge.cameras.genicam.block_ids import BlockIds
from edge.cameras.genicam.clock import DeviceClock
from edge.cameras.genicam.in_time import in_time
from edge.cameras.query import Query
from edge.config.camera import CameraSettings
from edge.errors import CameraTimeout, CameraUnavailable
from edge.frame import Acquisition, Frame

_BUFFERS = 8
# How often a waiting read looks whether the camera is still there.
_LOOK_S = 0.1
# Our own patience ends before the supervisor's, so that the camera is given back in order.
_READ_PATIENCE = 0.8
# A longer wait would hold up whoever stops the station.
_RELEASE_S = 0.3
# The search alone takes a second.
_LEAST_OPEN_S = 2.0
# A driver holds no frame back for longer; a greater delay is a wall clock that was set.
_LONGEST_DELAY_NS = 10**9
COUNTS = ("incomplete_frames", *DRIVER_COUNTS)


class AravisSource:
    """A camera that is opened by its serial number or user name; another one is refused."""

    def __init__(self, wanted: Wanted, stall_timeout_s: float):
        self._wanted = wanted
        self._stall_timeout_s = stall_timeout_s
        self._connection: Connection | None = None
        self._description: CameraDescription | None = None
        self._is_closed = threading.Event()
        self._changing = threading.Lock()
        self._releasing: threading.Thread | None = None
        self._clock = DeviceClock()
        self._blocks = BlockIds()
        self._first_id = 0
        self._next_id = 0
        self._counts: Counter[str] = Counter()

    @classmethod
    def from_address(cls, address: Address, settings: CameraSettings) -> AravisSource:
        """Read the keys `transport`, `host`, `packet_size` and `buffers`."""
        query, name = address.query, unquote(address.place)
        query.only("transport", "host", "packet_size", "buffers")
        if not name or "/" in name:
            raise query.problem("expected genicam://SERIAL, or the user name of a camera")
        packet_size, buffers = query.whole("packet_size", 576), query.whole("buffers", 2)
        if (packet_size or 0) > 65535 or (buffers or 0) > 256:
            raise query.problem("expected packet_size up to 65535 and buffers up to 256")
        chosen = query.choice("transport", ("gige", "usb3", "fake"))
        wanted = Wanted(
            camera=settings.name,
            name=name,
            transport=chosen,  # type: ignore[arg-type]
            host=_host(query),
            packet_size=packet_size,
            buffers=buffers or _BUFFERS,
            features=settings.features,
        )
        return cls(wanted, settings.stall_timeout_s)

    @property
    def description(self) -> CameraDescription | None:
        """The camera as it was when last opened; None before."""
        return self._description

    @property
    def transport_counts(self) -> Mapping[str, int]:
        """Incomplete frames, missing and resent packets and the like, since the source was made."""
        connection = self._connection
        now = connection.counts() if connection is not None else {}
        return {name: self._counts[name] + now.get(name, 0) for name in COUNTS}

    @property
    def is_triggered(self) -> bool:
        """The camera waits for triggers, so that silence is no fault."""
        connection = self._connection
        return connection is not None and connection.is_triggered

    def open(self) -> None:
        """Find, open, set and start the camera within the stall timeout."""
        self.close()
        self._is_closed.clear()
        limit_s = max(self._stall_timeout_s, _LEAST_OPEN_S)
        if self._releasing is not None:
            self._releasing.join(limit_s / 2)
        connection = in_time(
            lambda: connect(self._wanted),
            limit_s,
            Connection.release,
            f"{self._wanted.camera}: genicam://{self._wanted.name}: expected the camera to open",
        )
        self._clock, self._blocks = DeviceClock(), BlockIds()
        self._first_id = self._next_id
        self._description = connection.description
        with self._changing:
            self._connection = connection
        if self._is_closed.is_set():
            self.close()
            raise self._closed()

    def read(self) -> Frame | None:
        """Return the next frame; one that came incomplete has a fault."""
        silent_s = _READ_PATIENCE * self._stall_timeout_s
        deadline = time.monotonic() + silent_s
        while True:
            connection = self._connection
            if connection is None or self._is_closed.is_set():
                raise self._closed()
            if connection.is_lost:
                raise CameraUnavailable(
                    f"{self._where}: the camera was lost: it does not answer any more, or another "
                    f"program took it; check power, cable and network"
                )
            buffer = connection.pop(_LOOK_S)
            if buffer is not None:
                try:
                    frame = self._frame(connection, buffer, time.monotonic_ns())
                finally:
                    connection.push(buffer)
                if frame is not None:
                    return frame
            elif not connection.is_triggered and time.monotonic() > deadline:
                raise CameraTimeout(
                    f"{self._where}: the camera answers but sent no frame for {silent_s:g} s; "
                    f"check the firewall, the packet size and the bandwidth"
                )

    def fire(self) -> None:
        """Make the camera take one picture now.

        Raises:
            CameraUnavailable: the camera is closed, lost or not set to software triggers.
        """
        connection = self._connection
        if connection is None:
            raise self._closed()
        features = connection.description.features
        if not connection.is_triggered or features.get("TriggerSource") != "Software":
            raise CameraUnavailable(
                f"{self._where}: expected a camera that waits for software triggers, TriggerMode "
                f"is {features.get('TriggerMode', 'missing')} and TriggerSource "
                f"{features.get('TriggerSource', 'missing')}; set camera.features"
            )
        connection.fire()

    def close(self) -> None:
        """Give the camera back, and wait for that only as long as a camera needs that answers."""
        self._is_closed.set()
        with self._changing:
            connection, self._connection = self._connection, None
        if connection is None:
            return
        self._counts.update(connection.counts())
        releasing = threading.Thread(
            target=connection.release, name=f"release-{self._wanted.camera}", daemon=True
        )
        releasing.start()
        # One that answers is free at once, also for another program.
        releasing.join(_RELEASE_S)
        # Only a camera that is gone is not waited for when it is opened again.
        self._releasing = None if connection.is_lost else releasing

    @property
    def _where(self) -> str:
        return f"{self._wanted.camera}: genicam://{self._wanted.name}"

    def _closed(self) -> CameraUnavailable:
        return CameraUnavailable(f"{self._where}: the camera is closed")

    def _frame(self, connection: Connection, buffer: Any, now_ns: int) -> Frame | None:
        status = buffer.get_status()
        known = connection.library.BufferStatus
        if status in {known.CLEARED, known.ABORTED}:
            return None
        block_id: int | None = buffer.get_frame_id()
        if status != known.SUCCESS and not block_id:
            # The packet that has the number was lost.
            block_id = None
        self._next_id = self._first_id + self._blocks.frame_id(block_id) + 1
        pixels, fault, pixel_format = None, None, connection.description.pixel_format
        if status == known.SUCCESS:
            try:
                pixels, pixel_format = self._pixels(buffer)
            except (ValueError, CameraUnavailable) as error:
                fault = f"the frame cannot be used: {error}"
        else:
            self._counts["incomplete_frames"] += 1
            fault = (
                f"the frame came incomplete ({status.value_nick}); check cable, switch, packet "
                f"size and bandwidth"
            )
        device_ns = buffer.get_timestamp() if fault is None else 0
        captured_ns = self._clock.host_ns(device_ns, _arrival_ns(buffer, now_ns))
        exposure_us, line_status = None, None
        if fault is None:
            exposure_us = connection.chunk(buffer, "ChunkExposureTime")
            line_status = connection.chunk(buffer, "ChunkLineStatusAll")
        return Frame(
            camera=self._wanted.camera,
            frame_id=self._next_id - 1,
            captured_ns=captured_ns,
            captured_at=_utc(captured_ns),
            pixels_bgr=pixels,
            fault=fault,
            acquisition=Acquisition(
                device_id=connection.description.serial or None,
                device_timestamp_ns=device_ns or None,
                block_id=block_id,
                exposure_us=exposure_us,
                line_status=None if line_status is None else int(line_status),
                pixel_format=pixel_format,
            ),
        )

    def _pixels(self, buffer: Any) -> tuple[pixel_formats.Bytes, str]:
        pixel_format = pixel_formats.find(buffer.get_image_pixel_format(), self._wanted.camera)
        width, height = buffer.get_image_width(), buffer.get_image_height()
        padding = buffer.get_image_padding()[0]
        stride = int(pixel_format.row_bytes(width)) + padding if padding else None
        data = buffer.get_image_data()
        return pixel_formats.to_bgr(data, pixel_format, width, height, stride), pixel_format.name


def _host(query: Query) -> str | None:
    host = query.text("host")
    if host is not None:
        try:
            ip_address(host)
        except ValueError:
            raise query.problem(f"host: expected a network address, got {host}") from None
    return host


def _arrival_ns(buffer: Any, now_ns: int) -> int:
    """Return the monotonic time of the frame's first packet; the driver has its wall time."""
    waited_ns = time.time_ns() - buffer.get_system_timestamp()
    return now_ns - waited_ns if 0 <= waited_ns <= _LONGEST_DELAY_NS else now_ns


def _utc(at_ns: int) -> datetime:
    """Return the wall time of a moment of the monotonic clock, near now."""
    ago = timedelta(microseconds=(time.monotonic_ns() - at_ns) / 1000)
    return datetime.now(timezone.utc) - ago
