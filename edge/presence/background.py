"""The empty belt as it was learned: what differs from it is a part, whatever the light does."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge.presence.grid import Sampled

Mask = NDArray[np.bool_]
# So many times the belt's own spread counts as different.
_SPREADS = 4.5
# The light may change so far, as a factor, before a frame shows nothing.
_GAINS = (0.35, 2.8)
# Darker cells say nothing of the light.
_DARK = 8.0
_MIN_BELT_CELLS = 40
_UPDATE_EVERY, _UPDATE_SHARE = 4, 0.08
# Share of cells that must agree before the light is believed without knowing where the belt is.
_AGREEING, _STILL_AGREEING = 0.2, 0.05
# How often the light is corrected within one frame, and the share that is exact enough.
_ROUNDS, _EXACT = 5, 0.01
_QUANTILES = (0.1, 0.3, 0.5, 0.7, 0.9)
# Green cells that the light is read from; some hundred are enough.
_LOOKED_AT = np.s_[1, ::3, ::3]


class Background:
    """Learns the belt from the median of frames, then follows the light and slow changes.

    Args:
        contrast: grey levels by which a part differs from the belt at least.
        frames: how many are learned from.
    """

    def __init__(self, contrast: float, frames: int):
        self._contrast = contrast
        self._frames = frames
        self._samples: list[Sampled] = []
        self._belt: Sampled | None = None
        self._limit = np.zeros(0, np.float32)
        self._gain = 1.0
        self._level = np.float32(1)
        self._count = 0

    @property
    def is_learned(self) -> bool:
        """True once the belt is known."""
        return self._belt is not None

    @property
    def light(self) -> float:
        """The light of the last frame, as a factor on the learned one."""
        return self._gain

    def learn(self, sample: Sampled) -> None:
        """Take a frame of the belt. Parts may pass if each place is empty most of the time."""
        self._samples.append(sample)
        if len(self._samples) < self._frames:
            return
        stack = np.stack(self._samples)
        self._samples = []
        # Light that changes meanwhile is not spread of the belt.
        levels = np.median(stack[:, 1], axis=(1, 2))
        stack *= (np.median(levels) / np.maximum(levels, 1.0))[:, None, None, None]
        belt = np.median(stack, axis=0)
        deviation = 1.4826 * np.median(np.abs(stack - belt), axis=0)
        spread = np.maximum(deviation, np.median(deviation, axis=(1, 2), keepdims=True))
        self._set(belt, np.maximum(self._contrast, _SPREADS * spread))

    def store(self, sample: Sampled) -> None:
        """Take one picture of the empty belt instead of learning it."""
        grain = 1.4826 * np.median(
            np.abs(sample - np.median(sample, axis=2, keepdims=True)), axis=(1, 2), keepdims=True
        )
        limit = np.maximum(self._contrast, _SPREADS * grain)
        self._set(sample, np.broadcast_to(limit, sample.shape))

    def _set(self, belt: Sampled, limit: NDArray[np.float32]) -> None:
        self._belt = belt.astype(np.float32)
        self._level = self._belt[1].mean()
        self._limit = np.ascontiguousarray(limit, np.float32)

    def difference(self, sample: Sampled) -> tuple[NDArray[np.float32], Mask] | None:
        """Return how much each cell differs, signed, (across, along), and whether it is no belt.

        None: the frame is far too dark or too bright to tell.
        """
        belt = self._belt
        if belt is None:
            raise ValueError("background: expected a learned belt")
        gain = self._light(sample, belt)
        if not _GAINS[0] <= gain <= _GAINS[1]:
            return None
        self._gain = gain
        difference = sample - belt * np.float32(gain)
        # More light makes grain and noise stronger, too.
        apart = np.abs(difference) > self._limit * np.float32(max(1.0, gain))
        return difference[1] + difference[0] + difference[2], apart[0] | apart[1] | apart[2]

    def update(self, sample: Sampled, is_empty: NDArray[np.bool_]) -> None:
        """Follow the belt where the view is empty; `is_empty` is per cell along the belt."""
        belt = self._belt
        if belt is None:
            return
        self._count += 1
        if self._count % _UPDATE_EVERY == 0:
            share = np.where(is_empty, np.float32(_UPDATE_SHARE), np.float32(0))
            belt += share * (sample / np.float32(self._gain) - belt)
            # Light and belt are known as a product only: one of them is held, or both creep away.
            belt *= self._level / belt[1].mean()

    def absorb(self, sample: Sampled, start: int, end: int) -> None:
        """Take what lies between these cells for belt from now on."""
        if self._belt is not None:
            self._belt[..., start:end] = sample[..., start:end] / np.float32(self._gain)

    def _light(self, sample: Sampled, belt: Sampled) -> float:
        """Return the light as a factor: that of the last frame, as the belt in view corrects it."""
        green, belt_green = sample[_LOOKED_AT], belt[_LOOKED_AT]
        bright = belt_green > _DARK
        seen, known, limit = green[bright], belt_green[bright], self._limit[_LOOKED_AT][bright]
        if seen.size < _MIN_BELT_CELLS:
            return 1.0

        def agreeing(gain: float) -> Mask:
            apart = np.abs(seen - np.float32(gain) * known)
            return np.asarray(apart < limit * np.float32(max(1.0, gain)))

        def refined(gain: float) -> float:
            for _ in range(_ROUNDS):
                is_belt = agreeing(gain)
                before, gain = gain, _ratio(seen[is_belt], known[is_belt])
                if abs(gain - before) < _EXACT * before:
                    break
            return gain

        if np.count_nonzero(agreeing(self._gain)) > _STILL_AGREEING * seen.size:
            return refined(self._gain)
        # It changed at once. Parts may hide much of the belt, so each of these may be the light.
        guesses = np.quantile(seen / known, _QUANTILES).tolist()
        likely = [g for g in guesses if np.count_nonzero(agreeing(g)) > _AGREEING * seen.size]
        if not likely:
            return self._gain
        return refined(min(likely, key=lambda g: abs(g - self._gain)))


def _ratio(seen: NDArray[np.float32], known: NDArray[np.float32]) -> float:
    half = seen.size // 2
    return float(np.partition(seen / known, half)[half])
