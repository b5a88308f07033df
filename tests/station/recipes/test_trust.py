"""A station that requires signatures runs no other bundle, at the start or by a command."""

from __future__ import annotations

import base64
import shutil
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from edge.bundle.signature import make_signature
from edge.config.station import StationConfig
from edge.errors import BundleError, ConfigError
from edge.messages.identity import Identity
from edge.messages.payload import info_payload, state_payload
from edge.station.recipes.recipes import Recipes
from tests.support.bundles import DEMO_BUNDLE, make_bundle

KEY = Ed25519PrivateKey.generate()
PUBLIC = base64.b64encode(KEY.public_key().public_bytes_raw()).decode()


@pytest.fixture
def signed(tmp_path: Path) -> Path:
    folder = Path(shutil.copytree(DEMO_BUNDLE, tmp_path / "signed"))
    made = make_signature(KEY, (folder / "bundle.json").read_bytes(), "Quality", "2026-11-29")
    (folder / "signature.json").write_text(made.model_dump_json(by_alias=True))
    return folder


def station(trust: dict, **bundles: object) -> Recipes:
    values = {"node": "n", "station": "s", "camera": {"source": "test://conveyor"}, **bundles}
    return Recipes(StationConfig.model_validate({**values, "trust": trust}))


def test_recipes_obey_it_one_by_one(signed: Path, tmp_path: Path) -> None:
    other = make_bundle(tmp_path, "other")
    recipes = {"good": {"bundle": str(signed)}, "bad": {"bundle": str(other)}}
    trust = {"require_signature": True, "public_keys": [PUBLIC]}
    one = station(trust, recipes=recipes, recipe="good")
    loaded = one.load("good")
    try:
        assert loaded.model.signed_by == "Quality"
        who = Identity("n", "s", "b")
        for payload in (info_payload(who, loaded.model, {}),
                        state_payload(who, "halted", model=loaded.model)):  # fmt: skip
            assert payload["model"]["signed_by"] == "Quality"
        with pytest.raises(BundleError, match="expected a signature, found none"):
            one.load("bad", loaded)
    finally:
        loaded.close()


def test_the_only_bundle_obeys_it(signed: Path) -> None:
    other = base64.b64encode(Ed25519PrivateKey.generate().public_key().public_bytes_raw()).decode()
    with pytest.raises(BundleError, match="signed with key"):
        station({"public_keys": [other]}, bundle=str(signed))
    trust = {"require_signature": True, "public_keys": [PUBLIC]}
    with pytest.raises(BundleError, match="found none"):
        station(trust, bundle=str(DEMO_BUNDLE))


def test_without_keys_it_counts_as_unsigned(signed: Path) -> None:
    recipes = station({}, bundle=str(signed))
    loaded = recipes.load(recipes.first)
    loaded.close()
    assert loaded.model.signed_by is None


def test_a_key_that_cannot_be_read_is_a_fault_of_the_station_file(signed: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read as a public key"):
        station({"public_keys": ["/nowhere/key.pub"]}, bundle=str(signed))
