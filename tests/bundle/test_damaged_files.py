"""Damaged documents of a bundle end in one line, whatever a library makes of them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from edge.bundle.manifest import MANIFEST
from edge.bundle.store import GOLDEN_MAPS, SCORES, open_bundle
from edge.errors import BundleCorrupt
from tests.support.bundles import DEMO_BUNDLE, sign

DEEP = "[" * 3000


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return Path(shutil.copytree(DEMO_BUNDLE, tmp_path / "bundle"))


@pytest.mark.parametrize("text", [f'{{"schema": {DEEP}', "[]", "", "\x00", '{"schema": 1e999'])
def test_a_manifest_that_is_no_object(bundle: Path, text: str) -> None:
    (bundle / MANIFEST).write_text(text)
    with pytest.raises(BundleCorrupt, match="is not a JSON object"):
        open_bundle(bundle)


@pytest.mark.parametrize("text", [f'{{"scores": {DEEP}', '{"scores": [null]}', "7"])
def test_calibration_scores_that_are_no_numbers(bundle: Path, text: str) -> None:
    (bundle / SCORES).write_text(text)
    sign(bundle)
    with pytest.raises(BundleCorrupt, match="scores"):
        open_bundle(bundle)


@pytest.mark.parametrize("damage", ["cut", "text", "empty", "fewer"])
def test_golden_maps_that_cannot_be_read(bundle: Path, damage: str) -> None:
    path = bundle / GOLDEN_MAPS
    data = path.read_bytes()
    if damage == "fewer":
        golden = json.loads((bundle / "golden/golden.json").read_text())
        golden["images"] = golden["images"][:-1]
        (bundle / "golden/golden.json").write_text(json.dumps(golden))
    else:
        path.write_bytes(
            {"cut": data[: len(data) // 2], "text": b"PK" + DEEP.encode()}.get(damage, b"")
        )
    sign(bundle)
    with pytest.raises(BundleCorrupt, match="expected one map for each golden picture"):
        open_bundle(bundle).golden_maps()
