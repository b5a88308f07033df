"""A camera behind a GenTL producer, open and sending frames, by harvesters."""

from __future__ import annotations

import importlib
import importlib.metadata
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from edge.cameras.description import CameraDescription
from edge.cameras.genicam import chunks, features, gentl_producer, pixel_formats
from edge.cameras.genicam.genapi_features import GenApiFeatures, one_line, snake
from edge.cameras.genicam.gentl_producer import Producer, names, serial, text
from edge.cameras.genicam.session import Received, incomplete, unusable
from edge.config.camera import FeatureValue
from edge.errors import CameraUnavailable

# How long the driver waits in one call, milliseconds; between calls a read can be ended.
_WAIT_MS = 50


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the address and the station file ask for: camera's name here, name there, features."""

    camera: str
    name: str
    cti: Path | None
    buffers: int
    features: Mapping[str, FeatureValue]

    @property
    def where(self) -> str:
        """Start of every message."""
        return f"{self.camera}: gentl://{self.name}"


class _Failure(Exception):
    """Whatever GenTL or GenApi raise: they share no base."""


class GentlSession:
    """An open camera; `set_up` starts it."""

    failure: type[Exception] = _Failure
    holds_camera = True

    def __init__(self, producer: Producer, acquirer: Any, wanted: Wanted):
        self.description = CameraDescription(driver="")
        self.is_triggered = False
        self._producer = producer
        self._acquirer = acquirer
        self._wanted = wanted
        self._using = threading.Lock()
        self._has_chunks = False
        self._incomplete = 0
        self._access: GenApiFeatures | None = None
        self._gentl = importlib.import_module("genicam.gentl")
        self._genapi = importlib.import_module("genicam.genapi")

    def set_up(self, device: Any) -> None:
        """Check that this is the camera, set it, and start it."""
        wanted, acquirer = self._wanted, self._acquirer
        nodes = acquirer.remote_device.node_map
        access = GenApiFeatures(
            nodes.get_node, lambda: nodes.nodes, self._genapi.GenericException, snake, wanted.camera
        )
        number = access.text("DeviceSerialNumber") or serial(device)
        if wanted.name not in names(device) | {number, access.text("DeviceUserID")}:
            raise CameraUnavailable(
                f"{wanted.where}: expected this camera, found serial number {number or 'unknown'}; "
                f"connect the right camera, or name this one in the station file"
            )
        got = features.apply(access, wanted.features, camera=wanted.camera)
        pixel_format = pixel_formats.find(access.text("PixelFormat"), wanted.camera)
        self._has_chunks = chunks.send(access, wanted.features)
        self.is_triggered = got.get("TriggerMode") == "On"
        self.description = CameraDescription(
            driver=f"harvesters {importlib.metadata.version('harvesters')}, "
            f"{self._producer.path.name}",
            vendor=text(device, "vendor"),
            model=text(device, "model"),
            serial=number,
            firmware=access.text("DeviceFirmwareVersion", "DeviceVersion"),
            user_name=access.text("DeviceUserID") or text(device, "user_defined_name"),
            pixel_format=pixel_format.name,
            conversion=pixel_format.conversion,
            demosaicing=pixel_format.demosaicing,
            features=got,
        )
        acquirer.timeout_period_on_update_event_data_call = _WAIT_MS
        acquirer.num_buffers = max(wanted.buffers, acquirer.min_num_buffers)
        acquirer.add_callback(acquirer.Events.INCOMPLETE_BUFFER, _counting(self))
        self._translated(acquirer.start)
        self._access = access

    def count_incomplete(self) -> None:
        """Note a buffer that harvesters has thrown away because it was incomplete."""
        self._incomplete += 1

    def pop(self, wait_s: float) -> Received | None:
        """Return the next buffer, None when none came in time."""
        with self._using:
            if self._access is None:
                return None
            before = self._incomplete
            buffer = self._translated(partial(self._acquirer.try_fetch, timeout=wait_s))
            now_ns = time.monotonic_ns()
            if buffer is None:
                return self._lost(now_ns) if self._incomplete > before else None
            try:
                return self._received(buffer, now_ns)
            finally:
                buffer.queue()

    def ask(self) -> None:
        """Raise when the camera does not answer any more."""
        with self._using:
            if self._access is not None:
                self._translated(partial(self._access.read_again, "Width"))

    def fire(self) -> None:
        """Execute TriggerSoftware."""
        access = self._access
        if access is not None:
            access.write("TriggerSoftware", True)

    def counts(self) -> dict[str, int]:
        """Return what the driver counted in this session: nothing that the standard has."""
        return {}

    def release(self) -> None:
        """Stop the camera and give it and the producer back."""
        self.disconnect()
        gentl_producer.release(self._producer)

    def disconnect(self) -> None:
        """Stop the camera and give it back."""
        with self._using:
            self._access = None
            self._producer.disconnect(self._acquirer)

    @staticmethod
    def _lost(now_ns: int) -> Received:
        # Its number went with it.
        return Received(arrived_ns=now_ns, pixels=None, fault=incomplete("the producer says so"))

    def _received(self, buffer: Any, now_ns: int) -> Received:
        pixels, fault, name = None, None, None
        try:
            pixels, name = self._pixels(buffer.payload)
        except (ValueError, CameraUnavailable, self._gentl.GenericException) as error:
            fault = unusable(error)
        exposure_us, line_status = None, None
        if self._has_chunks and self._access is not None:
            exposure_us, line_status = chunks.read(self._access)
        return Received(
            arrived_ns=now_ns,
            pixels=pixels,
            fault=fault,
            pixel_format=name,
            block_id=self._told(lambda: int(buffer.module.frame_id)),
            device_ns=self._told(lambda: int(buffer.timestamp_ns)) or None,
            exposure_us=exposure_us,
            line_status=line_status,
        )

    def _pixels(self, payload: Any) -> tuple[pixel_formats.Bytes, str]:
        pictures = [each for each in payload.components if hasattr(each, "data_format")]
        if not pictures:
            raise ValueError("expected a picture, got a buffer without one")
        picture = pictures[0]
        pixel_format = pixel_formats.find(str(picture.data_format), self._wanted.camera)
        width, height = int(picture.width), int(picture.height)
        padding = self._told(lambda: int(picture.x_padding)) or 0
        stride = int(pixel_format.row_bytes(width)) + padding if padding else None
        data = np.asarray(picture.data).reshape(-1).view(np.uint8)
        return pixel_formats.to_bgr(data, pixel_format, width, height, stride), pixel_format.name

    def _told(self, question: Callable[[], int]) -> int | None:
        """Return a number, None when the producer does not have it."""
        try:
            return question()
        except (self._gentl.GenericException, AttributeError, TypeError):
            return None

    def _translated(self, call: Callable[[], Any]) -> Any:
        try:
            return call()
        except (self._gentl.GenericException, self._genapi.GenericException) as error:
            raise _Failure(one_line(error)) from None


def _counting(session: GentlSession) -> Any:
    """Return what harvesters calls when it throws a buffer away."""

    class Counting(importlib.import_module("harvesters.core").Callback):  # type: ignore[misc]
        def emit(self, context: object) -> None:
            del context
            session.count_incomplete()

    return Counting()
