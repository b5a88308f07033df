"""Cut and zeroed files of every format are refused; what is whole keeps its pixels."""

from __future__ import annotations

import os
import struct
import tracemalloc
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.picture_damage.check import find_damage
from edge.picture_damage.jpeg import MAX_SCANS
from edge.picture_damage.lzw import lzw_length
from edge.picture_file import decode_picture, read_picture

HOLE = 1024
SIDE = 320


def part() -> np.ndarray:
    """A part as photographed: bright rings over a dark, noisy ground."""
    pixels = np.full((SIDE, SIDE, 3), (70, 80, 90), np.uint8)
    for radius in range(20, 150, 25):
        cv2.circle(pixels, (160, 160), radius, (200, 180, 220), 7)
    noise = np.random.default_rng(0).normal(0, 4, pixels.shape)
    return np.clip(pixels + noise, 0, 255).astype(np.uint8)


def encoded(suffix: str, *parameters: int, pixels: np.ndarray | None = None) -> bytes:
    is_written, data = cv2.imencode(suffix, part() if pixels is None else pixels, list(parameters))
    assert is_written
    return data.tobytes()


COMPRESSION = cv2.IMWRITE_TIFF_COMPRESSION
RAW = {"bmp": encoded(".bmp"), "tiff": encoded(".tif", COMPRESSION, 1)}
COMPRESSED = {
    "jpeg": encoded(".jpg", cv2.IMWRITE_JPEG_QUALITY, 95),
    "coarse jpeg": encoded(".jpg", cv2.IMWRITE_JPEG_QUALITY, 60),
    "grey jpeg": encoded(".jpg", pixels=part()[..., 0]),
    "optimised jpeg": encoded(".jpg", cv2.IMWRITE_JPEG_OPTIMIZE, 1),
    "progressive jpeg": encoded(".jpg", cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
    "jpeg with restarts": encoded(".jpg", cv2.IMWRITE_JPEG_RST_INTERVAL, 4),
    "png": encoded(".png"),
    "lzw tiff": encoded(".tif", COMPRESSION, 5),
    "deflate tiff": encoded(".tif", COMPRESSION, 8),
    "packbits tiff": encoded(".tif", COMPRESSION, 32773),
    "lossy webp": encoded(".webp", cv2.IMWRITE_WEBP_QUALITY, 80),
    "lossless webp": encoded(".webp", cv2.IMWRITE_WEBP_QUALITY, 101),
}
WHOLE = {**COMPRESSED, **RAW}
SHARES = np.linspace(0.05, 0.99, 20)


@pytest.mark.parametrize("kind", WHOLE)
def test_a_whole_file_keeps_its_pixels(kind: str) -> None:
    data = WHOLE[kind]
    assert find_damage(data) is None
    expected = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert np.array_equal(decode_picture(data), expected)


@pytest.mark.parametrize("kind", WHOLE)
def test_a_file_cut_anywhere_is_refused(kind: str) -> None:
    for share in SHARES:
        with pytest.raises(ValueError, match=r"cut short|damaged") as caught:
            decode_picture(WHOLE[kind][: int(share * len(WHOLE[kind]))])
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", [kind for kind in WHOLE if "jpeg" in kind])
def test_a_cut_jpeg_that_keeps_its_end_marker_is_refused(kind: str) -> None:
    for share in SHARES:
        with pytest.raises(ValueError, match=r"cut short|damaged"):
            decode_picture(WHOLE[kind][: int(share * len(WHOLE[kind]))] + b"\xff\xd9")


@pytest.mark.parametrize("kind", COMPRESSED)
def test_a_file_with_zeros_anywhere_is_refused(kind: str) -> None:
    data = COMPRESSED[kind]
    for share in SHARES:
        start = min(int(share * len(data)), len(data) - HOLE)
        with pytest.raises(ValueError, match=r"damaged|not a picture"):
            decode_picture(data[:start] + bytes(HOLE) + data[start + HOLE :])


@pytest.mark.parametrize("level", [0, 128, 255])
@pytest.mark.parametrize("kind", ["grey", "colour"])
@pytest.mark.parametrize(
    "parameters",
    [[], [cv2.IMWRITE_JPEG_OPTIMIZE, 1], [cv2.IMWRITE_JPEG_PROGRESSIVE, 1]],
    ids=["plain", "optimised", "progressive"],
)
def test_a_flat_jpeg_is_whole_whatever_zeros_its_codes_are(
    level: int, kind: str, parameters: list[int]
) -> None:
    shape = (2048, 2048) if kind == "grey" else (2048, 2048, 3)
    pixels = np.full(shape, level, np.uint8)
    pixels[:40, :40] = 255 - level
    assert find_damage(encoded(".jpg", *parameters, pixels=pixels)) is None


def test_a_progressive_jpeg_without_its_last_scans_is_refused() -> None:
    data = COMPRESSED["progressive jpeg"]
    last = data.rfind(b"\xff\xda")
    with pytest.raises(ValueError, match="scans of the picture are missing"):
        decode_picture(data[:last] + b"\xff\xd9")


def test_endless_scans_are_refused_before_they_are_decoded() -> None:
    data = COMPRESSED["progressive jpeg"]
    first = data.find(b"\xff\xda")
    scan = data[first : data.find(b"\xff\xc4", first)]
    damage = find_damage(data[:first] + scan * (MAX_SCANS + 1) + data[first:])
    assert damage == f"JPEG damaged: expected at most {MAX_SCANS} scans, found more"


def test_a_tiff_whose_strips_overlap_or_are_compressed_otherwise_is_refused() -> None:
    data = bytearray(RAW["tiff"])
    (start,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, start)
    tags = {
        struct.unpack_from("<H", data, entry)[0]: entry
        for entry in range(start + 2, start + 2 + 12 * count, 12)
    }
    other = bytearray(data)
    struct.pack_into("<H", other, tags[259] + 8, 4)
    assert "found compression 4; save it as PNG" in str(find_damage(bytes(other)))
    (offsets,) = struct.unpack_from("<I", data, tags[273] + 8)
    struct.pack_into("<I", data, offsets, 0)
    assert "strips are empty or overlap" in str(find_damage(bytes(data)))


def with_tags(data: bytes, **values: int) -> bytes:
    """A TIFF file with other values of some tags, by number."""
    changed = bytearray(data)
    (start,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, start)
    for entry in range(start + 2, start + 2 + 12 * count, 12):
        (tag,) = struct.unpack_from("<H", data, entry)
        if f"t{tag}" in values:
            struct.pack_into("<HII", changed, entry + 2, 4, 1, values[f"t{tag}"])
    return bytes(changed)


@pytest.mark.parametrize("kind", ["tiff", "deflate tiff", "lzw tiff"])
@pytest.mark.parametrize(
    "values",
    [{"t256": 1, "t257": 200_000_000, "t278": 1}, {"t277": 65_535}, {"t258": 2**31}],
    ids=["strips", "channels", "bits"],
)
def test_a_tiff_that_asks_for_more_than_memory_holds_is_refused_at_once(
    kind: str, values: dict[str, int]
) -> None:
    tracemalloc.start()
    damage = find_damage(with_tags(WHOLE[kind], **values))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert damage is not None
    assert "TIFF" in damage
    assert most < 2**24


def test_the_length_of_an_lzw_strip_is_that_of_its_pixels() -> None:
    # Clear, 1, 2, the string of both, the string just being made, end: 9 bits each.
    codes = [256, 1, 2, 258, 260, 257]
    bits = "".join(f"{code:09b}" for code in codes)
    strip = int(bits.ljust(56, "0"), 2).to_bytes(7, "big")
    assert lzw_length(strip, 0) == 1 + 1 + 2 + 3
    assert lzw_length(strip[1:], 0) == -1


def test_a_chunk_without_a_name_is_told_in_one_line() -> None:
    data = COMPRESSED["png"]
    damaged = data.replace(b"IDAT", b"\n\x1bAT", 1)
    assert find_damage(damaged) == "PNG damaged in chunk 0a1b4154"


@pytest.mark.parametrize("brightest", [1, 255, 4095])
def test_twelve_bits_in_sixteen_are_refused_with_what_to_do(brightest: int) -> None:
    pixels = np.full((20, 30), brightest, np.uint16)
    with pytest.raises(ValueError, match=f"the largest value is {brightest} .* save it with 8"):
        decode_picture(encoded(".png", pixels=pixels))
    pixels[0, 0] = 4096
    assert decode_picture(encoded(".png", pixels=pixels)).max() == 16
    assert decode_picture(encoded(".tif", pixels=np.zeros((20, 30), np.uint16))).max() == 0


def test_a_picture_of_a_few_pixels_is_no_picture_of_a_part() -> None:
    for height, width in [(1, 1), (7, 100), (100, 7)]:
        pixels = np.zeros((height, width), np.uint8)
        with pytest.raises(ValueError, match=f"at least 8x8 pixels, got {width}x{height}"):
            decode_picture(encoded(".png", pixels=pixels))


def test_every_picture_of_the_data_sets_is_whole() -> None:
    data = Path(os.environ.get("EDGE_TEST_DATA", "../shared/data"))
    pictures = sorted(path for path in data.rglob("*") if path.suffix in (".jpg", ".png"))
    if not pictures:
        pytest.skip(f"no pictures in {data}; set EDGE_TEST_DATA")
    for path in pictures[:: max(1, len(pictures) // 300)]:
        assert read_picture(path).size > 0
