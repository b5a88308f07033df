"""Synthetic defects on good pictures, for choices that must not look at real defects.

Every defect takes (H, W, 3) uint8 BGR pixels and returns a changed copy and a (H, W) bool mask of
what was changed. Sizes are shares of the picture's shorter side, strength is random from barely
visible to plain, so that a better detector finds more of them. Random numbers come from the caller.

DEFECTS are local; trials use them, since what covers a quarter of the picture is found by anything.
AREA_DEFECTS change the finish of a surface: what learns the look of defects place by place (probe,
refined mask) learns from both.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Mask = NDArray[np.bool_]
Defect = Callable[[Image, np.random.Generator], tuple[Image, Mask]]


def scar(image: Image, rng: np.random.Generator) -> tuple[Image, Mask]:
    """Draw a thin crooked line, darker or brighter than its surroundings (crack, scratch)."""
    side = min(image.shape[:2])
    steps = int(rng.integers(4, 9))
    heading = rng.uniform(0, 2 * np.pi)
    point = np.array(
        [rng.uniform(0.15, 0.85) * image.shape[1], rng.uniform(0.15, 0.85) * image.shape[0]]
    )
    points = [point]
    for _ in range(steps):
        heading += rng.normal(0, 0.5)
        step = rng.uniform(0.02, 0.06) * side
        point = point + step * np.array([np.cos(heading), np.sin(heading)])
        points.append(point)
    alpha = np.zeros(image.shape[:2], np.uint8)
    thickness = max(1, round(rng.uniform(0.004, 0.012) * side))
    cv2.polylines(alpha, [np.round(points).astype(np.int32)], False, 255, thickness, cv2.LINE_AA)
    return _tint(image, (alpha / 255).astype(np.float32), _shift(image, rng))


def spot(image: Image, rng: np.random.Generator) -> tuple[Image, Mask]:
    """Set a small round blemish with a soft rim (pinhole, blow hole, speck)."""
    radius = rng.uniform(0.008, 0.03) * min(image.shape[:2])
    return _tint(image, _blob(image, rng, radius, softness=0.3), _shift(image, rng))


def stain(image: Image, rng: np.random.Generator) -> tuple[Image, Mask]:
    """Lay a large faint veil with a ragged, soft rim (oil, uneven coating)."""
    radius = rng.uniform(0.08, 0.2) * min(image.shape[:2])
    alpha = _blob(image, rng, radius, softness=0.6) * (0.5 + 0.5 * perlin(image.shape[:2], 8, rng))
    return _tint(image, alpha.astype(np.float32), 0.7 * _shift(image, rng))


def texture(image: Image, rng: np.random.Generator) -> tuple[Image, Mask]:
    """Mix pixels of the same picture, rotated and flipped, into a Perlin-noise shape."""
    shape = image.shape[:2]
    cells = int(2 ** rng.integers(2, 5))
    noise = perlin(shape, cells, rng)
    window = _blob(image, rng, rng.uniform(0.05, 0.15) * min(shape), softness=0.2) > 0.5
    mask = (noise > 0.55) & window
    if not mask.any():
        mask = window
    other = np.roll(image[::-1, ::-1], rng.integers(0, max(shape), 2).tolist(), axis=(0, 1))
    share = rng.uniform(0.4, 0.9)
    return _blend(image, other, mask.astype(np.float32) * share)


def cut_paste(image: Image, rng: np.random.Generator) -> tuple[Image, Mask]:
    """Copy a patch of the picture to another place, rotated by a quarter or half turn."""
    height, width = image.shape[:2]
    side = max(4, round(rng.uniform(0.05, 0.15) * min(height, width)))
    y, x, v, u = (int(rng.integers(0, limit - side)) for limit in (height, width, height, width))
    patch = np.rot90(image[y : y + side, x : x + side], int(rng.integers(1, 4)))
    other = image.copy()
    other[v : v + side, u : u + side] = patch
    alpha = np.zeros((height, width), np.float32)
    alpha[v : v + side, u : u + side] = 1
    return _blend(image, other, alpha)


def blur(image: Image, rng: np.random.Generator) -> tuple[Image, Mask]:
    """Smear a spot (worn print, smudge)."""
    side = min(image.shape[:2])
    sigma = rng.uniform(0.006, 0.02) * side
    other = cv2.GaussianBlur(image, (0, 0), sigma)
    alpha = _blob(image, rng, rng.uniform(0.05, 0.12) * side, softness=0.3)
    return _blend(image, np.asarray(other, np.uint8), alpha)


def missing_piece(image: Image, rng: np.random.Generator) -> tuple[Image, Mask]:
    """Fill a ragged piece from its rim, as if what was there had broken off."""
    side = min(image.shape[:2])
    alpha = _blob(image, rng, rng.uniform(0.03, 0.09) * side, softness=0.05) > 0.5
    other = cv2.inpaint(image, alpha.astype(np.uint8), 3, cv2.INPAINT_TELEA)
    return _blend(image, np.asarray(other, np.uint8), alpha.astype(np.float32))


def shading(image: Image, rng: np.random.Generator) -> tuple[Image, Mask]:
    """Make a large area darker or brighter (uneven coating, oxide, wet surface)."""
    gain = np.exp(rng.choice([-1, 1]) * rng.uniform(0.08, 0.45))
    other = np.clip(image * gain, 0, 255).astype(np.uint8)
    return _blend(image, other, _area(image, rng))


def abrasion(image: Image, rng: np.random.Generator) -> tuple[Image, Mask]:
    """Cover a large area with fine parallel streaks (scuff, grinding or rolling marks)."""
    shape = image.shape[:2]
    length = round(rng.uniform(0.05, 0.3) * min(shape)) | 1
    kernel = np.full((length, 1), 1 / length, np.float32)
    if rng.random() < 0.5:
        kernel = kernel.T
    noise = rng.normal(0, 1, shape).astype(np.float32)
    streaks = cv2.filter2D(noise, -1, kernel, borderType=cv2.BORDER_REFLECT)
    streaks *= rng.uniform(4, 25) / streaks.std()
    if rng.random() < 0.5:
        streaks += np.abs(streaks)  # bright ones alone: bared metal
    other = np.clip(image + streaks[..., None], 0, 255).astype(np.uint8)
    return _blend(image, other, _area(image, rng))


def misplaced(image: Image, rng: np.random.Generator) -> tuple[Image, Mask]:
    """Show in a large area what belongs elsewhere in the picture, flipped or not."""
    height, width = image.shape[:2]
    moved = [int(rng.integers(side // 4, 3 * side // 4)) for side in (height, width)]
    other = np.roll(image, moved, axis=(0, 1))
    for axis in (0, 1):
        if rng.random() < 0.5:
            other = np.flip(other, axis)
    return _blend(image, other, _area(image, rng))


DEFECTS: dict[str, Defect] = {
    "scar": scar,
    "spot": spot,
    "stain": stain,
    "texture": texture,
    "cut_paste": cut_paste,
    "blur": blur,
    "missing_piece": missing_piece,
}
AREA_DEFECTS: dict[str, Defect] = {
    "shading": shading,
    "abrasion": abrasion,
    "misplaced": misplaced,
}
# A change that no camera could show is no defect: such a draw is made again.
VISIBLE_GREY_LEVELS = 6.0
ATTEMPTS = 10


def add_defect(
    image: Image, rng: np.random.Generator, kind: str | None = None, seen: Mask | None = None
) -> tuple[Image, Mask, str]:
    """Add one defect of `kind` that changes the picture visibly; a local one when None.

    Where `seen` (H, W) is False, the picture stays as it is.

    Returns:
        The changed picture, the mask of changed pixels, the kind. On a picture without any
        structure every draw may be invisible; the last one is returned then.
    """
    kind = kind or str(rng.choice(list(DEFECTS)))
    draw = DEFECTS.get(kind) or AREA_DEFECTS[kind]
    for _ in range(ATTEMPTS):
        changed, mask = draw(image, rng)
        if seen is not None:
            changed, mask = np.where(seen[..., None], changed, image), mask & seen
        difference = np.abs(changed.astype(np.int16) - image)[mask]
        if difference.size and difference.mean() >= VISIBLE_GREY_LEVELS:
            break
    return changed, mask, kind


def any_kind(rng: np.random.Generator) -> str:
    """A kind to learn from, local or of an area, all equally likely."""
    return str(rng.choice([*DEFECTS, *AREA_DEFECTS]))


def perlin(shape_hw: tuple[int, int], cells: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Smooth noise, (H, W) float32 in 0..1: gradient noise on a cells x cells lattice."""
    angles = rng.uniform(0, 2 * np.pi, (cells + 1, cells + 1))
    gradient = np.stack([np.cos(angles), np.sin(angles)], -1)
    rows = np.linspace(0, cells, shape_hw[0], endpoint=False)
    columns = np.linspace(0, cells, shape_hw[1], endpoint=False)
    y0, x0 = rows.astype(int)[:, None], columns.astype(int)[None, :]
    fy, fx = (rows % 1)[:, None], (columns % 1)[None, :]

    def corner(dy: int, dx: int) -> NDArray[np.float64]:
        vector = gradient[y0 + dy, x0 + dx]
        return np.asarray(vector[..., 0] * (fx - dx) + vector[..., 1] * (fy - dy))

    ease_y, ease_x = (f * f * f * (f * (f * 6 - 15) + 10) for f in (fy, fx))
    top = corner(0, 0) * (1 - ease_x) + corner(0, 1) * ease_x
    bottom = corner(1, 0) * (1 - ease_x) + corner(1, 1) * ease_x
    noise = top * (1 - ease_y) + bottom * ease_y
    low, high = noise.min(), noise.max()
    return np.asarray((noise - low) / max(high - low, 1e-9), np.float32)


def _shift(image: Image, rng: np.random.Generator) -> float:
    """Grey levels to add: a random share of the room that the picture's brightness leaves."""
    brightness = float(image.mean())
    room = 255 - brightness if rng.random() < (255 - brightness) / 255 else -brightness
    return room * rng.uniform(0.15, 0.7)


def _blob(
    image: Image, rng: np.random.Generator, radius: float, softness: float
) -> NDArray[np.float32]:
    """Ragged ellipse, (H, W) float32 in 0..1, falling off over `softness` of its radius."""
    height, width = image.shape[:2]
    centre = (rng.uniform(0.1, 0.9) * width, rng.uniform(0.1, 0.9) * height)
    stretch, angle = rng.uniform(0.6, 1.6), rng.uniform(0, np.pi)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    dx, dy = x - centre[0], y - centre[1]
    u = (dx * np.cos(angle) + dy * np.sin(angle)) * stretch
    v = (-dx * np.sin(angle) + dy * np.cos(angle)) / stretch
    ragged = 1 + 0.3 * (perlin((height, width), 16, rng) - 0.5)
    distance = np.hypot(u, v) * ragged / max(radius, 1.0)
    return np.asarray(np.clip((1 - distance) / max(softness, 1e-3) + 0.5, 0, 1), np.float32)


def _area(image: Image, rng: np.random.Generator) -> NDArray[np.float32]:
    """A side, a box or a blob of the picture with a wavy rim, (H, W) float32 in 0..1."""
    height, width = image.shape[:2]
    side = min(height, width)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    wave = (perlin((height, width), 8, rng) - 0.5) * rng.uniform(0, 0.15) * side
    shape = rng.integers(3)
    if shape == 0:
        angle = rng.integers(4) * np.pi / 2 + rng.normal(0, 0.15)
        depth = x * np.cos(angle) + y * np.sin(angle) + wave
        inside = depth > np.quantile(depth, 1 - rng.uniform(0.06, 0.35))
    elif shape == 1:
        (wide, high), (u, v) = rng.uniform(0.15, 0.6, 2), rng.uniform(0, 1, 2)
        far = np.maximum(
            np.abs(x - u * width) - wide * width / 2, np.abs(y - v * height) - high * height / 2
        )
        inside = far < wave
    else:
        inside = _blob(image, rng, rng.uniform(0.12, 0.3) * side, softness=0.02) > 0.5
    alpha = inside.astype(np.float32)
    softness = rng.choice([0.0, 0.0, 0.02, 0.06]) * side
    if softness:
        alpha = cv2.GaussianBlur(alpha, (0, 0), softness, borderType=cv2.BORDER_REFLECT)
    return np.asarray(alpha, np.float32)


def _tint(image: Image, alpha: NDArray[np.float32], shift: float) -> tuple[Image, Mask]:
    changed = np.clip(image + shift * alpha[..., None], 0, 255).astype(np.uint8)
    return changed, alpha > 0.3


def _blend(image: Image, other: Image, alpha: NDArray[np.float32]) -> tuple[Image, Mask]:
    mixed = image * (1 - alpha[..., None]) + other * alpha[..., None]
    return np.asarray(np.round(mixed), np.uint8), alpha > 0.3
