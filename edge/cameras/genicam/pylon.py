"""`pylon://`: a Basler camera through pypylon."""

from __future__ import annotations

import importlib
import importlib.metadata
import threading
import time
from functools import partial
from typing import Any
from urllib.parse import unquote

import numpy as np

from edge.cameras.address import Address
from edge.cameras.description import CameraDescription
from edge.cameras.genicam import chunks, features, pixel_formats
from edge.cameras.genicam.genapi_features import GenApiFeatures, camel, one_line
from edge.cameras.genicam.pylon_devices import Wanted, choose, library, serial, user_name
from edge.cameras.genicam.session import Received, SessionSource, incomplete, unusable
from edge.config.camera import CameraSettings
from edge.errors import CameraUnavailable

_BUFFERS = 8
# A camera that exposes or reads out takes no trigger for so long at most.
_READY_MS = 500
# How long somebody who asks for counts waits for a read to end.
_COUNT_S = 0.5
# A camera that counts no frames says so with the greatest number.
_NO_BLOCK = 2**64 - 1
# A loss has to be known after two seconds, so GigE cameras get less patience than pylon's own.
_NETWORK = {"HeartbeatTimeout": 1500, "ReadTimeout": 300, "WriteTimeout": 300}
_COUNTS = {
    "missing_packets": "Statistic_Failed_Packet_Count",
    "resent_packets": "Statistic_Resend_Packet_Count",
    "underruns": "Statistic_Buffer_Underrun_Count",
}


class PylonSource(SessionSource):
    """A Basler camera that is opened by its serial number or user name; another one is refused."""

    @classmethod
    def from_address(cls, address: Address, settings: CameraSettings) -> PylonSource:
        """Read the key `buffers`."""
        query, name = address.query, unquote(address.place)
        query.only("buffers")
        if not name or "/" in name:
            raise query.problem("expected pylon://SERIAL, or the user name of a camera")
        buffers = query.whole("buffers", 2) or _BUFFERS
        if buffers > 256:
            raise query.problem("expected buffers up to 256")
        wanted = Wanted(settings.name, name, buffers, settings.features)
        start = partial(start_session, wanted)
        return cls(settings.name, f"pylon://{name}", start, settings.stall_timeout_s)


def start_session(wanted: Wanted) -> PylonSession:
    """Find the camera, open it, set it and start it.

    Raises:
        CameraUnavailable: with what was expected, what was found and what to do.
    """
    pylon = library()
    try:
        factory = pylon.TlFactory.GetInstance()
        found = choose(factory.EnumerateDevices(), wanted)
        camera = pylon.InstantCamera(factory.CreateDevice(found))
        session = PylonSession(pylon, camera, wanted)
    except pylon.GenericException as error:
        raise CameraUnavailable(
            f"{wanted.where}: the camera was found but cannot be used: {one_line(error)}; end "
            f"other programs that have it, and check that its address is of this network"
        ) from None
    try:
        session.set_up()
    except CameraUnavailable:
        session.release()
        raise
    except pylon.GenericException as error:
        session.release()
        raise CameraUnavailable(
            f"{wanted.where}: starting the camera failed: {one_line(error)}; end other programs "
            f"that have it"
        ) from None
    return session


class PylonSession:
    """An open camera; `set_up` starts it."""

    holds_camera = True

    def __init__(self, pylon: Any, camera: Any, wanted: Wanted):
        self.failure: type[Exception] = pylon.GenericException
        self.description = CameraDescription(driver="")
        self.is_triggered = False
        self._pylon = pylon
        self._camera = camera
        self._wanted = wanted
        self._using = threading.Lock()
        self._has_chunks = False
        self._tick_ns = 1.0
        self._access: GenApiFeatures | None = None

    def set_up(self) -> None:
        """Open the camera, check that it is the one, set it, and start it."""
        camera, wanted = self._camera, self._wanted
        camera.Open()
        access = self._access = self._features(camera.GetNodeMap())
        info = camera.GetDeviceInfo()
        number = access.text("DeviceSerialNumber", "DeviceID") or serial(info)
        if wanted.name not in {number, access.text("DeviceUserID") or user_name(info)}:
            raise CameraUnavailable(
                f"{wanted.where}: expected this camera, found serial number {number or 'unknown'}; "
                f"connect the right camera, or name this one in the station file"
            )
        link = self._features(camera.GetTLNodeMap())
        for name, value in _NETWORK.items():
            if link.find(name) is not None:
                link.write(name, value)
        got = features.apply(access, wanted.features, camera=wanted.camera)
        pixel_format = pixel_formats.find(access.text("PixelFormat"), wanted.camera)
        self._has_chunks = chunks.send(access, wanted.features)
        self._tick_ns = 1e9 / (access.number("GevTimestampTickFrequency") or 1e9)
        self.is_triggered = got.get("TriggerMode") == "On"
        self.description = CameraDescription(
            driver=f"pypylon {importlib.metadata.version('pypylon')}",
            vendor=info.GetVendorName(),
            model=info.GetModelName(),
            serial=number,
            firmware=access.text("DeviceFirmwareVersion", "DeviceVersion"),
            user_name=access.text("DeviceUserID") or user_name(info),
            pixel_format=pixel_format.name,
            conversion=pixel_format.conversion,
            demosaicing=pixel_format.demosaicing,
            features=got,
        )
        camera.MaxNumBuffer.Value = wanted.buffers
        camera.StartGrabbing(self._pylon.GrabStrategy_OneByOne)

    def pop(self, wait_s: float) -> Received | None:
        """Return the next buffer, None when none came in time."""
        with self._using:
            if self._access is None:
                return None
            self._check_presence()
            result = self._camera.RetrieveResult(
                int(wait_s * 1000), self._pylon.TimeoutHandling_Return
            )
            if result is None or not result.IsValid():
                return None
            try:
                return self._received(result, time.monotonic_ns())
            finally:
                result.Release()

    def ask(self) -> None:
        """Raise when the camera does not answer any more."""
        with self._using:
            if self._access is not None:
                self._check_presence()
                self._access.read_again("Width")

    def fire(self) -> None:
        """Execute TriggerSoftware once the camera takes it: one that comes earlier is ignored."""
        access = self._access
        if access is None:
            return
        if self._camera.CanWaitForFrameTriggerReady():
            fails = self._pylon.TimeoutHandling_ThrowException
            self._camera.WaitForFrameTriggerReady(_READY_MS, fails)
        access.write("TriggerSoftware", True)

    def counts(self) -> dict[str, int]:
        """Return what the driver counted in this session; nothing while it hangs."""
        if not self._using.acquire(timeout=_COUNT_S):
            return {}
        try:
            if self._access is None:
                return {}
            grabber = self._features(self._camera.GetStreamGrabberNodeMap())
            found = {ours: grabber.number(theirs) for ours, theirs in _COUNTS.items()}
            return {ours: int(count) for ours, count in found.items() if count}
        except self.failure:
            return {}
        finally:
            self._using.release()

    def release(self) -> None:
        """Stop the camera and give it back."""
        with self._using:
            self._access = None
            try:
                self._camera.StopGrabbing()
                self._camera.Close()
            except self.failure:
                pass
            self._camera.DestroyDevice()

    def _check_presence(self) -> None:
        if self._camera.IsCameraDeviceRemoved():
            raise self._pylon.RuntimeException("it does not answer any more")

    def _features(self, node_map: Any) -> GenApiFeatures:
        return GenApiFeatures(
            node_map.GetNode, node_map.GetNodes, self.failure, camel, self._wanted.camera
        )

    def _received(self, result: Any, now_ns: int) -> Received:
        block_id = result.GetBlockID()
        pixels, fault, name = None, None, None
        device_ns = int(result.GetTimeStamp() * self._tick_ns) or None
        exposure_us, line_status = None, None
        if result.GrabSucceeded():
            try:
                pixels, name = self._pixels(result)
            except (ValueError, CameraUnavailable) as error:
                fault = unusable(error)
            if self._has_chunks and result.IsChunkDataAvailable():
                exposure_us, line_status = chunks.read(self._features(result.GetChunkDataNodeMap()))
        else:
            fault = incomplete(result.GetErrorDescription().rstrip(".") or "no reason given")
            device_ns = None
        return Received(
            arrived_ns=now_ns,
            pixels=pixels,
            fault=fault,
            pixel_format=name,
            block_id=None if block_id == _NO_BLOCK else block_id,
            device_ns=device_ns,
            exposure_us=exposure_us,
            line_status=line_status,
        )

    def _pixels(self, result: Any) -> tuple[pixel_formats.Bytes, str]:
        pixel_format = pixel_formats.find(int(result.GetPixelType()), self._wanted.camera)
        width, height, padding = result.GetWidth(), result.GetHeight(), result.GetPaddingX()
        stride = int(pixel_format.row_bytes(width)) + padding if padding else None
        data = np.frombuffer(result.GetBuffer(), np.uint8)
        return pixel_formats.to_bgr(data, pixel_format, width, height, stride), pixel_format.name
