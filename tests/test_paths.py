from __future__ import annotations

from pathlib import Path

import pytest

from edge.paths import find_engine_dir, find_run_dir, find_state_dir, find_weights_dir

VARIABLES = (
    "EDGE_STATE_DIR", "EDGE_ENGINE_DIR", "EDGE_CACHE_DIR", "EDGE_RUN_DIR", "RUNTIME_DIRECTORY",
    "CACHE_DIRECTORY", "XDG_CACHE_HOME", "XDG_STATE_HOME",
)  # fmt: skip


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def test_by_default_all_lies_under_one_name_in_the_users_folders(home: Path) -> None:
    assert find_state_dir(None) == home / ".local" / "state" / "edge-infer"
    assert find_engine_dir(None) == home / ".cache" / "edge-infer" / "engines"
    assert find_weights_dir() == home / ".cache" / "edge-infer" / "weights"
    assert find_run_dir() is None


def test_the_xdg_folders_take_the_place_of_the_users(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "/s")
    monkeypatch.setenv("XDG_CACHE_HOME", "/c")
    assert find_state_dir(None) == Path("/s/edge-infer")
    assert find_engine_dir(None) == Path("/c/edge-infer/engines")
    assert find_weights_dir() == Path("/c/edge-infer/weights")


def test_a_service_has_its_own_folders(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/c")
    monkeypatch.setenv("CACHE_DIRECTORY", "/var/cache/edge-infer")
    monkeypatch.setenv("RUNTIME_DIRECTORY", "/run/edge-infer")
    assert find_engine_dir(None) == Path("/var/cache/edge-infer/engines")
    assert find_run_dir() == Path("/run/edge-infer")


def test_a_variable_of_ours_wins_and_an_option_over_it(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CACHE_DIRECTORY", "/var/cache/edge-infer")
    monkeypatch.setenv("RUNTIME_DIRECTORY", "/run/edge-infer")
    for name in ("STATE", "ENGINE", "CACHE", "RUN"):
        monkeypatch.setenv(f"EDGE_{name}_DIR", f"/{name}")
    assert find_state_dir(None) == Path("/STATE")
    assert find_engine_dir(None) == Path("/ENGINE")
    assert find_weights_dir() == Path("/CACHE")
    assert find_run_dir() == Path("/RUN")
    assert find_state_dir(home) == home
    assert find_engine_dir(home) == home


def test_an_empty_variable_counts_as_none(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGE_STATE_DIR", "")
    monkeypatch.setenv("EDGE_RUN_DIR", "")
    assert find_state_dir(None) == home / ".local" / "state" / "edge-infer"
    assert find_run_dir() is None


def test_weights_of_former_releases_are_still_found(home: Path) -> None:
    former = home / ".cache" / "edge-inspection"
    former.mkdir(parents=True)
    assert find_weights_dir() == former
    (home / ".cache" / "edge-infer" / "weights").mkdir(parents=True)
    assert find_weights_dir() == home / ".cache" / "edge-infer" / "weights"
