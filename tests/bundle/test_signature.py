"""A signature covers a bundle as a whole, and counts only by a trusted key."""

from __future__ import annotations

import base64
import json
import os
import shutil
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from edge.bundle.signature import Trust, key_id, make_signature, public_key, read_trust
from edge.bundle.store import open_bundle
from edge.config.trust import TrustSettings
from edge.errors import BundleCorrupt, BundleError, ConfigError
from tests.support.bundles import DEMO_BUNDLE, edit_json, make_bundle, sign

WHEN = "2026-11-29T12:00:00+00:00"
OURS, OTHER = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()


def trust(*keys: Ed25519PrivateKey, required: bool = True) -> Trust:
    return Trust(required, {key_id(key.public_key()): key.public_key() for key in keys})


def put_signature(folder: Path, key: Ed25519PrivateKey, who: str = "Quality") -> Path:
    made = make_signature(key, (folder / "bundle.json").read_bytes(), who, WHEN)
    (folder / "signature.json").write_text(made.model_dump_json(by_alias=True))
    return folder


@pytest.fixture
def signed(tmp_path: Path) -> Path:
    return put_signature(Path(shutil.copytree(DEMO_BUNDLE, tmp_path / "bundle")), OURS)


def test_who_signed_is_known(signed: Path) -> None:
    assert open_bundle(signed, trust(OURS)).signed_by == "Quality"
    assert open_bundle(signed, trust(OTHER, OURS, required=False)).signed_by == "Quality"
    put_signature(signed, OURS, who="")
    assert open_bundle(signed, trust(OURS)).signed_by == key_id(OURS.public_key())


def test_a_signature_without_a_trusted_key_says_nothing(signed: Path) -> None:
    assert open_bundle(signed).signed_by is None


def test_an_unsigned_bundle_runs_only_where_no_signature_is_required(signed: Path) -> None:
    (signed / "signature.json").unlink()
    assert open_bundle(signed, trust(OURS, required=False)).signed_by is None
    with pytest.raises(BundleError, match="expected a signature, found none; sign it: edge-bundle"):
        open_bundle(signed, trust(OURS))


@pytest.mark.parametrize("required", [True, False])
def test_another_key_is_refused(signed: Path, required: bool) -> None:
    with pytest.raises(BundleError, match=r"signed with key .*, expected one of "):
        open_bundle(signed, trust(OTHER, required=required))


@pytest.mark.parametrize("required", [True, False])
def test_a_bundle_packed_again_is_not_the_signed_one(signed: Path, required: bool) -> None:
    edit_json(signed / "bundle.json", version="9")
    with pytest.raises(BundleCorrupt, match="changed after it was signed"):
        open_bundle(signed, trust(OURS, required=required))


def test_a_file_exchanged_with_its_hash_is_seen(signed: Path) -> None:
    (signed / "card.md").write_text("better than it is")
    with pytest.raises(BundleCorrupt, match="changed after it was signed"):
        open_bundle(sign(signed), trust(OURS))


def test_the_signature_of_another_bundle_is_refused(signed: Path, tmp_path: Path) -> None:
    other = make_bundle(tmp_path, "other")
    shutil.copyfile(signed / "signature.json", other / "signature.json")
    with pytest.raises(BundleCorrupt, match="changed after it was signed"):
        open_bundle(other, trust(OURS))


@pytest.mark.parametrize(
    "changes", [{"who": "Somebody"}, {"who": ""}, {"when": "2020"}, {"signature": "A" * 86 + "=="}]
)
def test_what_the_signature_says_cannot_be_changed(signed: Path, changes: dict) -> None:
    edit_json(signed / "signature.json", **changes)
    with pytest.raises(BundleCorrupt, match="changed after it was signed"):
        open_bundle(signed, trust(OURS))


def test_a_foreign_key_under_a_trusted_id_is_refused(signed: Path) -> None:
    put_signature(signed, OTHER)
    edit_json(signed / "signature.json", key_id=key_id(OURS.public_key()))
    with pytest.raises(BundleCorrupt, match="changed after it was signed"):
        open_bundle(signed, trust(OURS))


@pytest.mark.parametrize(
    "text",
    ["", "[]", "7", "{", '{"schema": "edge-infer.signature/2"}', "\x00", "[" * 5000, "x" * 200_000],
)
def test_an_unreadable_signature_is_one_line(signed: Path, text: str) -> None:
    (signed / "signature.json").write_text(text)
    with pytest.raises(BundleCorrupt, match=r"signature\.json") as error:
        open_bundle(signed, trust(OURS))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("required", [True, False])
def test_a_signature_that_is_a_link_or_a_pipe_is_refused(signed: Path, required: bool) -> None:
    path = signed / "signature.json"
    path.rename(signed / "away.json")
    path.symlink_to("away.json")
    with pytest.raises(BundleCorrupt, match="found a link"):
        open_bundle(signed, trust(OURS, required=required))
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(BundleCorrupt, match="found a pipe"):
        open_bundle(signed, trust(OURS, required=required))


def test_keys_are_read_from_files_and_from_text(tmp_path: Path) -> None:
    key = OURS.public_key()
    pem = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    raw = base64.b64encode(key.public_bytes_raw()).decode()
    path = tmp_path / "quality.pub"
    for text in (pem, raw, f"{raw}\n"):
        assert key_id(public_key(text)) == key_id(key)
        path.write_text(text)
        assert key_id(public_key(str(path))) == key_id(key)


def test_what_is_no_ed25519_public_key_is_refused(tmp_path: Path) -> None:
    form = (Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    curve = generate_private_key(SECP256R1()).public_key().public_bytes(*form).decode()
    path = tmp_path / "key"
    for text in (curve, "words", "", "-----BEGIN PUBLIC KEY-----\nx", json.dumps({})):
        path.write_text(text)
        with pytest.raises(ConfigError, match="expected an Ed25519 public key"):
            public_key(str(path))
    path.write_bytes(b"\xff\xfe")
    for missing in (str(path), str(tmp_path), str(tmp_path / "none")):
        with pytest.raises(ConfigError, match="cannot be read as a public key"):
            public_key(missing)


def test_a_station_that_requires_signatures_names_keys() -> None:
    with pytest.raises(ValueError, match="require_signature needs public_keys"):
        TrustSettings(require_signature=True)
    assert read_trust(TrustSettings()) == Trust()
