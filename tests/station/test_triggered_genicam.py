"""A station that triggers a real GigE Vision camera on loopback, which is lost and comes back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.gige_camera import GigeCamera, camera_port
from tests.support.gobject import gobject_or_skip
from tests.support.triggered_line import Line, one_each

gobject_or_skip("Aravis", "0.8")

FEATURES = {"PixelFormat": "Mono8", "Width": 128, "Height": 96}


@pytest.fixture
def camera() -> Iterator[GigeCamera]:
    with camera_port(), GigeCamera("TRIGGER1").running() as running:
        yield running


def test_a_camera_on_the_network_is_fired_lost_and_fired_again(
    camera: GigeCamera,
    tmp_path: Path,
    fast_bundle: Path,
) -> None:
    settings = {
        "name": "top",
        "source": "genicam://TRIGGER1",
        "features": FEATURES,
        "retry_interval_s": 0.2,
        "retry_max_s": 0.5,
    }
    trigger = {"by": "software", "frame_timeout_ms": 20_000}
    line = Line(tmp_path, fast_bundle, "", trigger, camera=settings)
    try:
        line.until(lambda: line.station._capture.state.connected, "the camera")
        taken = []
        for count in range(1, 4):
            taken.append(line.trigger(part_id=f"p{count}"))
            line.wait(count)
        assert [result["part"]["id"] for result in line.results] == ["p1", "p2", "p3"]
        assert {result["views"][0]["width"] for result in line.results} == {128}
        assert "no_frame" not in line.reasons
        assert line.queue.counts["unasked"] == 0

        camera.kill()
        line.until(lambda: not line.station._capture.state.connected, "the loss")
        taken.append(line.trigger(part_id="p4"))
        line.wait(4)
        assert line.reasons[3] == "no_frame"

        camera.start()
        line.until(lambda: line.station._capture.state.connected, "the camera again")
        taken.append(line.trigger(part_id="p5"))
        line.wait(5)
        assert line.reasons[4] != "no_frame"
    finally:
        line.stop()
    one_each(line.results, taken)
