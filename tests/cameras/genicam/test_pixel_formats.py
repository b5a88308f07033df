"""Buffers of cameras -> pictures, for every format."""

from __future__ import annotations

import numpy as np
import pytest

from edge.cameras.genicam.pixel_formats import FORMATS, find, to_bgr
from edge.errors import CameraUnavailable
from edge.grey_picture import plane_of

WIDTH, HEIGHT = 14, 6


def pack(values: np.ndarray, bits: int, packing: str) -> bytes:
    """Pack rows that run on, one bit at a time, as the standards write it down."""
    flat = [int(each) for each in values.reshape(-1)]
    if packing == "bytes":
        return b"".join(each.to_bytes((bits + 7) // 8, "little") for each in flat)
    if packing == "lsb":
        stream = sum(value << (i * bits) for i, value in enumerate(flat))
        return stream.to_bytes(-(-len(flat) * bits // 8), "little")
    packed = bytearray()
    low = bits - 8
    for i in range(0, len(flat), 2):
        pair = flat[i : i + 2]
        middle = pair[0] & (2**low - 1)
        packed += bytes([pair[0] >> low])
        if len(pair) == 2:
            middle |= (pair[1] & (2**low - 1)) << 4
            packed += bytes([middle, pair[1] >> low])
        else:
            packed += bytes([middle])
    return bytes(packed)


@pytest.mark.parametrize("name", [each.name for each in FORMATS if each.colours == "mono"])
@pytest.mark.parametrize("width", [WIDTH, 13, 1])
def test_grey_keeps_its_upper_eight_bits(name: str, width: int) -> None:
    pixel_format = find(name, "top")
    values = np.random.default_rng(5).integers(0, 2**pixel_format.bits, (HEIGHT - 1, width))
    data = pack(values, pixel_format.bits, pixel_format.packing)
    got = to_bgr(data, name, width, HEIGHT - 1)
    expected = (values >> (pixel_format.bits - 8)).astype(np.uint8)
    np.testing.assert_array_equal(got, np.dstack([expected] * 3))


@pytest.mark.parametrize("name", ["Mono8", "Mono12", "Mono10p"])
@pytest.mark.parametrize("padding", [0, 6])
def test_grey_takes_a_third_and_outlives_the_buffer(name: str, padding: int) -> None:
    pixel_format = find(name, "top")
    values = np.full((HEIGHT, WIDTH), 2**pixel_format.bits - 1)
    lines = values if padding else [values]
    packed = [pack(line, pixel_format.bits, pixel_format.packing) for line in lines]
    buffer = np.frombuffer(b"".join(line + bytes(padding) for line in packed), np.uint8).copy()
    stride = len(packed[0]) + padding if padding else None
    got = to_bgr(buffer, name, WIDTH, HEIGHT, stride)
    buffer[:] = 0
    assert got.shape == (HEIGHT, WIDTH, 3)
    assert (got == 255).all()
    assert plane_of(got) is not None


def test_grey_bytes_are_not_copied() -> None:
    data = bytes(range(WIDTH * HEIGHT))
    assert np.shares_memory(to_bgr(data, "Mono8", WIDTH, HEIGHT), np.frombuffer(data, np.uint8))


BAYER = [each.name for each in FORMATS if each.demosaicing]


@pytest.mark.parametrize("name", BAYER)
def test_bayer_gives_the_colour_of_the_part(name: str) -> None:
    """A part of one colour: red 200, green 120, blue 40, seen through the pattern."""
    pixel_format = find(name, "top")
    levels = {"R": 200, "G": 120, "B": 40}
    first = pixel_format.colours
    second = {"RG": "GB", "GR": "BG", "GB": "RG", "BG": "GR"}[first]
    tile = np.array([[levels[c] for c in row] for row in (first, second)])
    values = np.tile(tile, (HEIGHT // 2, WIDTH // 2)) << (pixel_format.bits - 8)
    got = to_bgr(pack(values, pixel_format.bits, pixel_format.packing), name, WIDTH, HEIGHT)
    np.testing.assert_array_equal(got, np.full((HEIGHT, WIDTH, 3), (40, 120, 200)))


@pytest.mark.parametrize(
    ("name", "pixel"),
    [
        ("RGB8", (200, 120, 40)),
        ("RGB8Packed", (200, 120, 40)),
        ("BGR8", (40, 120, 200)),
        ("RGBa8", (200, 120, 40, 7)),
        ("BGRa8", (40, 120, 200, 7)),
    ],
)
def test_channels_come_in_the_order_bgr(name: str, pixel: tuple[int, ...]) -> None:
    data = np.full((HEIGHT, WIDTH, len(pixel)), pixel, np.uint8)
    assert (to_bgr(data.tobytes(), name, WIDTH, HEIGHT) == (40, 120, 200)).all()
    assert (to_bgr(data, name, WIDTH, HEIGHT) == (40, 120, 200)).all()


@pytest.mark.parametrize(
    ("name", "is_luma_first"),
    [
        ("YUV422_8", True),
        ("YUV422Packed", False),
        ("YUV422_8_UYVY", False),
        ("YCbCr422_8", True),
        ("YCbCr422_8_CbYCrY", False),
    ],
)
def test_yuv_gives_the_colour_of_the_part(name: str, is_luma_first: bool) -> None:
    red, green, blue = 200, 120, 40
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    cb, cr = 128 + 0.564 * (blue - luma), 128 + 0.713 * (red - luma)
    y, cb, cr = round(luma), round(cb), round(cr)
    four = (y, cb, y, cr) if is_luma_first else (cb, y, cr, y)
    data = bytes(four) * (WIDTH // 2 * HEIGHT)
    got = to_bgr(data, name, WIDTH, HEIGHT).astype(int)
    assert np.abs(got - (blue, green, red)).max() <= 2


def test_black_and_white_of_yuv_are_those_of_the_full_range() -> None:
    data = bytes((0, 128, 255, 128)) * (WIDTH // 2 * HEIGHT)
    got = to_bgr(data, "YUV422_8", WIDTH, HEIGHT)
    assert (got[:, 0::2] == 0).all()
    assert (got[:, 1::2] == 255).all()


@pytest.mark.parametrize("name", ["Mono8", "Mono12", "Mono12Packed", "Mono10p", "BayerRG8", "RGB8"])
def test_padding_of_rows_is_left_out(name: str) -> None:
    pixel_format = find(name, "top")
    channels = 3 if name == "RGB8" else 1
    values = np.random.default_rng(2).integers(0, 2**pixel_format.bits, (HEIGHT, WIDTH * channels))
    expected = to_bgr(pack(values, pixel_format.bits, pixel_format.packing), name, WIDTH, HEIGHT)
    rows = [pack(row, pixel_format.bits, pixel_format.packing) for row in values]
    stride = len(rows[0]) + 6
    padded = b"".join(row + b"\xaa" * 6 for row in rows)
    for data in (padded, padded[:-6], padded + b"tail"):
        got = to_bgr(data, name, WIDTH, HEIGHT, stride)
        np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("name", [each.name for each in FORMATS])
def test_a_short_buffer_is_refused(name: str) -> None:
    pixel_format = find(name, "top")
    size = -int(-pixel_format.row_bytes(WIDTH) * HEIGHT // 1)
    assert to_bgr(bytes(size), name, WIDTH, HEIGHT).shape == (HEIGHT, WIDTH, 3)
    with pytest.raises(ValueError, match=f"expected {size} bytes of pixels, got {size - 1}"):
        to_bgr(bytes(size - 1), name, WIDTH, HEIGHT)
    with pytest.raises(ValueError, match="expected"):
        to_bgr(bytes(size - 1), name, WIDTH, HEIGHT, int(pixel_format.row_bytes(WIDTH)) - 1)


def test_an_unknown_format_is_one_line() -> None:
    for wanted, shown in (("Coord3D_C16", "Coord3D_C16"), (0x0231009B, "0x0231009b")):
        with pytest.raises(
            CameraUnavailable, match=rf"top: expected a pixel .* found {shown}; set"
        ):
            find(wanted, "top")


def test_records_say_what_was_done() -> None:
    assert find("BayerRG12p", "top").demosaicing == "bilinear"
    assert find("BayerRG12p", "top").conversion == (
        "upper 8 of 12 bits, bilinear demosaicing of RG to BGR"
    )
    assert find("Mono8", "top").demosaicing is None
    assert find(0x02180015, "top").conversion == "BGR to BGR"
