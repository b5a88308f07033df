"""Time every stage of an inspection on several engines, round by round."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timezone
from time import monotonic_ns, perf_counter

import cv2
import numpy as np

from edge.bundle.frame_limits_file import for_any_size
from edge.bundle.store import Bundle
from edge.config.station import DecisionSettings
from edge.engines.available import AvailableEngine
from edge.engines.protocol import Engine, EngineInfo
from edge.errors import EngineLoadError, InferenceError
from edge.frame import Frame
from edge.inspection.inspector import Inspector
from edge.inspection.preprocess import shrink, views
from edge.picture_file import decode_picture

# Timed stages of a part, in this order. `shrink` is part of `preprocess`. `verdict` is from decoded
# frame to verdict, which is everything but `decode`. `bare` is the engine alone on a ready input.
STAGES = ("decode", "shrink", "preprocess", "infer", "postprocess", "verdict", "bare")


@dataclass(frozen=True, slots=True)
class Times:
    """Milliseconds per part, and parts per second at the mean."""

    p50: float
    p95: float
    p99: float
    mean: float
    per_second: float


@dataclass(frozen=True, slots=True)
class EngineTimes:
    """Times of one engine.

    Attributes:
        is_trusted: see AvailableEngine.
        stages: times by STAGES.
        share_of_bare: median time of the engine alone divided by that from frame to verdict.
    """

    info: EngineInfo
    is_trusted: bool
    stages: dict[str, Times]
    share_of_bare: float


@dataclass(frozen=True, slots=True)
class Measured:
    """Result of a measurement; `refused` has the reason of each engine that did not load."""

    frame_wh: tuple[int, int]
    parts: int
    engines: tuple[EngineTimes, ...]
    refused: dict[str, str]


def measure(
    bundle: Bundle,
    engines: Sequence[AvailableEngine],
    rounds: int,
    frame_wh: tuple[int, int] | None = None,
) -> Measured:
    """Inspect the golden pictures `rounds` times on every engine; engines alternate.

    Args:
        bundle: to measure.
        engines: to measure.
        rounds: over all golden pictures.
        frame_wh: size of the frames; None keeps that of the pictures.

    Raises:
        EngineLoadError: none of the engines loads.
        InferenceError: one fails while it is measured.
    """
    pictures = [_encoded(bundle, index, frame_wh) for index in range(len(bundle.golden().images))]
    with ExitStack() as stack:
        opened = {str(one): _open(bundle, one, stack) for one in engines}
        refused = {name: found for name, found in opened.items() if isinstance(found, str)}
        inspectors = [found for found in opened.values() if isinstance(found, _TimedInspector)]
        if not inspectors:
            raise EngineLoadError("; ".join(refused.values()) or "no engine to measure")
        for timed in inspectors:
            timed.run_round(pictures)
            timed.discard()
        for _ in range(rounds):
            for timed in inspectors:
                timed.run_round(pictures)
        height, width = decode_picture(pictures[0]).shape[:2]
        return Measured(
            frame_wh=(width, height),
            parts=rounds * len(pictures),
            engines=tuple(timed.times() for timed in inspectors),
            refused=refused,
        )


def _open(bundle: Bundle, one: AvailableEngine, stack: ExitStack) -> _TimedInspector | str:
    """Load an engine for as long as `stack` is open, or return why it does not load."""
    try:
        return stack.enter_context(_TimedInspector(bundle, one))
    except EngineLoadError as error:
        return str(error)


class _TimedInspector:
    """An inspector on one engine that notes the time of each stage."""

    def __init__(self, bundle: Bundle, one: AvailableEngine):
        self._bundle, self._one = bundle, one
        self._stack = ExitStack()
        self._ms: dict[str, list[float]] = defaultdict(list)
        self._parts = 0
        try:
            self._engine = self._load(one)
            graph = bundle.types_graph
            types = None if graph is None else self._stack.enter_context(one.load(graph))
            self._inspector = Inspector(
                for_any_size(bundle), self._engine, DecisionSettings(), types
            )
        except BaseException:
            self._stack.close()
            raise

    def _load(self, one: AvailableEngine) -> Engine:
        return self._stack.enter_context(one.load(self._bundle.graph))

    def __enter__(self) -> _TimedInspector:  # noqa: PYI034 - Self is not in Python 3.10
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def run_round(self, pictures: Sequence[bytes]) -> None:
        """Inspect every picture from its bytes on, then run the engine alone as often."""
        for picture in pictures:
            self._inspect(picture)
        name, shape = self._bundle.graph.inputs[0].name, self._bundle.graph.inputs[0].shape
        ready = np.zeros(shape, np.uint8)
        columns, rows = self._bundle.recipe.tiles_wh
        for _ in pictures:
            start = perf_counter()
            for _ in range(columns * rows):
                self._engine.run({name: ready})
            self._note("bare", start, perf_counter())

    def _inspect(self, picture: bytes) -> None:
        recipe = self._bundle.recipe
        start = perf_counter()
        pixels = decode_picture(picture)
        decoded = perf_counter()
        self._note("decode", start, decoded)
        for tile in views(pixels, recipe.tiles_wh, recipe.overlap):
            shrink(tile, recipe.size_wh)
        self._note("shrink", decoded, perf_counter())
        now = datetime.now(timezone.utc)
        frame = Frame("bench", self._parts, monotonic_ns(), now, pixels)
        self._parts += 1
        start = perf_counter()
        inspection = self._inspector.inspect(frame).inspection
        self._note("verdict", start, perf_counter())
        if inspection.score is None:
            raise InferenceError(f"{self._one}: {inspection.detail}")
        times = inspection.times
        self._ms["preprocess"].append(times.preprocess_ms)
        self._ms["infer"].append(times.infer_ms)
        self._ms["postprocess"].append(times.postprocess_ms)

    def _note(self, stage: str, start_s: float, end_s: float) -> None:
        self._ms[stage].append((end_s - start_s) * 1e3)

    def discard(self) -> None:
        """Discard the times of the warm-up round."""
        self._ms.clear()

    def times(self) -> EngineTimes:
        """Return the times of all rounds."""
        stages = {stage: _times(self._ms[stage]) for stage in STAGES}
        share = stages["bare"].p50 / stages["verdict"].p50
        return EngineTimes(self._engine.info, self._one.is_trusted, stages, share)


def _times(milliseconds: list[float]) -> Times:
    values = np.asarray(milliseconds)
    p50, p95, p99 = (float(value) for value in np.percentile(values, [50, 95, 99]))
    mean = float(values.mean())
    return Times(p50, p95, p99, mean, 1e3 / mean)


def _encoded(bundle: Bundle, index: int, frame_wh: tuple[int, int] | None) -> bytes:
    """A golden picture as a file's bytes, at the size asked for."""
    image = bundle.golden().images[index]
    if frame_wh is None:
        return bundle.path(image.file).read_bytes()
    pixels = cv2.resize(bundle.golden_pixels(image), frame_wh, interpolation=cv2.INTER_CUBIC)
    return cv2.imencode(".jpg", pixels)[1].tobytes()
