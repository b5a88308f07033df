"""Format and size of a picture are checked before a decoder sees it."""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.picture_file import decode_picture, read_picture
from edge.picture_header import MAX_PIXELS, check_header

FORMATS = [".png", ".jpg", ".bmp", ".tif", ".webp"]
PARAMETERS = {"lossless": [cv2.IMWRITE_WEBP_QUALITY, 101], "lossy": [cv2.IMWRITE_WEBP_QUALITY, 50]}


def encoded(suffix: str, width: int = 37, height: int = 23, **options) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 255, (height, width, 3), np.uint8)
    is_written, data = cv2.imencode(suffix, pixels, options.get("parameters", []))
    assert is_written
    return data.tobytes()


def patched(suffix: str, width: int, height: int) -> bytes:
    """A small picture whose header says another size."""
    data = bytearray(encoded(suffix))
    if suffix == ".png":
        struct.pack_into(">II", data, 16, width, height)
        struct.pack_into(">I", data, 29, zlib.crc32(data[12:29]))
    elif suffix == ".bmp":
        struct.pack_into("<ii", data, 18, width, -height)
    elif suffix == ".jpg":
        frame = data.find(b"\xff\xc0")
        struct.pack_into(">HH", data, frame + 5, height, width)
    elif suffix == ".tif":
        assert data[:4] == b"II*\0"
        (start,) = struct.unpack_from("<I", data, 4)
        (count,) = struct.unpack_from("<H", data, start)
        for entry in range(start + 2, start + 2 + 12 * count, 12):
            (tag,) = struct.unpack_from("<H", data, entry)
            if tag in (256, 257):
                value = width if tag == 256 else height
                struct.pack_into("<HHII", data, entry, tag, 4, 1, value)
    return bytes(data)


@pytest.mark.parametrize("suffix", FORMATS)
def test_pictures_of_every_format_pass(suffix: str) -> None:
    check_header(encoded(suffix))
    assert decode_picture(encoded(suffix)).shape == (23, 37, 3)


@pytest.mark.parametrize("kind", PARAMETERS)
def test_both_kinds_of_webp_say_their_size(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data = encoded(".webp", parameters=PARAMETERS[kind])
    monkeypatch.setattr("edge.picture_header.MAX_PIXELS", 37 * 23)
    check_header(data)
    monkeypatch.setattr("edge.picture_header.MAX_PIXELS", 37 * 23 - 1)
    with pytest.raises(ValueError, match="its header says 37x23"):
        check_header(data)


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".jpg", ".tif"])
def test_a_header_that_asks_for_too_much_is_refused_before_decoding(
    suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def decode(*_: object) -> None:
        raise AssertionError("the decoder was asked")

    monkeypatch.setattr(cv2, "imdecode", decode)
    with pytest.raises(
        ValueError, match=f"at most {MAX_PIXELS} pixels, its header says 60000x60000"
    ):
        decode_picture(patched(suffix, 60000, 60000))


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".jpg", ".tif"])
def test_a_header_without_a_size_is_damage(suffix: str) -> None:
    with pytest.raises(ValueError, match="damaged: its header says 0x23 pixels"):
        check_header(patched(suffix, 0, 23))


@pytest.mark.parametrize(
    "data",
    [
        b"GIF89a" + bytes(40),
        b"#?RADIANCE\n",
        b"\x76\x2f\x31\x01" + bytes(40),
        b"P6\n9 9\n255\n",
        b"x",
    ],
    ids=["gif", "hdr", "exr", "ppm", "text"],
)
def test_other_formats_are_refused_by_content(data: bytes) -> None:
    with pytest.raises(ValueError, match="expected PNG, JPEG, BMP, TIFF or WebP by its content"):
        decode_picture(data)


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_file_cut_anywhere_in_its_header_ends_in_one_line(suffix: str) -> None:
    data = encoded(suffix)
    for length in range(1, min(len(data) - 1, 60)):
        with pytest.raises(ValueError, match=r"\w") as caught:
            decode_picture(data[:length])
        assert "\n" not in str(caught.value)


def test_what_is_no_regular_file_is_not_opened(tmp_path: Path) -> None:
    pipe = tmp_path / "a.png"
    os.mkfifo(pipe)
    with pytest.raises(ValueError, match="not a regular file"):
        read_picture(pipe)
    with pytest.raises(ValueError, match="not a regular file"):
        read_picture(tmp_path)
