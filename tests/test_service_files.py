"""The unit of systemd and the images give a station what its checks expect, and no more."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
UNIT = ROOT / "configs" / "edge-infer.service"


def settings() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in UNIT.read_text(encoding="utf-8").splitlines():
        if line and line[0] not in "#[":
            key, _, value = line.partition("=")
            found.setdefault(key, []).append(value)
    return found


def test_state_is_private_and_secrets_are_credentials() -> None:
    unit = settings()
    assert unit["UMask"] == ["0077"]
    assert unit["StateDirectoryMode"] == ["0700"]
    assert unit["Environment"] == [f"EDGE_STATE_DIR=/var/lib/{unit['StateDirectory'][0]}"]
    (credential,) = unit["LoadCredential"]
    name = credential.split(":")[0]
    text = UNIT.read_text(encoding="utf-8")
    assert f"/run/credentials/{UNIT.name}/{name}" in text
    assert not re.search(r"password=|secret=", text, re.IGNORECASE)


def test_the_service_gains_nothing() -> None:
    unit = settings()
    assert unit["User"] != ["root"]
    assert unit["NoNewPrivileges"] == ["yes"]
    assert unit["CapabilityBoundingSet"] == [""]
    assert unit["ProtectSystem"] == ["strict"]
    assert unit["DevicePolicy"] == ["closed"]
    assert unit["ExecStart"][0].split()[0].endswith("/edge-infer")


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_knows_every_setting(tmp_path: Path) -> None:
    unit = tmp_path / UNIT.name
    text = UNIT.read_text(encoding="utf-8")
    unit.write_text(re.sub(r"ExecStart=\S+", "ExecStart=/bin/true", text), encoding="utf-8")
    done = subprocess.run(
        ["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False
    )
    assert not [line for line in done.stderr.splitlines() if UNIT.name in line and "nknown" in line]


@pytest.mark.parametrize("name", ["Dockerfile", "Dockerfile.jetson"])
def test_the_images_keep_state_private_and_run_without_rights(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    assert re.search(r"install -d -m 0700 .*/state", text)
    assert re.search(r"^USER 10001$", text, re.MULTILINE)
