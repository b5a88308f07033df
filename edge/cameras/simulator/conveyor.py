"""`test://conveyor`: a simulated camera over a belt, with camera failures on demand."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field

import numpy as np

from edge.cameras.address import Address
from edge.cameras.pace import Pace
from edge.cameras.query import Query
from edge.cameras.simulator.faults import Faults, TimedFault, parse_faults
from edge.cameras.simulator.plate import Pixels
from edge.cameras.simulator.rendering import ConveyorPainter
from edge.cameras.source import frame_now
from edge.config.camera import CameraSettings
from edge.errors import CameraUnavailable
from edge.frame import Frame, Part

_CHANCE = 3  # the painter's streams are 0 to 2


@dataclass(slots=True)
class Belt:
    """The simulated belt, which runs on whatever happens to the camera.

    Attributes:
        index: the next part.
        due: timed failures that have not begun.
        until: failure -> monotonic time, seconds, at which it ends.
        frozen: what a frozen camera shows.
    """

    due: list[TimedFault]
    index: int = 0
    until: dict[str, float] = field(default_factory=dict)
    frozen: Pixels | None = None

    def begin(self) -> TimedFault | None:
        """Start the next failure whose time has come, if any."""
        if not self.due or self.due[0].after > self.index:
            return None
        fault = self.due.pop(0)
        self.until[fault.kind] = time.monotonic() + fault.seconds
        return fault

    def left_s(self, kind: str) -> float:
        """Return how long a failure still lasts, 0 when it does not."""
        return max(0.0, self.until.get(kind, 0.0) - time.monotonic())


# A hanging driver is abandoned and its camera opened anew, but the belt stays the same one: the
# next source with this address takes it over, so that no part comes twice.
_hanging: dict[str, Belt] = {}
_hanging_lock = threading.Lock()


class ConveyorSource:
    """The simulated camera. Picture and label of a part depend on seed and index only.

    While the camera is lost the belt stands; dropped, frozen and black parts pass.
    """

    def __init__(
        self,
        camera: str,
        address: str,
        *,
        size_wh: tuple[int, int] = (640, 480),
        seed: int = 1,
        parts: int | None = None,
        fps: float | None = None,
        defect_rate: float = 0.1,
        faults: Faults | None = None,
    ):
        """`fps` None: as fast as the parts are taken, and none is lost."""
        self._camera = camera
        self._address = address
        self._size_wh = size_wh
        self._seed = seed
        self._parts = parts
        self._period_s = 1 / fps if fps else 0.0
        self._defect_rate = defect_rate
        self._faults = faults or Faults()
        self._belt = Belt(list(self._faults.timed))
        self._painter: ConveyorPainter | None = None
        self._pace = Pace()

    @classmethod
    def from_address(cls, address: Address, settings: CameraSettings) -> ConveyorSource:
        """Read the keys `fps`, `parts`, `size`, `seed`, `defect_rate` and `fault`."""
        query = address.query
        if address.place.strip("/") != "conveyor":
            raise query.problem(f"expected test://conveyor, got test://{address.place}")
        query.only("fps", "parts", "size", "seed", "defect_rate", "fault")
        fps, rate = query.rate("fps"), query.number("defect_rate", limit=1.0)
        seed = query.whole("seed", 0)
        if fps:
            query.faster_than(fps, settings.stall_timeout_s)
        return cls(
            settings.name,
            settings.source,
            size_wh=query.size_wh("size", (32, 2560)) or (640, 480),
            seed=1 if seed is None else seed,
            parts=query.whole("parts", 1),
            fps=fps,
            defect_rate=0.1 if rate is None else rate,
            faults=_faults(query),
        )

    def open(self) -> None:
        """Connect to the belt; parts continue from where it is now."""
        with _hanging_lock:
            self._belt = _hanging.pop(self._address, self._belt)
        left_s = self._belt.left_s("lost")
        if left_s:
            raise CameraUnavailable(
                f"{self._camera}: test://conveyor: simulated loss; wait {left_s:.1f} s"
            )
        if self._painter is None:
            self._painter = ConveyorPainter(self._seed, self._size_wh)
        self._pace.restart()

    def read(self) -> Frame | None:
        """Return the next part that the camera does not lose; None after the last one."""
        while self._parts is None or self._belt.index < self._parts:
            if not self._pace.wait(self._period_s):
                raise CameraUnavailable(f"{self._camera}: test://conveyor: closed")
            fault = self._belt.begin()
            if fault is not None and fault.kind == "lost":
                raise CameraUnavailable(
                    f"{self._camera}: test://conveyor: simulated loss for {fault.seconds:g} s"
                )
            index = self._belt.index
            self._belt.index += 1
            if fault is not None and fault.kind == "hang":
                self._hang(fault.seconds)
            chances = np.random.default_rng((self._seed, index, _CHANCE)).random(2)
            if chances[0] >= self._faults.drop:
                return self._frame(index, is_corrupt=chances[1] < self._faults.corrupt)
        return None

    def close(self) -> None:
        """End a wait for the next part, but not a simulated hang."""
        self._pace.stop()

    def _hang(self, seconds: float) -> None:
        """Sleep as a stuck driver does: deaf to `close`."""
        with _hanging_lock:
            _hanging[self._address] = self._belt
        time.sleep(seconds)
        with _hanging_lock:
            if _hanging.get(self._address) is self._belt:
                del _hanging[self._address]

    def _frame(self, index: int, *, is_corrupt: bool) -> Frame:
        painter = self._painter
        if painter is None:
            raise CameraUnavailable(f"{self._camera}: test://conveyor: expected open before read")
        kind = painter.kind(index, self._defect_rate)
        part = Part(f"{index:06d}", "simulated", kind)
        fault = f"part {part.id}: simulated broken frame" if is_corrupt else None
        pixels = None if fault else self._seen(painter, index, kind)
        return frame_now(self._camera, index, pixels, fault=fault, part=part, is_simulated=True)

    def _seen(self, painter: ConveyorPainter, index: int, kind: str) -> Pixels:
        belt = self._belt
        if belt.left_s("freeze") and belt.frozen is not None:
            return belt.frozen
        pixels = painter.black(index) if belt.left_s("black") else painter.paint(index, kind)[0]
        if self._faults.swap_rgb:
            pixels = np.ascontiguousarray(pixels[..., ::-1])
        belt.frozen = pixels
        return pixels


def _faults(query: Query) -> Faults:
    text = query.text("fault")
    if text is None:
        return Faults()
    try:
        return parse_faults(text)
    except ValueError as error:
        raise query.problem(f"fault: {error}") from error
