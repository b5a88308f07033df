"""`edge-doctor cameras` with the cameras that drivers simulate; each is searched in its process."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edge.cameras.search import csi, v4l2
from edge.cameras.search.found import FoundCamera
from edge.diagnostics import cameras
from edge.errors import CameraUnavailable
from tests.support.gentl import CTI
from tests.support.gige_camera import GigeCamera, camera_port
from tests.support.gobject import SYSTEM_PACKAGES, gobject_or_skip
from tests.support.v4l2_driver import Driver

ROOT = Path(__file__).parents[2]


def command(*arguments, **variables):
    return subprocess.run(
        [sys.executable, "-c", "from edge.cli.doctor import main; main()", *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYLON_CAMEMU": "1", **variables},
        check=False,
    )


def test_every_camera_is_listed_with_an_address_that_opens_it() -> None:
    gobject_or_skip("Aravis", "0.8")
    pytest.importorskip("pypylon")
    with camera_port(), GigeCamera("S48").running():
        done = command(
            "cameras",
            "--json",
            GENICAM_GENTL64_PATH=str(CTI.parent),
            PYTHONPATH=SYSTEM_PACKAGES,
        )
    assert done.returncode == 0, done.stdout + done.stderr
    reports = {report["driver"]: report for report in json.loads(done.stdout)}
    assert list(reports) == ["v4l2", "aravis", "pylon", "gentl", "csi"]
    assert [camera["address"] for camera in reports["aravis"]["cameras"]] == ["genicam://S48"]
    assert [camera["address"] for camera in reports["pylon"]["cameras"]] == ["pylon://0815-0000"]
    assert [camera["address"] for camera in reports["gentl"]["cameras"]] == [
        f"gentl://{i}?cti={CTI}" for i in range(3)
    ]
    assert "RGBa8, Mono8" in reports["gentl"]["cameras"][0]["formats"]
    assert "BayerRG8" in reports["aravis"]["cameras"][0]["formats"][0]
    assert "Mono12" in reports["pylon"]["cameras"][0]["formats"][0]
    assert all("fps" in report["cameras"][0]["formats"][-1] for report in
               (reports["aravis"], reports["pylon"], reports["gentl"]))  # fmt: skip
    assert reports["csi"]["level"] == "absent"


HIDING = """
import sys
for name in ("gi", "pypylon", "harvesters"):
    sys.modules[name] = None
"""


def test_a_driver_that_is_not_installed_says_what_to_install(tmp_path) -> None:
    (tmp_path / "sitecustomize.py").write_text(HIDING)
    paths = {"PYTHONPATH": str(tmp_path), "GENICAM_GENTL64_PATH": str(CTI.parent)}
    done = command("cameras", **paths)
    assert done.returncode == 0
    for line in (
        "install the system package python3-gi",
        "pip install 'edge-inspection[pylon]'",
        "pip install 'edge-inspection[genicam]'",
    ):
        assert line in done.stdout


@pytest.mark.parametrize(
    ("code", "line"),
    [
        ("import time; time.sleep(60)", "took longer than 1 s and was ended"),
        ("import os; print('x'); os.abort()", "the search ended with -6"),
        ("raise ValueError('broken producer')", "ended with 1: ValueError: broken producer"),
        ("print('{}')", "the search ended with 0: no word"),
    ],
)
def test_a_search_that_hangs_or_crashes_is_a_problem_of_its_driver(
    monkeypatch, tmp_path, code, line
) -> None:
    program = tmp_path / "python"
    program.write_text(f"#!{sys.executable}\n{code}\n")
    program.chmod(0o755)
    monkeypatch.setattr(cameras.sys, "executable", str(program))
    began = time.monotonic()
    reports = list(cameras.search_all(1.0 if "sleep" in code else 60.0))
    assert time.monotonic() - began < 50
    assert [report.level for report in reports] == ["problem"] * 5
    assert all(line in report.detail for report in reports)


def test_options_of_the_command_itself_are_not_lost_in_silence() -> None:
    done = command("--json", "cameras")
    assert done.returncode == 2
    assert "options stand behind the word cameras" in done.stderr


@pytest.fixture
def devices(monkeypatch, tmp_path):
    """Four device files; the drivers behind them are played."""
    (tmp_path / "by-id").mkdir()
    for name in ("video0", "video1", "video2", "video10"):
        (tmp_path / name).touch()
    (tmp_path / "by-id" / "usb-Acme-index0").symlink_to(tmp_path / "video0")
    monkeypatch.setattr(v4l2, "BY_ID", tmp_path / "by-id")
    monkeypatch.setattr(v4l2, "DEVICES", tmp_path)
    monkeypatch.setattr(csi, "DEVICES", tmp_path)

    class Device(v4l2.V4l2Device):
        def __init__(self, path):
            name = path.resolve().name
            if name == "video2":
                raise PermissionError(errno.EACCES, "Permission denied")
            driver = Driver()
            if name == "video1":
                driver.sizes = driver.enum_fmt
                driver.querycap = lambda data: None
            super().__init__(path, driver)

    monkeypatch.setattr(v4l2, "V4l2Device", Device)
    monkeypatch.setattr(csi, "V4l2Device", Device)
    return tmp_path


def test_v4l2_cameras_come_with_the_name_that_stays(devices) -> None:
    first, second, third = v4l2.search()
    assert first == FoundCamera(
        f"v4l2://{devices}/by-id/usb-Acme-index0",
        "Acme 4K (uvcvideo, usb-1)",
        ("MJPG 1920x1080@30/14.985 640x480@60", "YUYV 800x600@60"),
    )
    assert second.address == f"v4l2://{devices}/video10"
    assert third.problem == "no permission; add the user to group video"


def test_csi_cameras_are_numbered_as_their_devices_come(devices, monkeypatch, tmp_path) -> None:
    with pytest.raises(CameraUnavailable, match="no Jetson"):
        csi.search()
    model = tmp_path / "model"
    model.write_text("NVIDIA Jetson Orin Nano\0")
    monkeypatch.setattr(csi, "MODEL", model)
    monkeypatch.setattr(csi, "_DRIVERS", ("uvcvideo",))
    assert [camera.address for camera in csi.search()] == ["csi://0", "csi://1"]
