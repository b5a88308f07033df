"""edge-bundle: keys, signatures, installed bundles, as a person types it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from edge.cli.bundle import main
from tests.support.bundles import DEMO_BUNDLE, edit_json, make_bundle, sign
from tests.support.in_process import Done, run_here


def edge_bundle(*arguments: object) -> Done:
    return run_here(main, "edge-bundle", *arguments)


def test_a_bundle_is_signed_and_verified(tmp_path: Path) -> None:
    bundle, key = Path(shutil.copytree(DEMO_BUNDLE, tmp_path / "bundle")), tmp_path / "quality.key"
    assert edge_bundle("keygen", "--out", key).returncode == 0
    assert key.stat().st_mode & 0o777 == 0o600
    public = tmp_path / "quality.key.pub"
    assert "PRIVATE" not in public.read_text()

    unsigned = edge_bundle("verify", bundle, "--key", public)
    assert (unsigned.returncode, "expected a signature" in unsigned.stderr) == (3, True)

    signed = edge_bundle("sign", bundle, "--key", key, "--name", "Quality, plant 4")
    assert signed.returncode == 0, signed.stderr
    done = edge_bundle("verify", bundle, "--key", public)
    assert done.returncode == 0, done.stderr
    assert "is whole, signed by Quality, plant 4, key " in done.stdout

    edit_json(bundle / "bundle.json", version="9")
    altered = edge_bundle("verify", bundle, "--key", public)
    assert altered.returncode == 3
    assert altered.stderr.count("\n") == 1
    assert "changed after it was signed" in altered.stderr


def test_a_key_is_never_replaced(tmp_path: Path) -> None:
    key = tmp_path / "a.key"
    key.write_text("precious")
    done = edge_bundle("keygen", "--out", key)
    assert (done.returncode, key.read_text()) == (2, "precious")
    assert "a key is never replaced" in done.stderr


@pytest.mark.parametrize(
    ("text", "mode", "words"),
    [("x", 0o600, "expected an Ed25519 private key"), ("x", 0o644, "others can read it")],
)
def test_a_private_key_that_is_none_or_open_to_others(
    tmp_path: Path, text: str, mode: int, words: str
) -> None:
    key = tmp_path / "a.key"
    key.write_text(text)
    key.chmod(mode)
    done = edge_bundle("sign", DEMO_BUNDLE, "--key", key)
    assert (done.returncode, words in done.stderr) == (2, True), done.stderr
    assert not (DEMO_BUNDLE / "signature.json").exists()


def test_bundles_are_installed_listed_and_rolled_back(tmp_path: Path) -> None:
    folder = tmp_path / "installed"
    first = make_bundle(tmp_path, "lid", "1")
    second = Path(shutil.copytree(first, tmp_path / "lid2"))
    edit_json(second / "bundle.json", version="2")
    for bundle in (first, second):
        done = edge_bundle("install", bundle, "--into", folder, "--by", "Eve")
        assert done.returncode == 0, done.stderr
    assert "lid 2 (" in done.stdout
    assert ") is current\nnext: edge-infer " in done.stdout
    back = edge_bundle("rollback", folder)
    assert (back.returncode, "lid 1 (" in back.stdout) == (0, True), back.stderr
    listed = edge_bundle("list", folder).stdout
    assert " current   lid 1\n" in listed
    assert " previous  lid 2\n" in listed
    audit = [json.loads(line) for line in (folder / "installed.jsonl").read_text().splitlines()]
    assert [line["by"] for line in audit][:2] == ["Eve", "Eve"]
    assert "@" in audit[2]["by"]


def test_a_bundle_that_judges_otherwise_is_not_installed(tmp_path: Path) -> None:
    """The engine is asked, not the hashes: they fit what was changed."""
    bundle, folder = make_bundle(tmp_path, "lid", "1"), tmp_path / "installed"
    path = bundle / "golden" / "golden.json"
    images = json.loads(path.read_text())["images"]
    edit_json(path, images=[{**image, "score": 0.99 * image["score"]} for image in images])
    done = edge_bundle("install", sign(bundle), "--into", folder)
    assert (done.returncode, done.stderr.count("\n")) == (4, 1), done.stderr
    assert "golden picture" in done.stderr
    assert not (folder / "current").exists()


def test_the_station_file_says_whose_bundles_are_installed(tmp_path: Path) -> None:
    key, station = tmp_path / "quality.key", tmp_path / "station.yaml"
    assert edge_bundle("keygen", "--out", key).returncode == 0
    station.write_text(
        "{node: n, station: s, camera: {source: 'test://conveyor'}, bundle: installed/current, "
        "trust: {require_signature: true, public_keys: [quality.key.pub]}}"
    )
    bundle, folder = make_bundle(tmp_path, "lid", "1"), tmp_path / "installed"
    install = ("install", bundle, "--into", folder, "--station", station)
    unsigned = edge_bundle(*install)
    assert (unsigned.returncode, "expected a signature" in unsigned.stderr) == (3, True)
    assert edge_bundle("sign", bundle, "--key", key, "--name", "Quality").returncode == 0
    done = edge_bundle(*install)
    assert done.returncode == 0, done.stderr
    assert "signed by Quality" in edge_bundle("list", folder, "--station", station).stdout
