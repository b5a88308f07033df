"""What a V4L2 device says of itself, its formats and its controls, in the kernel's structs."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# linux/videodev2.h. A request is direction, size, letter V and number; structs are native.
QUERYCAP, QUERYCAP_STRUCT = 0x80685600, "=16s32s32sIII12x"
ENUM_FMT, FMT_STRUCT = 0xC0405602, "=III32sI16x"
ENUM_FRAMESIZES, SIZE_STRUCT = 0xC02C564A, "=III6I8x"
ENUM_FRAMEINTERVALS, INTERVAL_STRUCT = 0xC034564B, "=5I6I8x"
G_CTRL, S_CTRL, CTRL_STRUCT = 0xC008561B, 0xC008561C, "=Ii"
QUERYCTRL, QUERYCTRL_STRUCT = 0xC0445624, "=II32siiiiI8x"
QUERYMENU, MENU_STRUCT = 0xC02C5625, "=II32s4x"
VIDEO_CAPTURE = 1
_NEXT_CONTROL = 0x80000000
_DEVICE_CAPS = 0x80000000
_DISCRETE = 1
_MENU, _INTEGER_MENU = 3, 9
KINDS = {1: "integer", 2: "boolean", _MENU: "menu", 4: "button", _INTEGER_MENU: "integer menu"}
_DISABLED, _GRABBED, _READ_ONLY, _INACTIVE = 0x1, 0x2, 0x4, 0x10
# A driver that never ends its list is cut off.
_MOST = 1000


@dataclass(frozen=True, slots=True)
class Capability:
    """Name of the driver, of the camera and of its place; whether it gives pictures."""

    driver: str
    card: str
    bus: str
    is_capture: bool


@dataclass(frozen=True, slots=True)
class Format:
    """A pixel format by its four letters: one size and its rates, frames per second.

    A size of (0, 0) means that the driver does not list sizes; rates may be empty.
    """

    fourcc: str
    size_wh: tuple[int, int]
    rates: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Control:
    """A control of the camera; `entries` are the words of a menu by their numbers."""

    id: int
    name: str
    kind: str
    minimum: int
    maximum: int
    step: int
    is_writable: bool
    entries: dict[int, str]


class V4l2Device:
    """An open device; `close` gives it back.

    Args:
        path: device file.
        ioctl: the system call, for tests.

    Raises:
        OSError: it cannot be opened.
    """

    def __init__(self, path: Path, ioctl: Callable[[int, int, bytearray], object] = fcntl.ioctl):
        self._descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        self._ioctl = ioctl

    def close(self) -> None:
        """Give it back."""
        os.close(self._descriptor)

    def capability(self) -> Capability:
        """Return what it is; OSError when it is no video device."""
        driver, card, bus, _, caps, device_caps = self._ask(QUERYCAP, QUERYCAP_STRUCT)
        caps = device_caps if caps & _DEVICE_CAPS else caps
        return Capability(_text(driver), _text(card), _text(bus), bool(caps & VIDEO_CAPTURE))

    def formats(self) -> Iterator[Format]:
        """Yield every format with every size; of a range of sizes the largest."""
        for index in range(_MOST):
            found = self._listed(ENUM_FMT, FMT_STRUCT, index, VIDEO_CAPTURE, 0, b"", 0)
            if found is None:
                return
            code = found[4]
            sizes = list(self._sizes(code)) or [(0, 0)]
            for size in sizes:
                rates = tuple(sorted(set(self._rates(code, size)), reverse=True))
                yield Format(_fourcc(code), size, rates if size != (0, 0) else ())

    def controls(self) -> dict[str, Control]:
        """Return the controls that hold numbers, words or nothing, by their names."""
        found: dict[str, Control] = {}
        after = 0
        for _ in range(_MOST):
            asked = after | _NEXT_CONTROL
            answer = self._listed(QUERYCTRL, QUERYCTRL_STRUCT, asked, 0, b"", 0, 0, 0, 0, 0)
            if answer is None or answer[0] <= after:
                break
            after, kind, name, minimum, maximum, step, _, flags = answer
            if kind in KINDS and not flags & _DISABLED:
                entries = self._entries(after, kind, minimum, maximum)
                is_writable = not flags & (_GRABBED | _READ_ONLY | _INACTIVE)
                control = Control(
                    after, named(_text(name)), KINDS[kind], minimum, maximum, step,
                    is_writable, entries,
                )  # fmt: skip
                found[control.name] = control
        return found

    def get(self, control: Control) -> int:
        """Return the value of a control."""
        return int(self._ask(G_CTRL, CTRL_STRUCT, control.id, 0)[1])

    def set(self, control: Control, value: int) -> None:
        """Set a control; OSError when the driver refuses the value."""
        self._ask(S_CTRL, CTRL_STRUCT, control.id, value)

    def _sizes(self, code: int) -> Iterator[tuple[int, int]]:
        for index in range(_MOST):
            found = self._listed(ENUM_FRAMESIZES, SIZE_STRUCT, index, code, 0, *[0] * 6)
            if found is None:
                return
            if found[2] != _DISCRETE:
                yield found[4], found[7]
                return
            yield found[3], found[4]

    def _rates(self, code: int, size_wh: tuple[int, int]) -> Iterator[float]:
        for index in range(_MOST):
            found = self._listed(
                ENUM_FRAMEINTERVALS, INTERVAL_STRUCT, index, code, *size_wh, 0, *[0] * 6
            )
            if found is None:
                return
            seconds, per = found[5], found[6]
            if seconds:
                yield round(per / seconds, 3)
            if found[4] != _DISCRETE:
                return

    def _entries(self, control: int, kind: int, minimum: int, maximum: int) -> dict[int, str]:
        if kind not in {_MENU, _INTEGER_MENU}:
            return {}
        found = {}
        for index in range(max(minimum, 0), min(maximum, minimum + _MOST) + 1):
            # A menu may have holes.
            answer = self._listed(QUERYMENU, MENU_STRUCT, control, index, b"")
            if answer is not None:
                raw = answer[2]
                number = struct.unpack_from("=q", raw)[0]
                found[index] = str(number) if kind == _INTEGER_MENU else _text(raw)
        return found

    def _listed(self, request: int, layout: str, *values: object) -> tuple[Any, ...] | None:
        try:
            return self._ask(request, layout, *values)
        except OSError as error:
            if error.errno in {errno.EINVAL, errno.ENOTTY}:
                return None
            raise

    def _ask(self, request: int, layout: str, *values: object) -> tuple[Any, ...]:
        data = bytearray(struct.calcsize(layout))
        if values:
            struct.pack_into(layout, data, 0, *values)
        self._ioctl(self._descriptor, request, data)
        return struct.unpack(layout, data)


def named(text: str) -> str:
    """Return the name of a control as v4l2-ctl writes it: Exposure Time -> exposure_time."""
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")


def _text(raw: bytes) -> str:
    return raw.partition(b"\0")[0].decode("utf-8", "replace")


def _fourcc(code: int) -> str:
    letters = (code & 0x7FFFFFFF).to_bytes(4, "little").decode("latin-1")
    return "".join(letter if letter.isprintable() else "?" for letter in letters).rstrip()
