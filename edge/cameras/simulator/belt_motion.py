"""How the simulated belt moves and what lies on it: numbers only, the truth of every frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_GAP, _JITTER = 10, 11
# A belt has mass: its speed changes by this share of the full speed per frame.
_RAMP = 0.34


@dataclass(frozen=True, slots=True)
class Every:
    """Something that happens after every `parts` parts and lasts `frames` frames."""

    parts: int
    frames: int


@dataclass(frozen=True, slots=True)
class BeltPlan:
    """The belt's run; lengths in pixels along the belt.

    Attributes:
        view: pixels of the view.
        part: of one part.
        speed: pixels per frame.
        gap: mean distance between parts; each one is 0.5 to 1.5 times as much.
        touching: share of parts that touch the one before.
        jitter: capture times differ by up to this share of a frame's period.
        stop: the belt stands now and then.
        reverse: the belt runs backwards now and then.
        light: the light drifts by up to this share.
        empty: frames of empty belt at the beginning.
    """

    view: int
    part: int
    speed: float
    gap: float
    touching: float = 0.0
    jitter: float = 0.0
    stop: Every | None = None
    reverse: Every | None = None
    light: float = 0.0
    empty: int = 30


class BeltRun:
    """Walks along the plan, frame by frame; equal seeds give equal runs."""

    def __init__(self, plan: BeltPlan, seed: int, parts: int | None):
        self._plan = plan
        self._seed = seed
        self._parts = parts
        # Front of each part that has been in view, measured from the first one backwards.
        self._fronts: list[float] = [0.0]
        self._belt = -plan.speed * plan.empty
        self._shake = 0.0
        self._way = 1.0
        self._frame = 0
        self._entered = 0
        self._holds: list[tuple[int, float]] = []

    @property
    def offset(self) -> float:
        """How far the belt has run, pixels, as the camera sees it."""
        return self._belt + self._shake

    @property
    def passed(self) -> int:
        """Parts whose middle has been in the middle of the view."""
        return self._entered

    @property
    def is_over(self) -> bool:
        """The last part has left the view."""
        return self._parts is not None and self._left(self._parts - 1) >= self._plan.view

    def step(self) -> None:
        """Go on to the next frame."""
        plan = self._plan
        self._frame += 1
        way = 1.0
        if self._holds:
            frames, way = self._holds[0]
            self._holds[0] = (frames - 1, way)
            if frames <= 1:
                self._holds.pop(0)
        self._way += min(_RAMP, max(-_RAMP, way - self._way))
        self._belt += self._way * plan.speed
        chance = np.random.default_rng((self._seed, self._frame, _JITTER)).random()
        self._shake = (chance - 0.5) * plan.jitter * plan.speed * abs(self._way)
        # Only forwards: a part that comes back does not count again.
        while self._middle(self._entered) >= plan.view / 2 and (
            self._parts is None or self._entered < self._parts
        ):
            self._entered += 1
            for every, hold in ((plan.stop, 0.0), (plan.reverse, -1.0)):
                if every is not None and self._entered % every.parts == 0:
                    self._holds.append((every.frames, hold))

    def in_view(self) -> list[tuple[int, float]]:
        """Return index and left end, pixels, of each part in view, the first to come first."""
        seen = []
        index = max(0, self._entered - 1 - 2 * int(self._plan.view / self._plan.part + 1))
        while self._parts is None or index < self._parts:
            left = self._left(index)
            if left + self._plan.part <= 0:
                break
            if left < self._plan.view:
                seen.append((index, left))
            index += 1
        return seen

    def in_the_middle(self) -> int | None:
        """Return the part that is nearest to the middle of the view, None when none is in it."""
        seen, middle = self.in_view(), self._plan.view / 2
        if not seen:
            return None
        return min(seen, key=lambda part: abs(part[1] + self._plan.part / 2 - middle))[0]

    def light(self) -> float:
        """Return the light as a factor; it drifts over some hundred frames."""
        plan = self._plan
        return 1 + plan.light * float(np.sin(self._frame / 97) * np.cos(self._frame / 311))

    def _left(self, index: int) -> float:
        return self.offset - self._front(index) - self._plan.part

    def _middle(self, index: int) -> float:
        return self._left(index) + self._plan.part / 2

    def _front(self, index: int) -> float:
        plan = self._plan
        while len(self._fronts) <= index:
            chance = np.random.default_rng((self._seed, len(self._fronts), _GAP)).random(2)
            gap = 0.0 if chance[0] < plan.touching else plan.gap * (0.5 + chance[1])
            self._fronts.append(self._fronts[-1] + plan.part + gap)
        return self._fronts[index]
