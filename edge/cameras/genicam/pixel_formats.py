"""Pixel formats of industrial cameras (PFNC) -> BGR with 8 bits, and what was done to get there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.errors import CameraUnavailable
from edge.grey_picture import as_bgr

Bytes = NDArray[np.uint8]
# How the bits of pixels lie: one or two bytes each; GigE Vision's packing (the upper 8 bits of two
# pixels around a byte with the lower bits of both); PFNC's packing (least significant bit first).
Packing = Literal["bytes", "gige", "lsb"]
Colours = Literal["mono", "RG", "GR", "GB", "BG", "rgb", "bgr", "rgba", "bgra", "uyvy", "yuyv"]

_BAYER = {
    "RG": cv2.COLOR_BayerRGGB2BGR,
    "GR": cv2.COLOR_BayerGRBG2BGR,
    "GB": cv2.COLOR_BayerGBRG2BGR,
    "BG": cv2.COLOR_BayerBGGR2BGR,
}
_DIRECT = {
    "rgb": cv2.COLOR_RGB2BGR,
    "rgba": cv2.COLOR_RGBA2BGR,
    "bgra": cv2.COLOR_BGRA2BGR,
}
_CHANNELS = {"rgb": 3, "bgr": 3, "rgba": 4, "bgra": 4, "uyvy": 2, "yuyv": 2}


@dataclass(frozen=True, slots=True)
class PixelFormat:
    """How a camera sends its pixels.

    Attributes:
        name: in the pixel format naming convention (PFNC), such as BayerRG8.
        code: its number there.
        colours: grey, the first two colours of a Bayer pattern, or the order of the channels.
        bits: per pixel and channel.
    """

    name: str
    code: int
    colours: Colours
    bits: int = 8
    packing: Packing = "bytes"

    @property
    def demosaicing(self) -> str | None:
        """How colours are made of a Bayer pattern; None where there is none."""
        return "bilinear" if self.colours in _BAYER else None

    @property
    def conversion(self) -> str:
        """What is done to get BGR with 8 bits, in one line for records."""
        depth = f"upper 8 of {self.bits} bits, " if self.bits > 8 else ""
        if self.colours in _BAYER:
            return f"{depth}bilinear demosaicing of {self.colours} to BGR"
        if self.colours == "mono":
            return f"{depth}grey repeated in B, G and R"
        if self.colours in {"uyvy", "yuyv"}:
            return "YCbCr 4:2:2 (BT.601, full range) to BGR"
        return f"{self.colours.upper()} to BGR"

    def row_bytes(self, width: int) -> float:
        """Return the bytes of one row without padding; packed rows may end within a byte."""
        if self.packing == "bytes":
            return width * _CHANNELS.get(self.colours, 1) * ((self.bits + 7) // 8)
        return width * (1.5 if self.packing == "gige" else self.bits / 8)


def _formats() -> tuple[PixelFormat, ...]:
    colour = PixelFormat
    listed = [
        colour("Mono8", 0x01080001, "mono"),
        colour("Mono10", 0x01100003, "mono", 10),
        colour("Mono10Packed", 0x010C0004, "mono", 10, "gige"),
        colour("Mono10p", 0x010A0046, "mono", 10, "lsb"),
        colour("Mono12", 0x01100005, "mono", 12),
        colour("Mono12Packed", 0x010C0006, "mono", 12, "gige"),
        colour("Mono12p", 0x010C0047, "mono", 12, "lsb"),
        colour("Mono14", 0x01100025, "mono", 14),
        colour("Mono16", 0x01100007, "mono", 16),
        colour("RGB8", 0x02180014, "rgb"),
        colour("BGR8", 0x02180015, "bgr"),
        colour("RGBa8", 0x02200016, "rgba"),
        colour("BGRa8", 0x02200017, "bgra"),
        colour("YUV422_8_UYVY", 0x0210001F, "uyvy"),
        colour("YUV422_8", 0x02100032, "yuyv"),
        colour("YCbCr422_8", 0x0210003B, "yuyv"),
        colour("YCbCr422_8_CbYCrY", 0x02100043, "uyvy"),
    ]
    patterns: tuple[Colours, ...] = ("GR", "RG", "GB", "BG")
    lsb: tuple[Colours, ...] = ("BG", "GB", "GR", "RG")
    for i, pattern in enumerate(patterns):
        listed += [
            colour(f"Bayer{pattern}8", 0x01080008 + i, pattern),
            colour(f"Bayer{pattern}10", 0x0110000C + i, pattern, 10),
            colour(f"Bayer{pattern}12", 0x01100010 + i, pattern, 12),
            colour(f"Bayer{pattern}16", 0x0110002E + i, pattern, 16),
            colour(f"Bayer{pattern}10Packed", 0x010C0026 + i, pattern, 10, "gige"),
            colour(f"Bayer{pattern}12Packed", 0x010C002A + i, pattern, 12, "gige"),
        ]
    for i, pattern in enumerate(lsb):
        listed += [
            colour(f"Bayer{pattern}10p", 0x010A0052 + 2 * i, pattern, 10, "lsb"),
            colour(f"Bayer{pattern}12p", 0x010C0053 + 2 * i, pattern, 12, "lsb"),
        ]
    return tuple(listed)


FORMATS = _formats()
# Names from before the convention, and of libraries.
_OTHER_NAMES = {
    "RGB8Packed": "RGB8",
    "BGR8Packed": "BGR8",
    "RGBA8Packed": "RGBa8",
    "BGRA8Packed": "BGRa8",
    "YUV422Packed": "YUV422_8_UYVY",
    "YUYVPacked": "YUV422_8",
    "YUV422_YUYV_Packed": "YUV422_8",
}
_BY_NAME = {each.name: each for each in FORMATS}
_BY_CODE = {each.code: each for each in FORMATS}


def find(name_or_code: str | int, camera: str) -> PixelFormat:
    """Return a format by its name or its PFNC code.

    Raises:
        CameraUnavailable: it is none that can be converted; `camera` is named in the message.
    """
    if isinstance(name_or_code, int):
        found, shown = _BY_CODE.get(name_or_code), f"{name_or_code:#010x}"
    else:
        found = _BY_NAME.get(_OTHER_NAMES.get(name_or_code, name_or_code))
        shown = name_or_code
    if found is None:
        raise CameraUnavailable(
            f"{camera}: expected a pixel format that can be converted, found {shown}; set "
            f"camera.features.PixelFormat to Mono8, BayerRG8, RGB8 or another of docs/cameras.md"
        )
    return found


def to_bgr(
    data: bytes | Bytes,
    pixel_format: str | PixelFormat,
    width: int,
    height: int,
    stride: int | None = None,
) -> Bytes:
    """Convert one buffer to (height, width, 3) uint8 BGR, which does not change with the buffer.

    Grey pixels are repeated by `edge.grey_picture.as_bgr`, without copies of them.

    Args:
        data: pixels as the camera sent them, little-endian.
        pixel_format: name or format.
        width: pixels of a row.
        height: rows.
        stride: bytes from one row to the next; None = rows follow without padding.

    Raises:
        CameraUnavailable: the format is unknown.
        ValueError: the buffer is shorter than the picture, or the format does not fit its size.
    """
    if isinstance(pixel_format, str):
        pixel_format = find(pixel_format, "camera")
    flat = np.frombuffer(data, np.uint8) if isinstance(data, bytes) else data.reshape(-1)
    if width < 1 or height < 1:
        raise ValueError(f"expected a picture, got {width}x{height} pixels")
    levels = _levels(flat, pixel_format, width, height, stride)
    colours = pixel_format.colours
    if colours == "mono":
        # Bytes never change; an array may be the memory of a driver.
        is_own = isinstance(data, bytes) or not np.may_share_memory(levels, flat)
        return as_bgr(levels if is_own else levels.copy())
    if colours in _BAYER:
        if width < 2 or height < 2:
            raise ValueError(f"expected at least 2x2 pixels of a pattern, got {width}x{height}")
        return _cv(_BAYER[colours], levels)
    if colours == "bgr":
        return np.array(levels)
    if colours in _DIRECT:
        return _cv(_DIRECT[colours], levels)
    return _from_yuv(levels, colours, width)


def _cv(code: int, levels: Bytes) -> Bytes:
    return np.asarray(cv2.cvtColor(levels, code), np.uint8)


def _levels(
    flat: Bytes, pixel_format: PixelFormat, width: int, height: int, stride: int | None
) -> Bytes:
    """Return (H, W) or (H, W, C) uint8 with the upper 8 bits of every value."""
    channels = _CHANNELS.get(pixel_format.colours, 1)
    row = pixel_format.row_bytes(width)
    if stride is None or stride == row:
        # Packed pixels run on from row to row.
        count, rows, per_row = -int(-row * height // 1), 1, width * height
    else:
        row = -int(-row // 1)
        if stride < row:
            raise ValueError(f"expected rows of {row} bytes or more, got {stride}")
        count, rows, per_row = stride * height, height, width
    if flat.size < count:
        # The padding of the last row may be left out.
        if rows == 1 or flat.size < _end(stride, height, row):
            raise ValueError(f"expected {count} bytes of pixels, got {flat.size}")
        flat = np.concatenate([flat, np.zeros(count - flat.size, np.uint8)])
    lines = flat[:count].reshape(rows, -1)
    if rows > 1:
        lines = lines[:, : int(row)]
    values = _UNPACK[pixel_format.packing](lines, pixel_format.bits, per_row * channels)
    shape = (height, width) if channels == 1 else (height, width, channels)
    return np.ascontiguousarray(values).reshape(shape)


def _end(stride: int | None, height: int, row: float) -> int:
    """Return where the last row of a padded buffer ends, bytes."""
    return (stride or 0) * (height - 1) + int(row)


def _from_bytes(lines: Bytes, bits: int, count: int) -> Bytes:
    if bits == 8:
        return lines
    values = np.ascontiguousarray(lines).view("<u2")[:, :count]
    return (values >> (bits - 8)).astype(np.uint8)


def _from_gige(lines: Bytes, bits: int, count: int) -> Bytes:
    # The first and the third of three bytes are the upper bits of two pixels. An odd last pixel
    # has two bytes, upper bits first.
    del bits
    pixels = np.empty((lines.shape[0], count), np.uint8)
    pixels[:, 0::2] = lines[:, 0::3][:, : (count + 1) // 2]
    pixels[:, 1::2] = lines[:, 2::3][:, : count // 2]
    return pixels


def _from_lsb(lines: Bytes, bits: int, count: int) -> Bytes:
    # Pixel i begins at bit i x bits; its upper eight bits begin (bits - 8) further.
    padded = np.zeros((lines.shape[0], lines.shape[1] + 5), np.uint8)
    padded[:, : lines.shape[1]] = lines
    period = 4 if bits == 10 else 2
    step = period * bits // 8
    pixels = np.empty((lines.shape[0], count), np.uint8)
    for i in range(period):
        first, shift = divmod(i * bits + bits - 8, 8)
        places = len(range(i, count, period))
        low = padded[:, first::step][:, :places]
        high = padded[:, first + 1 :: step][:, :places]
        pixels[:, i::period] = (low >> shift) | (high << (8 - shift)) if shift else low
    return pixels


_UNPACK: dict[Packing, Callable[[Bytes, int, int], Bytes]] = {
    "bytes": _from_bytes,
    "gige": _from_gige,
    "lsb": _from_lsb,
}


def _from_yuv(levels: Bytes, colours: Colours, width: int) -> Bytes:
    """Convert (H, W, 2), where pairs of pixels share their two colour differences."""
    if width % 2:
        raise ValueError(f"expected an even width for YUV 4:2:2, got {width}")
    at = 1 if colours == "uyvy" else 0
    luma, chroma = levels[:, :, at], levels[:, :, 1 - at]
    blue, red = (np.repeat(chroma[:, i::2], 2, axis=1) for i in (0, 1))
    return _cv(cv2.COLOR_YCrCb2BGR, np.dstack([luma, red, blue]))
