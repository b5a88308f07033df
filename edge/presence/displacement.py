"""How far the belt moved between two frames, from what lies on it."""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

Signature = NDArray[np.float32]
BANDS = 4
_MEAN_SHARE = np.float32(0.35)
# Agreement, -1 to 1, from which a displacement is believed.
_MIN_AGREEMENT = 0.4
_SAME_PLACE = 0.9
# Displacements that are remembered, and how many times their median is hardly ever exceeded.
_STEPS, _MUCH_FASTER = 31, 1.6
# Not even with frames that were lost unnoticed does a belt get so many times further.
_IMPOSSIBLE = 2.5
# Share of the objects that must be compared; less proves nothing.
_MIN_SHARE = 0.12
# What the agreement of an unexpected displacement must be ahead by, so that equal parts in a row
# are not taken for each other.
_PENALTY_PER_VIEW, _PENALTY_FAR = 0.1, 0.06


def signature(difference: NDArray[np.float32], is_object: NDArray[np.bool_]) -> Signature:
    """Return (BANDS, along): what objects look like, in bands across the belt; the belt is 0.

    Their mean counts less than their texture: touching parts differ by texture alone.
    """
    shown = np.where(is_object, difference, np.float32(0))
    objects = np.count_nonzero(is_object)
    if objects:
        mean = np.float32(shown.sum() / objects)
        shown -= np.float32(1 - _MEAN_SHARE) * mean * is_object
    rows = shown.shape[0] // BANDS * BANDS
    if rows == 0:
        return np.repeat(shown.mean(axis=0, keepdims=True), BANDS, axis=0)
    bands = shown[:rows].reshape(BANDS, -1, shown.shape[1])
    return np.asarray(bands.mean(axis=1), np.float32)


class BeltMotion:
    """Estimates the displacement per frame; keeps the last picture of the belt and its speed."""

    def __init__(self) -> None:
        self._last: Signature | None = None
        self._steps: deque[float] = deque(maxlen=_STEPS)
        self.speed: float | None = None

    def step(self, now: Signature, frames: int, pitch: float | None) -> float:
        """Return the displacement since the last call, cells; positive towards the last cell.

        Args:
            now: what lies on the belt.
            frames: how many frames have gone by, 1 unless some were lost.
            pitch: length of a part, if known: a jump near it may be the next part instead.
        """
        last, self._last = self._last, now
        expected = None if self.speed is None else self.speed * frames
        if last is None:
            return expected or 0.0
        found = _displacement(last, now, expected, pitch, self._reach(frames))
        if found is None:
            return expected or 0.0
        per_frame = found / frames
        if abs(per_frame) > 1:
            self._steps.append(abs(per_frame))
        is_steady = self.speed is not None and abs(per_frame - self.speed) < 0.1 * now.shape[1]
        self.speed = 0.5 * (self.speed + per_frame) if is_steady and self.speed else per_frame
        return found

    def _reach(self, frames: int) -> float | None:
        """Return how far a belt like this one hardly ever gets, cells; None while not known."""
        if len(self._steps) < _STEPS // 4:
            return None
        return _MUCH_FASTER * sorted(self._steps)[len(self._steps) // 2] * frames

    def stood(self, now: Signature) -> bool:
        """Tell whether the belt shows the same as in the last frame, at the same place."""
        if self._last is None or not self._last.any():
            return False
        energy = float((now**2).sum() + (self._last**2).sum())
        return 2 * float((now * self._last).sum()) / energy > _SAME_PLACE

    def forget(self) -> None:
        """Begin anew: frames are missing."""
        self._last, self.speed = None, None


def _displacement(
    last: Signature,
    now: Signature,
    expected: float | None,
    pitch: float | None,
    reach: float | None,
) -> float | None:
    """Return the displacement with the best agreement, None when nothing proves one."""
    length = now.shape[1]
    energy_last, energy_now = (last**2).sum(axis=0), (now**2).sum(axis=0)
    total = max(float(energy_last.sum()), float(energy_now.sum()))
    if total <= 0:
        return None
    # One value per shift from -(length - 1) on. What comes in from outside is not compared.
    shifts = np.arange(1 - length, length)
    match = sum(np.correlate(now[band], last[band], "full") for band in range(BANDS))
    first, last_ones = np.cumsum(energy_now), np.cumsum(energy_now[::-1])[::-1]
    compared = np.concatenate([first[:-1], last_ones])
    first, last_ones = np.cumsum(energy_last), np.cumsum(energy_last[::-1])[::-1]
    compared += np.concatenate([first[:-1], last_ones])[::-1]
    enough = compared >= 2 * _MIN_SHARE * total
    agreement = np.where(enough, 2 * match / np.where(enough, compared, 1), -1)
    score = agreement.copy()
    if expected is not None:
        away = np.abs(shifts - expected)
        score -= _PENALTY_PER_VIEW * away / length
        far = 0.35 * length if pitch is None else min(0.35 * length, 0.45 * pitch)
        score[away > far] -= _PENALTY_FAR
        if reach is not None:
            score[np.abs(shifts) > reach] -= _PENALTY_FAR
            score[np.abs(shifts) > _IMPOSSIBLE * reach] = -1
    else:
        score -= 0.02 * np.abs(shifts) / length
    best = int(np.argmax(score))
    if agreement[best] < _MIN_AGREEMENT or score[best] <= -1:
        return None
    return float(shifts[best]) + _between(score, best)


def _between(score: NDArray[np.float32], best: int) -> float:
    """Return where the peak lies between cells, -0.5 to 0.5."""
    if not 0 < best < len(score) - 1:
        return 0.0
    before, at, after = (float(score[best + i]) for i in (-1, 0, 1))
    curve = before - 2 * at + after
    return 0.5 * (before - after) / curve if curve < -1e-6 else 0.0
