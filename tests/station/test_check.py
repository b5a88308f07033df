"""The cameras of a station are opened within a bounded time, and named."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from edge.config.station import StationConfig
from edge.errors import CameraTimeout
from edge.station import check
from edge.station.check import check_cameras
from tests.support.bundles import DEMO_BUNDLE


def config(camera: str) -> StationConfig:
    return StationConfig.model_validate(
        {"station": "s", "node": "n", "bundle": str(DEMO_BUNDLE), "camera": {"source": camera}}
    )


class Hanging:
    """A camera whose driver does not return."""

    def __init__(self) -> None:
        self.released = threading.Event()

    def open(self) -> None:
        self.released.wait(30)

    def close(self) -> None:
        pass


def test_cameras_that_open_are_named() -> None:
    settings = config("test://conveyor")
    assert check_cameras(settings) == (settings.camera.name,)


def test_a_driver_that_hangs_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    camera = Hanging()
    monkeypatch.setattr(check, "make_sources", lambda _: [camera])
    with pytest.raises(CameraTimeout, match=r"expected it to open within 0\.01 s"):
        check_cameras(config("test://conveyor"), within_s=0.01)
    camera.released.set()


def test_a_camera_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(Exception, match="none") as caught:
        check_cameras(config(f"file://{tmp_path}/none"))
    assert caught.value.exit_code == 5
