"""Units of systemd and the images give a station and the page what they need, and no more."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
UNITS = [ROOT / "configs" / f"{name}.service" for name in ("edge-infer", "edge-dashboard")]
each_unit = pytest.mark.parametrize("unit_file", UNITS, ids=lambda path: path.stem)


def settings(unit_file: Path) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in unit_file.read_text(encoding="utf-8").splitlines():
        if line and line[0] not in "#[":
            key, _, value = line.partition("=")
            found.setdefault(key, []).append(value)
    return found


@each_unit
def test_state_is_private_and_secrets_are_credentials(unit_file: Path) -> None:
    unit = settings(unit_file)
    assert unit["UMask"] == ["0077"]
    assert unit["StateDirectoryMode"] == ["0700"]
    assert unit["Environment"] == [f"EDGE_STATE_DIR=/var/lib/{unit['StateDirectory'][0]}"]
    (credential,) = unit["LoadCredential"]
    name = credential.split(":")[0]
    text = unit_file.read_text(encoding="utf-8")
    assert f"/run/credentials/{unit_file.name}/{name}" in text
    assert not re.search(r"password=|secret=", text, re.IGNORECASE)


@each_unit
def test_the_service_gains_nothing(unit_file: Path) -> None:
    unit = settings(unit_file)
    assert unit["User"] != ["root"]
    assert unit["NoNewPrivileges"] == ["yes"]
    assert unit["CapabilityBoundingSet"] == [""]
    assert unit["ProtectSystem"] == ["strict"]
    assert unit["DevicePolicy"] == ["closed"]
    assert unit["ExecStart"][0].split()[0].endswith(f"/{unit_file.stem}")


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
@each_unit
def test_systemd_knows_every_setting(tmp_path: Path, unit_file: Path) -> None:
    unit = tmp_path / unit_file.name
    text = unit_file.read_text(encoding="utf-8")
    unit.write_text(re.sub(r"ExecStart=\S+", "ExecStart=/bin/true", text), encoding="utf-8")
    done = subprocess.run(
        ["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False
    )
    assert not [line for line in done.stderr.splitlines() if unit.name in line and "nknown" in line]


@pytest.mark.parametrize("name", ["Dockerfile", "Dockerfile.jetson"])
def test_the_images_keep_state_private_and_run_without_rights(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    assert re.search(r"install -d -m 0700 .*/state", text)
    assert re.search(r"^USER 10001$", text, re.MULTILINE)
