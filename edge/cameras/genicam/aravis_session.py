"""An open camera of Aravis: set up, watched, taken down."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edge.cameras.description import CameraDescription
from edge.cameras.genicam import features, pixel_formats
from edge.cameras.genicam.aravis_buffers import BufferReader, chunk_parser
from edge.cameras.genicam.aravis_devices import Found, Transport, absent, aravis, choose, search
from edge.cameras.genicam.aravis_features import AravisFeatures
from edge.cameras.genicam.session import Received
from edge.cameras.introspection import system_library
from edge.config.camera import FeatureValue
from edge.errors import CameraUnavailable

# Registers of every GigE Vision camera: who controls it, and how long it waits for a sign of life.
_CONTROL, _HEARTBEAT = 0x0A00, 0x0938
_IS_CONTROLLED = 0b11
# After a crash of ours, the camera is free again after this time.
_HEARTBEAT_MS = 3000
# Aravis reports a lost camera after seven seconds. A loss has to be known after two: we ask every
# 0.3 s, and an answer that takes longer than 1.2 s is none.
_ASK_S = 0.3
_ANSWER_S = 1.2
DRIVER_COUNTS = {
    "missing_packets": "n_missing_packets",
    "resent_packets": "n_resent_packets",
    "missing_frames": "n_missing_frames",
    "underruns": "n_underruns",
}


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the address and the station file ask for.

    Attributes:
        camera: its name in the station file.
        name: serial number or user name.
        transport: the only one to look at; None for GigE Vision and USB3 Vision.
        host: network address of a camera that no search reaches; None to search.
        packet_size: bytes of a GigE packet; None lets Aravis find it.
        buffers: frames that may wait in the driver.
        features: name -> value.
    """

    camera: str
    name: str
    transport: Transport | None
    host: str | None
    packet_size: int | None
    buffers: int
    features: Mapping[str, FeatureValue]


class DriverError(Exception):
    """What Aravis says of a camera, in one line."""


class AravisSession:
    """An open camera that sends frames. Made by `start_session`; `release` gives it back."""

    failure: type[Exception] = DriverError

    def __init__(self, wanted: Wanted, library: Any, failure: type[Exception], camera: Any):
        self._library = library
        self._failure = failure
        self.description = CameraDescription(driver="")
        self.is_triggered = False
        self._camera = camera
        self._device = camera.get_device()
        self._stream: Any = None
        self._buffers: BufferReader | None = None
        self._wanted = wanted
        self._is_gige = bool(camera.is_gv_device())
        self._is_lost = threading.Event()
        self._is_released = threading.Event()
        self._using = threading.Lock()
        self._asked_at: float | None = None
        self._watch: threading.Thread | None = None
        self._handler = self._device.connect("control-lost", _set(self._is_lost))

    @property
    def is_lost(self) -> bool:
        """True once the camera does not answer, or obeys somebody else."""
        asked_at = self._asked_at
        is_silent = asked_at is not None and time.monotonic() - asked_at > _ANSWER_S
        return is_silent or self._is_lost.is_set()

    @property
    def holds_camera(self) -> bool:
        """One that is gone is not given back: another session need not wait for that."""
        return not self.is_lost

    def set_up(self, found: Found | None) -> None:
        """Check that this is the camera, set it, and start it."""
        wanted = self._wanted
        access = AravisFeatures(self._library, self._failure, self._device, wanted.camera)
        serial = self._camera.get_device_serial_number() or (found.serial if found else "")
        user_name = access.text("DeviceUserID")
        self._check_identity(found, serial, user_name)
        if self._is_gige:
            self._take_control()
        got = features.apply(access, wanted.features, camera=wanted.camera)
        pixel_format = pixel_formats.find(self._camera.get_pixel_format(), wanted.camera)
        self.is_triggered = got.get("TriggerMode") == "On"
        self.description = CameraDescription(
            driver="Aravis 0.8",
            vendor=access.text("DeviceVendorName"),
            model=access.text("DeviceModelName"),
            serial=serial,
            firmware=access.text("DeviceFirmwareVersion", "DeviceVersion"),
            user_name=user_name,
            pixel_format=pixel_format.name,
            conversion=pixel_format.conversion,
            demosaicing=pixel_format.demosaicing,
            features=got,
        )
        self._start(access)

    def pop(self, wait_s: float) -> Received | None:
        """Return the next frame, None when none came in time or after `release`."""
        self.ask()
        with self._using:
            stream, buffers = self._stream, self._buffers
            buffer = None if stream is None else stream.timeout_pop_buffer(int(wait_s * 1e6))
            if buffer is None or buffers is None:
                return None
            try:
                return buffers.received(buffer, time.monotonic_ns())
            finally:
                stream.push_buffer(buffer)

    def ask(self) -> None:
        """Raise when the camera does not answer any more; a thread of its own asks it."""
        if self.is_lost:
            raise DriverError("it does not answer any more, or another program took it")

    def fire(self) -> None:
        """Execute TriggerSoftware."""
        camera = self._camera
        if camera is None:
            raise DriverError("the camera is closed")
        try:
            camera.execute_command("TriggerSoftware")
        except self._failure as error:
            raise DriverError(_text(error)) from None

    def counts(self) -> dict[str, int]:
        """Return what the driver counted in this session."""
        with self._using:
            stream = self._stream
            if stream is None:
                return {}
            known = {stream.get_info_name(i) for i in range(stream.get_n_infos())}
            return {
                ours: int(stream.get_info_uint64_by_name(theirs))
                for ours, theirs in DRIVER_COUNTS.items()
                if theirs in known
            }

    def release(self) -> None:
        """Stop the camera and give it back; takes seconds when it does not answer."""
        self._is_released.set()
        if self._watch is not None:
            self._watch.join()
        with self._using:
            camera, device, handler = self._camera, self._device, self._handler
            is_started = self._stream is not None
            self._camera = self._device = self._stream = self._buffers = None
        if device is None:
            return
        device.disconnect(handler)
        if self.is_lost:
            return
        try:
            if is_started:
                camera.stop_acquisition()
            if self._is_gige and device.is_controller():
                device.leave_control()
        except self._failure:
            return

    def _check_identity(self, found: Found | None, serial: str, user_name: str) -> None:
        name = self._wanted.name
        if serial != found.serial if found else name not in {serial, user_name}:
            expected = found.serial if found else name
            raise CameraUnavailable(
                f"{self._wanted.camera}: genicam://{name}: expected the camera {expected}, found "
                f"serial number {serial or 'unknown'} and user name {user_name or 'none'}; connect "
                f"the right camera, or name this one in the station file"
            )

    def _take_control(self) -> None:
        if not self._device.is_controller():
            raise CameraUnavailable(
                f"{self._wanted.camera}: genicam://{self._wanted.name}: expected to control the "
                f"camera, another program does; end it, or wait a few seconds if it crashed"
            )
        try:
            self._device.write_register(_HEARTBEAT, _HEARTBEAT_MS)
            if self._wanted.packet_size is not None:
                self._camera.gv_set_packet_size(self._wanted.packet_size)
        except self._failure as error:
            raise self._unavailable("setting heartbeat and packet size", error) from None

    def _start(self, access: AravisFeatures) -> None:
        camera, wanted = self._camera, self._wanted
        try:
            has_chunks = wanted.features.get("ChunkModeActive") is not False
            parser = chunk_parser(camera, access) if has_chunks else None
            stream = camera.create_stream(None, None)
            size = camera.get_payload()
            for _ in range(wanted.buffers):
                stream.push_buffer(self._library.Buffer.new_allocate(size))
            camera.start_acquisition()
        except self._failure as error:
            raise self._unavailable("starting the stream", error) from None
        self._buffers = BufferReader(self._library, self._failure, wanted.camera, parser)
        self._stream = stream
        if self._is_gige:
            self._watch = threading.Thread(
                target=self._keep_asking, name=f"watch-{wanted.camera}", daemon=True
            )
            self._watch.start()

    def _keep_asking(self) -> None:
        """Ask the camera who controls it, until it is lost or released."""
        device = self._device
        while not (self._is_lost.is_set() or self._is_released.wait(_ASK_S)):
            self._asked_at = time.monotonic()
            try:
                control = device.read_register(_CONTROL)
            except self._failure:
                self._is_lost.set()
                return
            self._asked_at = None
            if not control & _IS_CONTROLLED:
                self._is_lost.set()

    def _unavailable(self, doing: str, error: Exception) -> CameraUnavailable:
        return CameraUnavailable(
            f"{self._wanted.camera}: genicam://{self._wanted.name}: {doing} failed: {_text(error)}"
        )


def start_session(wanted: Wanted) -> AravisSession:
    """Find the camera, open it, set it and start it; may take long when the camera hangs.

    Raises:
        CameraUnavailable: with what was expected, what was found and what to do.
    """
    library = aravis()
    failure: type[Exception] = system_library("GLib", "2.0", "python3-gi").Error
    found = [] if wanted.host else search(library, wanted.transport)
    chosen = choose(found, wanted.name, wanted.camera)
    try:
        # Aravis knows cameras by their user names too.
        camera = library.Camera.new(chosen.id if chosen else wanted.host or wanted.name)
    except failure as error:
        if chosen is None:
            raise absent(found, wanted.name, wanted.camera) from None
        raise CameraUnavailable(
            f"{wanted.camera}: genicam://{wanted.name}: the camera was found but cannot be opened: "
            f"{_text(error)}; check that its address is of this network"
        ) from None
    session = AravisSession(wanted, library, failure, camera)
    del camera
    try:
        session.set_up(chosen)
    except CameraUnavailable as error:
        # Taken down elsewhere, since that may take longer than we may. The traceback would hold the
        # device, which then went on in the background.
        error.with_traceback(None)
        threading.Thread(target=session.release, name="release", daemon=True).start()
        raise error from None
    return session


def _set(event: threading.Event) -> Any:
    """Return a callback that sets `event`; it must not hold the session, which holds it."""

    def lost(_device: object) -> None:
        event.set()

    return lost


def _text(error: Exception) -> str:
    return str(getattr(error, "message", error))
