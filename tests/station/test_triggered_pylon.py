"""A station that triggers one of Basler's emulated cameras, which is unplugged and comes back."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from edge.cameras.genicam import pylon
from tests.support.pylon import OTHER, SERIAL
from tests.support.triggered_line import Line, one_each


def test_a_camera_is_fired_waits_longer_than_it_may_be_silent_is_lost_and_fired_again(
    tmp_path: Path, fast_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sessions = []

    def start(wanted: pylon.Wanted) -> pylon.PylonSession:
        sessions.append(start_session(wanted))
        return sessions[-1]

    start_session = pylon.start_session
    monkeypatch.setattr(pylon, "start_session", start)
    settings = {
        "name": "top",
        "source": f"pylon://{SERIAL}",
        "features": {"Width": 128, "Height": 96},
        "stall_timeout_s": 0.6,
        "retry_interval_s": 0.2,
        "retry_max_s": 0.5,
    }
    trigger = {"by": "software", "frame_timeout_ms": 20_000}
    line = Line(tmp_path, fast_bundle, "", trigger, camera=settings)
    try:
        capture = line.station._capture
        line.until(lambda: capture.state.connected, "the camera")
        taken = [line.trigger(part_id="p1")]
        line.wait(1)
        time.sleep(1.5)
        assert capture.state.connected
        assert capture.state.reconnects == 0
        taken.append(line.trigger(part_id="p2"))
        line.wait(2)
        assert [result["part"]["id"] for result in line.results] == ["p1", "p2"]
        assert {result["views"][0]["width"] for result in line.results} == {128}

        sessions[-1]._access.write("FirePnPCallback", True)
        line.until(lambda: capture.state.reconnects == 1 and capture.state.connected, "the return")
        taken.append(line.trigger(part_id="p3"))
        line.wait(3)
        assert "no_frame" not in line.reasons
        assert line.queue.counts["unasked"] == 0
    finally:
        line.stop()
    one_each(line.results, taken)


@pytest.mark.parametrize("serials", [(SERIAL, OTHER), (OTHER, SERIAL)])
def test_a_trigger_takes_a_view_with_each_of_two_cameras(
    tmp_path: Path, fast_bundle: Path, serials: tuple[str, str]
) -> None:
    sizes = {"top": (128, 96), "left": (160, 120)}
    cameras = [
        {
            "name": name,
            "source": f"pylon://{serial}",
            "features": {"Width": width, "Height": height},
        }
        for (name, (width, height)), serial in zip(sizes.items(), serials, strict=True)
    ]
    trigger = {"by": "software", "frame_timeout_ms": 20_000}
    line = Line(tmp_path, fast_bundle, "", trigger, camera=None, cameras=cameras)
    try:
        states = line.station._capture
        line.until(lambda: all(each.connected for each in states.states.values()), "the cameras")
        found = [each.description.serial for each in states.states.values()]
        taken = []
        for count in range(1, 4):
            taken.append(line.trigger(part_id=f"p{count}"))
            line.wait(count)
    finally:
        line.stop()
    assert found == list(serials)
    one_each(line.results, taken)
    for result in line.results:
        seen = {view["camera"]: (view["width"], view["height"]) for view in result["views"]}
        assert seen == sizes
        assert "no_frame" not in [view["reason"] for view in result["views"]]
