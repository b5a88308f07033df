"""A sample of GStreamer's appsink -> pixels."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.cameras.gstreamer.binding import load_gstreamer


def read_pixels(sample: Any) -> NDArray[np.uint8]:
    """Copy a BGR sample out as (H, W, 3) uint8.

    Raises:
        ValueError: the buffer is incomplete, or marked as damaged by its driver.
    """
    gst = load_gstreamer()
    layout = sample.get_caps().get_structure(0)
    width, height = layout.get_int("width")[1], layout.get_int("height")[1]
    buffer = sample.get_buffer()
    stride = (3 * width + 3) // 4 * 4  # rows of BGR begin at multiples of four bytes
    wanted, size = stride * height, buffer.get_size()
    if buffer.has_flags(gst.BufferFlags.CORRUPTED):
        raise ValueError("the driver marks this picture as damaged; check the cable")
    if size < wanted:
        raise ValueError(f"expected {wanted} bytes of {width}x{height} pixels, got {size}")
    rows = np.frombuffer(_copied(buffer), np.uint8, count=wanted).reshape(height, stride)
    return np.ascontiguousarray(rows[:, : 3 * width]).reshape(height, width, 3)


def _copied(buffer: Any) -> bytes:
    """Copy a buffer; PyGObject's own function for it takes a hundred times as long."""
    is_mapped, info = buffer.map(load_gstreamer().MapFlags.READ)
    if not is_mapped:
        raise ValueError("the picture cannot be read from the memory of its driver")
    try:
        return bytes(info.data)
    finally:
        buffer.unmap(info)
