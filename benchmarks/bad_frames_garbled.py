"""Bad frames whose picture is cut, torn, moved or garbled on the way from sensor to file."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Kind = Callable[[Image, Image, np.random.Generator], Image]


def top_half(picture: Image, _other: Image, _rng: np.random.Generator) -> Image:
    return picture[: picture.shape[0] // 2]


def left_half(picture: Image, _other: Image, _rng: np.random.Generator) -> Image:
    return picture[:, : picture.shape[1] // 2]


def stretched(picture: Image, _other: Image, _rng: np.random.Generator) -> Image:
    return cv2.resize(picture, (picture.shape[1] * 2, picture.shape[0] // 2))


def half_size(picture: Image, _other: Image, _rng: np.random.Generator) -> Image:
    half = (picture.shape[1] // 2, picture.shape[0] // 2)
    return cv2.resize(picture, half, interpolation=cv2.INTER_AREA)


def torn(picture: Image, other: Image, _rng: np.random.Generator) -> Image:
    half = picture.shape[0] // 2
    return np.vstack((picture[:half], fit(other, picture)[half:]))


def torn_upright(picture: Image, other: Image, _rng: np.random.Generator) -> Image:
    half = picture.shape[1] // 2
    return np.hstack((picture[:, :half], fit(other, picture)[:, half:]))


def torn_late(picture: Image, other: Image, _rng: np.random.Generator) -> Image:
    cut = picture.shape[0] * 7 // 8
    return np.vstack((picture[:cut], fit(other, picture)[cut:]))


def fit(other: Image, picture: Image) -> Image:
    if other.shape == picture.shape:
        return other
    return cv2.resize(other, (picture.shape[1], picture.shape[0]))


def filled(part: str, level: int) -> Kind:
    def make(picture: Image, _other: Image, _rng: np.random.Generator) -> Image:
        bad = picture.copy()
        height, width = bad.shape[:2]
        where = {
            "lower": np.s_[height // 2 :],
            "upper": np.s_[: height // 2],
            "right": np.s_[:, width // 2 :],
            "middle": np.s_[height * 3 // 8 : height * 5 // 8],
            "last quarter": np.s_[height * 3 // 4 :],
        }[part]
        bad[where] = level
        return bad

    return make


def last_row_repeated(picture: Image, _other: Image, _rng: np.random.Generator) -> Image:
    bad = picture.copy()
    bad[bad.shape[0] // 2 :] = bad[bad.shape[0] // 2 - 1]
    return bad


def last_column_repeated(picture: Image, _other: Image, _rng: np.random.Generator) -> Image:
    bad = picture.copy()
    bad[:, bad.shape[1] // 2 :] = bad[:, bad.shape[1] // 2 - 1, None]
    return bad


def band_twice(picture: Image, _other: Image, _rng: np.random.Generator) -> Image:
    bad = picture.copy()
    half = bad.shape[0] // 2
    bad[half : 2 * half] = bad[:half]
    return bad


def band_shifted(picture: Image, _other: Image, _rng: np.random.Generator) -> Image:
    bad = picture.copy()
    band = slice(bad.shape[0] // 3, bad.shape[0] * 2 // 3)
    bad[band] = np.roll(bad[band], bad.shape[1] // 8, axis=1)
    return bad


def rolled(axis: int) -> Kind:
    def make(picture: Image, _other: Image, _rng: np.random.Generator) -> Image:
        return np.roll(picture, picture.shape[axis] // 2, axis=axis)

    return make


def mirrored(picture: Image, _other: Image, _rng: np.random.Generator) -> Image:
    return np.ascontiguousarray(picture[:, ::-1])


def upside_down(picture: Image, _other: Image, _rng: np.random.Generator) -> Image:
    return np.ascontiguousarray(picture[::-1])


def quarter_turn(picture: Image, _other: Image, _rng: np.random.Generator) -> Image:
    return fit(np.ascontiguousarray(np.rot90(picture)), picture)


def zoomed(picture: Image, _other: Image, _rng: np.random.Generator) -> Image:
    height, width = picture.shape[:2]
    part = picture[height * 3 // 8 : height * 5 // 8, width * 3 // 8 : width * 5 // 8]
    return cv2.resize(part, (width, height))


def far_away(picture: Image, _other: Image, _rng: np.random.Generator) -> Image:
    small = half_size(picture, picture, _rng)
    bad = np.zeros_like(picture)
    top, left = (bad.shape[0] - small.shape[0]) // 2, (bad.shape[1] - small.shape[1]) // 2
    bad[top : top + small.shape[0], left : left + small.shape[1]] = small
    return bad


def jpeg_cut(picture: Image, _other: Image, _rng: np.random.Generator) -> Image:
    """Most of the scan is missing, the end marker is there: decoders fill in grey."""
    data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()
    scan = data.index(b"\xff\xda") + 14
    cut = scan + (len(data) - scan) * 3 // 10
    damaged = data[:cut].rstrip(b"\xff") + b"\xff\xd9"
    decoded = cv2.imdecode(np.frombuffer(damaged, np.uint8), cv2.IMREAD_COLOR)
    return picture * 0 if decoded is None else np.asarray(decoded, np.uint8)


def jpeg_hard(picture: Image, _other: Image, _rng: np.random.Generator) -> Image:
    data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 2])[1]
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)


def grey_below(picture: Image, _other: Image, _rng: np.random.Generator) -> Image:
    """Grey of half value from a third downward, as decoders leave what never arrived."""
    bad = picture.copy()
    bad[bad.shape[0] // 3 :] = 128
    return bad


def dead_columns(picture: Image, _other: Image, _rng: np.random.Generator) -> Image:
    bad = picture.copy()
    bad[:, :: max(2, bad.shape[1] // 32)] = 0
    return bad


def dead_rows(picture: Image, _other: Image, _rng: np.random.Generator) -> Image:
    bad = picture.copy()
    bad[:: max(2, bad.shape[0] // 32)] = 0
    return bad


def interlaced(picture: Image, other: Image, _rng: np.random.Generator) -> Image:
    bad = picture.copy()
    bad[1::2] = fit(other, picture)[1::2]
    return bad


def fields(picture: Image, _other: Image, _rng: np.random.Generator) -> Image:
    """Both half pictures one below the other."""
    return np.vstack((picture[::2], picture[1::2]))


def bayer(picture: Image, _other: Image, _rng: np.random.Generator) -> Image:
    raw = picture[:, :, 1].copy()
    raw[::2, ::2] = (picture[::2, ::2, 0] * 0.6).astype(np.uint8)
    raw[1::2, 1::2] = (picture[1::2, 1::2, 2] * 0.7).astype(np.uint8)
    return cv2.cvtColor(raw, cv2.COLOR_GRAY2BGR)


def sheared(picture: Image, _other: Image, _rng: np.random.Generator) -> Image:
    """Every row starts two pixels later: read with a wrong row length."""
    height, width = picture.shape[:2]
    flat = np.concatenate((picture.reshape(-1, 3), np.zeros((2 * height, 3), np.uint8)))
    return np.stack(
        [flat[y * (width + 2) :][:width] for y in range(height - 3)] + [flat[:width]] * 3
    )[:height]


def low_byte(picture: Image, _other: Image, rng: np.random.Generator) -> Image:
    """The lower byte of 12-bit values."""
    deep = picture.astype(np.uint16) * 16 + rng.integers(0, 16, picture.shape, np.uint16)
    return (deep & 255).astype(np.uint8)


def swapped_bytes(picture: Image, _other: Image, rng: np.random.Generator) -> Image:
    """Bytes of 16-bit grey values in the wrong order, two pixels for each."""
    grey = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)
    half = np.repeat(grey[:, ::2], 2, axis=1)[:, : grey.shape[1]].copy()
    half[:, 1::2] = rng.integers(0, 256, half[:, 1::2].shape, np.uint8)
    return cv2.cvtColor(half, cv2.COLOR_GRAY2BGR)


def four_bits(picture: Image, _other: Image, _rng: np.random.Generator) -> Image:
    """10-bit values cut to their lower eight bits after a shift by two: levels wrap."""
    return (picture.astype(np.uint16) * 4 % 256).astype(np.uint8)


def half_transferred(picture: Image, other: Image, _rng: np.random.Generator) -> Image:
    """Random blocks of a sixteenth come from another part."""
    bad, late = picture.copy(), fit(other, picture)
    high, wide = max(1, bad.shape[0] // 4), max(1, bad.shape[1] // 4)
    for row in range(4):
        for column in range(4):
            if (row + column) % 2:
                area = np.s_[row * high : (row + 1) * high, column * wide : (column + 1) * wide]
                bad[area] = late[area]
    return bad
