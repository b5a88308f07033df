"""edge-bundle: keys, signatures and what it refuses, as a person types it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.bundles import DEMO_BUNDLE, ROOT, edit_json


def edge_bundle(*arguments: object) -> subprocess.CompletedProcess[str]:
    code = "import sys; sys.argv[0] = 'edge-bundle'; from edge.cli.bundle import main; main()"
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)


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
