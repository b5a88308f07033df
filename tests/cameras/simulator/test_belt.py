"""`test://belt`: the same run for the same address, and a truth that fits the pictures."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from edge.cameras.factory import is_live, make_source
from edge.cameras.simulator.belt_motion import BeltPlan, BeltRun, Every
from edge.config.camera import CameraSettings
from edge.errors import CameraUnavailable, ConfigError
from edge.frame import Frame


def frames(address: str) -> list[Frame]:
    source = make_source(CameraSettings(source=address))
    source.open()
    seen = []
    while (frame := source.read()) is not None:
        seen.append(frame)
    return seen


def test_the_same_address_gives_the_same_pictures() -> None:
    one, two = (frames("test://belt?size=64x48&parts=2&empty=3") for _ in range(2))
    assert len(one) == len(two) > 20
    assert all(np.array_equal(a.pixels_bgr, b.pixels_bgr) for a, b in zip(one, two, strict=True))
    assert not np.array_equal(one[0].pixels_bgr, one[1].pixels_bgr), "sensors have noise"


def test_the_truth_says_where_the_part_is() -> None:
    seen = frames("test://belt?size=160x120&parts=1&speed=8&empty=5&defect_rate=0")
    bright = [frame.pixels_bgr is not None and frame.pixels_bgr[60].max() > 150 for frame in seen]
    assert [frame.part is not None for frame in seen].count(True) == pytest.approx(
        bright.count(True), abs=2
    )
    assert {frame.part.id for frame in seen if frame.part} == {"000000"}


def test_a_belt_that_stops_and_runs_back_passes_every_part_in_the_end() -> None:
    plan = BeltPlan(100, 30, 5, 20, stop=Every(2, 10), reverse=Every(3, 10), jitter=0.5)
    run, way, last = BeltRun(plan, 1, 9), [], None
    while not run.is_over:
        run.step()
        way.append(0.0 if last is None else run.offset - last)
        last = run.offset
    assert run.passed == 9
    assert min(way) < -4
    assert way.count(0.0) >= 8


def test_parts_never_overlap_and_touch_as_often_as_asked() -> None:
    run = BeltRun(BeltPlan(4000, 30, 50, 20, touching=0.5, empty=0), 1, 60)
    while len(run.in_view()) < 60:
        run.step()
    lefts = [left for _, left in run.in_view()]
    gaps = [before - after - 30 for before, after in pairwise(lefts)]
    assert min(gaps) >= -1e-6
    assert 18 < sum(gap < 1e-6 for gap in gaps) < 42


@pytest.mark.parametrize(
    ("query", "problem"),
    [
        ("sped=3", "unknown key sped; did you mean speed"),
        ("stop=3", "stop: expected PARTS:FRAMES"),
        ("reverse=0:3", "reverse: expected PARTS:FRAMES"),
        ("jitter=2", "jitter: expected a number from 0 to 1"),
        ("fps=0.01", "fps"),
    ],
)
def test_a_wrong_key_is_one_line(query: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        make_source(CameraSettings(source=f"test://belt?{query}"))


def test_with_a_rate_it_is_live_and_close_ends_a_wait() -> None:
    settings = CameraSettings(source="test://belt?fps=1&size=64x48")
    assert is_live(settings)
    assert not is_live(CameraSettings(source="test://belt"))
    source = make_source(settings)
    source.open()
    source.close()
    with pytest.raises(CameraUnavailable, match="closed"):
        source.read()
