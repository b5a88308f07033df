"""Every profile of build/targets reads, and a wrong name gets one helpful line."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.errors import ConfigError
from edge.toolchain.engine_build.profile_folder import profile_folder, target_names
from edge.toolchain.engine_build.target_profile import read_target
from tests.support.bundles import ROOT

TARGETS = ROOT / "build" / "targets"


def test_every_profile_reads() -> None:
    assert profile_folder() == TARGETS, "an editable install reads the profiles of the checkout"
    profiles = {name: read_target(name) for name in target_names()}
    assert {"cpu", "rtx", "datacentre", "jetson-thor-jp7"} <= set(profiles)
    assert len(profiles) == len(list(TARGETS.glob("*.yaml")))
    for name, profile in profiles.items():
        if profile.backend.startswith("tensorrt"):
            assert profile.memory is not None, name
            assert profile.tensorrt is not None, name


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("jetson-orin", "no such target; the nearest are jetson-orin-jp7, "),
        ("orin", "no such target; the nearest are jetson-agx-orin-jp62, jetson-orin-jp7, "),
        ("CPU", "no such target; the nearest are cpu, cpu-openvino, or give the path"),
        ("rxt", "no such target; the nearest are rtx, or give the path of a .yaml file"),
        ("xyzzy", "no such target; choose one of cpu, cpu-openvino, datacentre, "),
        ("absent.yaml", "no such file"),
        ("../targets/cpu", "no such target; "),
    ],
)
def test_an_unknown_target_gets_one_line_with_the_nearest_names(name: str, words: str) -> None:
    with pytest.raises(ConfigError) as info:
        read_target(name)
    assert str(info.value).startswith(f"--target {name}: {words}")
    assert "\n" not in str(info.value)


def test_a_profile_of_ones_own_is_read_by_its_path(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("title: mine\nbackend: openvino\nprecision: int8\n")
    assert read_target(str(path)).precision == "int8"
    assert read_target("mine", tmp_path).title == "mine"


@pytest.mark.parametrize(
    ("version", "is_held"),
    [("10.3.0", True), ("10.10.0.31", True), ("10.2.9", False), ("11.0.0", False), ("9", False)],
)
def test_releases_compare_by_number(version: str, is_held: bool) -> None:
    releases = read_target("jetson-orin-nano-jp62").tensorrt
    assert releases is not None
    assert releases.holds(version) is is_held
