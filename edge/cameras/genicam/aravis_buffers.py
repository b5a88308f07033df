"""Buffers that Aravis fills, as a source needs them."""

from __future__ import annotations

import time
from typing import Any

from edge.cameras.genicam import pixel_formats
from edge.cameras.genicam.aravis_features import AravisFeatures
from edge.cameras.genicam.session import Received, incomplete, unusable
from edge.errors import CameraUnavailable

_CHUNKS = ("ExposureTime", "LineStatusAll", "FrameID")
# A driver holds no frame back for longer; a greater delay is a wall clock that was set.
_LONGEST_DELAY_NS = 10**9


class BufferReader:
    """Copies frames out of Aravis's buffers.

    Args:
        library: Aravis.
        failure: what it raises.
        camera: its name in the station file.
        parser: reads chunk data; None when the camera sends none.
    """

    def __init__(self, library: Any, failure: type[Exception], camera: str, parser: Any):
        self._status = library.BufferStatus
        self._failure = failure
        self._camera = camera
        self._parser = parser

    def received(self, buffer: Any, now_ns: int) -> Received | None:
        """Return the frame of a buffer, None for one that holds none; `now_ns` is monotonic."""
        status = buffer.get_status()
        if status in {self._status.CLEARED, self._status.ABORTED}:
            return None
        is_whole = status == self._status.SUCCESS
        block_id: int | None = buffer.get_frame_id()
        if not is_whole and not block_id:
            # The packet that has the number was lost.
            block_id = None
        arrived_ns = _arrival_ns(buffer, now_ns)
        if not is_whole:
            return Received(arrived_ns, None, incomplete(status.value_nick), block_id=block_id)
        try:
            pixels, pixel_format = self._pixels(buffer)
        except (ValueError, CameraUnavailable) as error:
            return Received(arrived_ns, None, unusable(error), block_id=block_id)
        line_status = self._chunk(buffer, "ChunkLineStatusAll")
        return Received(
            arrived_ns,
            pixels,
            pixel_format=pixel_format,
            block_id=block_id,
            device_ns=buffer.get_timestamp() or None,
            exposure_us=self._chunk(buffer, "ChunkExposureTime"),
            line_status=None if line_status is None else int(line_status),
        )

    def _pixels(self, buffer: Any) -> tuple[pixel_formats.Bytes, str]:
        pixel_format = pixel_formats.find(buffer.get_image_pixel_format(), self._camera)
        width, height = buffer.get_image_width(), buffer.get_image_height()
        padding = buffer.get_image_padding()[0]
        stride = int(pixel_format.row_bytes(width)) + padding if padding else None
        data = buffer.get_image_data()
        return pixel_formats.to_bgr(data, pixel_format, width, height, stride), pixel_format.name

    def _chunk(self, buffer: Any, name: str) -> float | None:
        """Return a number that the camera sent with the frame, None without it."""
        parser = self._parser
        if parser is None:
            return None
        read = parser.get_float_value if "Exposure" in name else parser.get_integer_value
        try:
            return float(read(buffer, name))
        except self._failure:
            return None


def chunk_parser(camera: Any, access: AravisFeatures) -> Any:
    """Have the camera send what it knows of a frame; return what reads it, or None."""
    selector = access.find("ChunkSelector")
    if access.find("ChunkModeActive") is None or selector is None:
        return None
    chunks = [name for name in _CHUNKS if name in selector.entries]
    if not chunks:
        return None
    camera.set_chunks(",".join(chunks))
    return camera.create_chunk_parser()


def _arrival_ns(buffer: Any, now_ns: int) -> int:
    """Return the monotonic time of the frame's first packet; the driver has its wall time."""
    waited_ns = time.time_ns() - buffer.get_system_timestamp()
    return now_ns - waited_ns if 0 <= waited_ns <= _LONGEST_DELAY_NS else now_ns
