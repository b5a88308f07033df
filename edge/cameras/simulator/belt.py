"""`test://belt`: a simulated camera that runs freely over a belt; most parts cross many frames."""

from __future__ import annotations

import re

from edge.cameras.address import Address
from edge.cameras.pace import Pace
from edge.cameras.query import Query
from edge.cameras.simulator.belt_motion import BeltPlan, BeltRun, Every
from edge.cameras.simulator.belt_painter import BeltPainter
from edge.cameras.source import frame_now
from edge.config.camera import CameraSettings
from edge.errors import CameraUnavailable
from edge.frame import Frame, Part

_KEYS = (
    "fps", "parts", "size", "seed", "defect_rate", "speed", "gap", "part", "touching", "jitter",
    "stop", "reverse", "light", "empty",
)  # fmt: skip


class BeltSource:
    """Frames of the belt at a steady rate. `Frame.part` is the part nearest to the middle.

    While the camera is closed the belt stands.
    """

    def __init__(
        self,
        camera: str,
        plan: BeltPlan,
        *,
        size_wh: tuple[int, int] = (640, 480),
        seed: int = 1,
        parts: int | None = None,
        fps: float | None = None,
        defect_rate: float = 0.1,
    ):
        """`fps` None: as fast as the frames are taken, and none is lost."""
        self._camera = camera
        self._plan = plan
        self._size_wh = size_wh
        self._seed = seed
        self._period_s = 1 / fps if fps else 0.0
        self._defect_rate = defect_rate
        self._pace = Pace()
        self._painter: BeltPainter | None = None
        self._next_id = 0
        self.run = BeltRun(plan, seed, parts)

    @classmethod
    def from_address(cls, address: Address, settings: CameraSettings) -> BeltSource:
        """Read the keys that docs/cameras.md lists."""
        query = address.query
        query.only(*_KEYS)
        fps, rate, seed = (
            query.rate("fps"),
            query.number("defect_rate", 1.0),
            query.whole("seed", 0),
        )
        if fps:
            query.faster_than(fps, settings.stall_timeout_s)
        size_wh = query.size_wh("size", (32, 2560)) or (640, 480)
        return cls(
            settings.name,
            _plan(query, size_wh[0]),
            size_wh=size_wh,
            seed=1 if seed is None else seed,
            parts=query.whole("parts", 1),
            fps=fps,
            defect_rate=0.1 if rate is None else rate,
        )

    def open(self) -> None:
        """Connect to the belt; it goes on from where it is."""
        if self._painter is None:
            self._painter = BeltPainter(self._seed, self._size_wh, self._plan.part)
        self._pace.restart()

    def read(self) -> Frame | None:
        """Return the next frame; None once the last part has left the view."""
        painter, run = self._painter, self.run
        if painter is None or not self._pace.wait(self._period_s):
            raise CameraUnavailable(f"{self._camera}: test://belt: closed")
        if run.is_over:
            return None
        frame_id = self._next_id
        self._next_id += 1
        run.step()
        parts = [
            (index, left, painter.kind(index, self._defect_rate)) for index, left in run.in_view()
        ]
        pixels = painter.paint(frame_id, run.offset, parts, run.light())
        middle = run.in_the_middle()
        part = None
        if middle is not None:
            kind = painter.kind(middle, self._defect_rate)
            part = Part(f"{middle:06d}", "simulated", kind)
        return frame_now(self._camera, frame_id, pixels, part=part, is_simulated=True)

    def close(self) -> None:
        """End a wait for the next frame."""
        self._pace.stop()


def _plan(query: Query, width: int) -> BeltPlan:
    """Read the belt's run; lengths are pixels, or have defaults in proportion to the width."""
    part = query.whole("part", 8) or max(8, round(0.36 * width))
    speed, gap = query.number("speed", limit=width), query.number("gap")
    empty = query.whole("empty", 0)
    return BeltPlan(
        view=width,
        part=part,
        speed=speed or 0.05 * width,
        gap=0.3 * width if gap is None else gap,
        touching=query.number("touching", 1.0) or 0.0,
        jitter=query.number("jitter", 1.0) or 0.0,
        stop=_every(query, "stop"),
        reverse=_every(query, "reverse"),
        light=query.number("light", 0.5) or 0.0,
        empty=30 if empty is None else empty,
    )


def _every(query: Query, key: str) -> Every | None:
    text = query.text(key)
    if text is None:
        return None
    match = re.fullmatch(r"([1-9][0-9]{0,5}):([1-9][0-9]{0,5})", text)
    if match is None:
        raise query.problem(
            f"{key}: expected PARTS:FRAMES, such as 50:20 for 20 frames after every 50 parts, "
            f"got {text}"
        )
    return Every(int(match.group(1)), int(match.group(2)))
