"""Bad frames of light, colour and noise, and patterns in the place of a picture."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.bad_frames_garbled import Image, Kind, fit


def rounded(values: NDArray[np.floating] | Image) -> Image:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def plane(picture: Image, values: NDArray[np.floating]) -> Image:
    """One plane of values for all channels, of the picture's size."""
    height, width = picture.shape[:2]
    whole = np.broadcast_to(np.asarray(values, np.float64), (height, width))
    return rounded(np.repeat(whole[:, :, None], 3, axis=2))


def rows(picture: Image) -> NDArray[np.float64]:
    return np.linspace(0, 1, picture.shape[0])[:, None]


def columns(picture: Image) -> NDArray[np.float64]:
    return np.linspace(0, 1, picture.shape[1])[None, :]


def stripes(along: int) -> Kind:
    def make(picture: Image, _other: Image, _rng: np.random.Generator) -> Image:
        place = np.arange(picture.shape[along]) * 16 // picture.shape[along] % 2 * 255.0
        return plane(picture, place[:, None] if along == 0 else place[None, :])

    return make


def halves(along: int) -> Kind:
    def make(picture: Image, _other: Image, _rng: np.random.Generator) -> Image:
        place = (rows if along == 0 else columns)(picture) > 0.5
        return plane(picture, place * 255.0)

    return make


def gradient(along: int) -> Kind:
    def make(picture: Image, _other: Image, _rng: np.random.Generator) -> Image:
        return plane(picture, (rows if along == 0 else columns)(picture) * 255)

    return make


def belt(picture: Image, _other: Image, rng: np.random.Generator) -> Image:
    noise = rng.normal(60, 6, picture.shape[:2])
    return plane(picture, cv2.GaussianBlur(noise, (0, 0), 1.0) + 8 * rows(picture))


def mean_colour(picture: Image, _other: Image, rng: np.random.Generator) -> Image:
    """An empty place with the product's own brightness and colour, and a camera's noise."""
    mean = picture.reshape(-1, 3).mean(axis=0)
    return rounded(mean + rng.normal(0, 3, picture.shape))


def level(level: int) -> Kind:
    return lambda picture, _other, _rng: np.full_like(picture, level)


def one_colour(picture: Image, _other: Image, _rng: np.random.Generator) -> Image:
    return np.full_like(picture, (30, 160, 90))


def uniform_noise(picture: Image, _other: Image, rng: np.random.Generator) -> Image:
    return rng.integers(0, 256, picture.shape, np.uint8)


def grey_noise(picture: Image, _other: Image, rng: np.random.Generator) -> Image:
    return plane(picture, rng.normal(128, 50, picture.shape[:2]))


def coarse_noise(picture: Image, _other: Image, rng: np.random.Generator) -> Image:
    cells = rng.integers(0, 256, (8, 8), np.uint8)
    size = (picture.shape[1], picture.shape[0])
    return plane(picture, cv2.resize(cells, size, interpolation=cv2.INTER_CUBIC).astype(float))


def block_noise(picture: Image, _other: Image, rng: np.random.Generator) -> Image:
    cells = (rng.random((16, 16)) < 0.5).astype(np.uint8) * 255
    size = (picture.shape[1], picture.shape[0])
    return plane(picture, cv2.resize(cells, size, interpolation=cv2.INTER_NEAREST).astype(float))


def noisy(picture: Image, _other: Image, rng: np.random.Generator) -> Image:
    return rounded(picture + rng.normal(0, 60, picture.shape))


def salt_and_pepper(picture: Image, _other: Image, rng: np.random.Generator) -> Image:
    bad, chance = picture.copy(), rng.random(picture.shape[:2])
    bad[chance < 0.05] = 0
    bad[chance > 0.95] = 255
    return bad


def checkerboard(picture: Image, _other: Image, _rng: np.random.Generator) -> Image:
    row = (rows(picture) * 7.99).astype(int)
    return plane(picture, (row + (columns(picture) * 7.99).astype(int)) % 2 * 255.0)


def swapped(picture: Image, _other: Image, _rng: np.random.Generator) -> Image:
    return np.ascontiguousarray(picture[:, :, ::-1])


def as_grey(picture: Image, _other: Image, _rng: np.random.Generator) -> Image:
    return cv2.cvtColor(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)


def tinted(picture: Image, _other: Image, _rng: np.random.Generator) -> Image:
    return rounded(picture * np.array([0.45, 0.8, 1.0]))


def false_colours(picture: Image, _other: Image, _rng: np.random.Generator) -> Image:
    return np.asarray(cv2.applyColorMap(picture, cv2.COLORMAP_JET), np.uint8)


def inverted(picture: Image, _other: Image, _rng: np.random.Generator) -> Image:
    return 255 - picture


def scaled(factor: float, offset: float = 0.0) -> Kind:
    return lambda picture, _other, _rng: rounded(picture * factor + offset)


def blurred(share: float) -> Kind:
    """Blurred by a deviation of that share of the width."""

    def make(picture: Image, _other: Image, _rng: np.random.Generator) -> Image:
        return cv2.GaussianBlur(picture, (0, 0), max(0.8, share * picture.shape[1]))

    return make


def moved(picture: Image, _other: Image, _rng: np.random.Generator) -> Image:
    """Smeared along the belt by a tenth of the height."""
    return cv2.blur(picture, (1, max(3, picture.shape[0] // 10)))


def two_exposures(picture: Image, other: Image, _rng: np.random.Generator) -> Image:
    return rounded(picture * 0.5 + fit(other, picture) * 0.5)


def dark_corner(picture: Image, _other: Image, _rng: np.random.Generator) -> Image:
    """A cover over three quarters of the lens."""
    bad = picture.copy()
    bad[bad.shape[0] // 4 :] //= 8
    return bad
