"""A station runs engines only that this device has built and that nobody else can have changed."""

from __future__ import annotations

import json
import logging
import os
import shutil
from pathlib import Path

import pytest

from edge.bundle.store import Bundle, open_bundle
from edge.config.station import EngineSettings
from edge.engines.cache_trust import KEY, access_problem, make_seal, seal_path
from edge.engines.load import load_engine
from edge.engines.verified import PARITY, cpu_name, find_verified
from edge.errors import EngineError, EngineLoadError
from tests.support.bundles import DEMO_BUNDLE
from tests.support.engines import write_record

ort = pytest.importorskip("onnxruntime")


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return open_bundle(DEMO_BUNDLE)


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The state folder of this device."""
    monkeypatch.setenv("EDGE_STATE_DIR", str(tmp_path / "state"))
    return tmp_path / "state"


@pytest.fixture
def engines(tmp_path: Path, state: Path, bundle: Bundle) -> Path:
    """A folder with a record that lets ONNX Runtime count as verified on this device."""
    own = {"backend": "onnxruntime", "version": ort.__version__, "device": cpu_name()}
    write_record(tmp_path / "engines" / "demo", bundle, {"detect": bundle.graph.file}, **own)
    return tmp_path / "engines"


def load(bundle: Bundle, engines: Path) -> bool:
    settings = EngineSettings(backend="auto", folder=engines, threads=1)
    with load_engine(bundle, settings) as engine:
        return engine.info.is_verified


def problem(engines: Path, bundle: Bundle) -> str:
    (verified,) = find_verified(engines, bundle.id)
    assert verified.problem is not None
    return verified.problem


def test_its_own_record_is_trusted(bundle: Bundle, engines: Path, state: Path) -> None:
    assert load(bundle, engines)
    assert (state / KEY).stat().st_mode & 0o777 == 0o600
    assert state.stat().st_mode & 0o777 == 0o700


def test_a_changed_record_is_refused_in_one_line(
    bundle: Bundle, engines: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    path = engines / "demo" / PARITY
    path.write_text(json.dumps({**json.loads(path.read_text()), "score_tolerance": 1e9}))
    assert not load(bundle, engines)
    assert "was made elsewhere or changed; build it on this device" in caplog.text


def test_a_record_of_another_device_is_refused(
    bundle: Bundle, engines: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGE_STATE_DIR", str(tmp_path / "other"))
    assert "was made elsewhere" in problem(engines, bundle)
    make_seal(b"this device has a key, too")
    assert "was made elsewhere" in problem(engines, bundle)


def test_a_record_without_a_seal_says_to_build_again(bundle: Bundle, engines: Path) -> None:
    seal_path(engines / "demo" / PARITY).unlink()
    assert "has no seal of this device; build it on this device" in problem(engines, bundle)
    seal_path(engines / "demo" / PARITY).write_bytes(b"\xff")
    assert "has no seal of this device" in problem(engines, bundle)


def test_a_station_that_asks_for_such_an_engine_stops(bundle: Bundle, engines: Path) -> None:
    path = engines / "demo" / PARITY
    record = {**json.loads(path.read_text()), "backend": "openvino"}
    path.write_text(json.dumps(record))
    settings = EngineSettings(backend="openvino", folder=engines, threads=1)
    with pytest.raises(EngineLoadError, match="was made elsewhere or changed"):
        load_engine(bundle, settings)


@pytest.mark.parametrize("place", [".", "demo", f"demo/{PARITY}", f"demo/{PARITY}.seal"])
@pytest.mark.parametrize("mode", [0o020, 0o002])
def test_what_others_can_write_to_is_refused(
    bundle: Bundle, engines: Path, place: str, mode: int
) -> None:
    path = engines / place
    path.chmod(path.stat().st_mode | mode)
    assert "others may write to it" in problem(engines, bundle)
    assert not load(bundle, engines)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to another user")
@pytest.mark.parametrize("place", [".", "demo", f"demo/{PARITY}"])
def test_what_belongs_to_another_user_is_refused(bundle: Bundle, engines: Path, place: str) -> None:
    os.chown(engines / place, 12345, 12345)
    assert "belongs to user 12345" in problem(engines, bundle)


def test_a_link_is_refused(bundle: Bundle, engines: Path) -> None:
    path = engines / "demo" / PARITY
    shutil.move(path, engines / "away.json")
    path.symlink_to(engines / "away.json")
    assert find_verified(engines, bundle.id) == []
    assert "found a link" in str(access_problem(engines / "demo"))


@pytest.mark.parametrize("damage", ["open", "short", "link", "pipe", "folder"])
def test_a_key_that_is_not_private_is_refused(
    bundle: Bundle, engines: Path, state: Path, damage: str
) -> None:
    key = state / KEY
    if damage == "open":
        key.chmod(0o644)
    elif damage == "short":
        key.write_bytes(b"short")
    else:
        key.rename(state / "away")
        if damage == "link":
            key.symlink_to("away")
        elif damage == "pipe":
            os.mkfifo(key, 0o600)
        else:
            key.mkdir(mode=0o700)
    assert KEY in problem(engines, bundle)
    with pytest.raises(EngineError, match=KEY):
        make_seal(b"x")


def test_a_key_is_made_once(state: Path) -> None:
    assert make_seal(b"x") == make_seal(b"x")
    assert sorted(path.name for path in state.iterdir()) == [KEY]


def test_a_state_folder_that_cannot_be_used_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("x")
    monkeypatch.setenv("EDGE_STATE_DIR", str(tmp_path / "file"))
    with pytest.raises(EngineError, match="file") as error:
        make_seal(b"x")
    assert "\n" not in str(error.value)
