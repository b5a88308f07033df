"""A V4L2 driver, played below the system call: kernel structs in, kernel structs out."""

from __future__ import annotations

import errno
import struct

from edge.cameras import v4l2_device


class Driver:
    """A camera with eight controls and two formats."""

    def __init__(self):
        # id: type, name, minimum, maximum, step, value, flags
        self.controls = {
            0x00980913: [1, b"Gain", 0, 100, 5, 50, 0],
            0x0098090C: [2, b"White Balance, Automatic", 0, 1, 1, 1, 0],
            0x0098091A: [1, b"White Balance Temperature", 2800, 6500, 10, 4000, 0x10],
            0x00980918: [3, b"Power Line Frequency", 0, 2, 1, 1, 0],
            0x009A0901: [3, b"Auto Exposure", 0, 3, 1, 3, 0],
            0x009A0902: [1, b"Exposure Time, Absolute", 3, 2047, 1, 250, 0x10],
            0x009A090D: [7, b"A text", 0, 1, 1, 0, 0],
            0x009A0910: [4, b"Reset", 0, 0, 0, 0, 0],
        }
        self.menus = {
            0x00980918: {0: b"Disabled", 1: b"50 Hz", 2: b"60 Hz"},
            0x009A0901: {1: b"Manual Mode", 3: b"Aperture Priority Mode"},
        }
        self.written: list[tuple[int, int]] = []

    def __call__(self, descriptor: int, request: int, data: bytearray) -> int:
        answers = {
            v4l2_device.QUERYCAP: self.querycap,
            v4l2_device.ENUM_FMT: self.enum_fmt,
            v4l2_device.ENUM_FRAMESIZES: self.sizes,
            v4l2_device.ENUM_FRAMEINTERVALS: self.intervals,
            v4l2_device.QUERYCTRL: self.queryctrl,
            v4l2_device.QUERYMENU: self.querymenu,
            v4l2_device.G_CTRL: self.get,
            v4l2_device.S_CTRL: self.set,
        }
        answers[request](data)
        return 0

    def querycap(self, data):
        caps = 0x85200001
        struct.pack_into(
            "=16s32s32sIII", data, 0, b"uvcvideo", b"Acme 4K", b"usb-1", 1, caps, 0x04200001
        )

    def enum_fmt(self, data):
        index, kind = struct.unpack_from("=II", data)
        assert kind == 1
        codes = [b"MJPG", b"YUYV"]
        self.within(index, codes)
        struct.pack_into("=III32s4s", data, 0, index, 1, 0, b"x", codes[index])

    def sizes(self, data):
        index, code = struct.unpack_from("=I4s", data)
        found = [(1920, 1080), (640, 480)] if code == b"MJPG" else [None]
        self.within(index, found)
        if found[index] is None:
            struct.pack_into("=I6I", data, 8, 3, 16, 800, 8, 16, 600, 8)
        else:
            struct.pack_into("=III", data, 8, 1, *found[index])

    def intervals(self, data):
        index, _, width, _ = struct.unpack_from("=4I", data)
        found = [(1, 30), (1001, 15000)] if width == 1920 else [(1, 60)]
        self.within(index, found)
        struct.pack_into("=III", data, 16, 1, *found[index])

    def queryctrl(self, data):
        (asked,) = struct.unpack_from("=I", data)
        after = asked & 0x7FFFFFFF
        later = [number for number in sorted(self.controls) if number > after]
        self.within(0, later)
        kind, name, low, high, step, _, flags = self.controls[later[0]]
        struct.pack_into("=II32siiiiI", data, 0, later[0], kind, name, low, high, step, 0, flags)

    def querymenu(self, data):
        number, index = struct.unpack_from("=II", data)
        if index not in self.menus[number]:
            raise OSError(errno.EINVAL, "Invalid argument")
        struct.pack_into("=32s", data, 8, self.menus[number][index])

    def get(self, data):
        (number,) = struct.unpack_from("=I", data)
        struct.pack_into("=i", data, 4, self.controls[number][5])

    def set(self, data):
        number, value = struct.unpack("=Ii", data)
        self.written.append((number, value))
        self.controls[number][5] = value
        if number == 0x009A0901:
            self.controls[0x009A0902][6] = 0 if value == 1 else 0x10
        if number == 0x0098090C:
            self.controls[0x0098091A][6] = 0x10 if value else 0

    @staticmethod
    def within(index, found):
        if index >= len(found):
            raise OSError(errno.EINVAL, "Invalid argument")
