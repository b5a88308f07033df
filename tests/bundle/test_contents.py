"""Only listed, hashed, regular files of a bundle are read."""

from __future__ import annotations

import json
import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from edge.bundle.store import OWN_PICTURES, open_bundle
from edge.errors import BundleCorrupt
from tests.support.bundles import DEMO_BUNDLE, edit_json, make_bundle_for


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return Path(shutil.copytree(DEMO_BUNDLE, tmp_path / "bundle"))


def relist(folder: Path, change: Callable[[dict[str, str]], object]) -> None:
    files = json.loads((folder / "bundle.json").read_text())["files"]
    change(files)
    edit_json(folder / "bundle.json", files=files)


@pytest.mark.parametrize(
    "name",
    [
        "recipe.yaml", "thresholds.json", "calibration/scores.json", "golden/golden.json",
        "golden/maps.npz", "golden/00_good.png", "golden/05_cut_paste.png", OWN_PICTURES,
    ],
)  # fmt: skip
def test_a_file_that_is_read_must_be_listed(bundle: Path, name: str) -> None:
    relist(bundle, lambda files: files.pop(name))
    with pytest.raises(BundleCorrupt, match=f"{name}: expected its hash in bundle.json"):
        open_bundle(bundle)


def test_the_scores_of_a_product_must_be_listed(tmp_path: Path) -> None:
    folder = make_bundle_for(tmp_path, "all", {"lid": 0.5})
    relist(folder, lambda files: files.pop("calibration/lid.json"))
    with pytest.raises(BundleCorrupt, match=r"calibration/lid\.json: expected its hash"):
        open_bundle(folder)


def test_a_graph_must_be_listed(bundle: Path) -> None:
    relist(bundle, lambda files: files.pop("models/inpformer.fp32.onnx"))
    with pytest.raises(BundleCorrupt, match="graphs without a hash"):
        open_bundle(bundle)


@pytest.mark.parametrize(
    "name",
    [
        "/etc/passwd", "../x", "a/../b", "./recipe.yaml", "golden//x", "golden/", "a\\b", "C:/x",
        "", ".", "a\x00b", "a\nb", "RECIPE.yaml", "Golden/00_good.png", "bundle.json",
        "signature.json", "x" * 300,
    ],
)  # fmt: skip
def test_a_name_that_could_be_read_in_two_ways_is_refused(bundle: Path, name: str) -> None:
    relist(bundle, lambda files: files.update({name: "0" * 64}))
    with pytest.raises(BundleCorrupt, match=r"bundle\.json: files"):
        open_bundle(bundle)


def test_a_key_given_twice_is_refused(bundle: Path) -> None:
    path = bundle / "bundle.json"
    path.write_text(path.read_text().replace('"files":', '"name": "other", "files":'))
    with pytest.raises(BundleCorrupt, match="the key 'name' is given twice"):
        open_bundle(bundle)


def as_link(path: Path) -> None:
    path.rename(path.with_suffix(".away"))
    path.symlink_to(path.with_suffix(".away"))


def as_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def as_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def as_socket(path: Path) -> None:
    path.unlink()
    here = Path.cwd()
    os.chdir(path.parent)  # the path of a socket is short
    try:
        with socket.socket(socket.AF_UNIX) as one:
            one.bind(path.name)
    finally:
        os.chdir(here)


@pytest.mark.parametrize(
    ("change", "kind"),
    [(as_link, "a link"), (as_pipe, "a pipe"), (as_folder, "a folder"), (as_socket, "a socket")],
)
@pytest.mark.parametrize(
    "name", ["recipe.yaml", "golden/00_good.png", "models/inpformer.fp32.onnx", "bundle.json"]
)
def test_what_is_no_regular_file_is_refused(bundle: Path, name: str, change, kind: str) -> None:
    change(bundle / name)
    with pytest.raises(BundleCorrupt, match=f"{name} cannot be read: .*found {kind}"):
        open_bundle(bundle)


def test_a_folder_inside_that_is_a_link_is_refused(bundle: Path) -> None:
    (bundle / "golden").rename(bundle.parent / "golden")
    (bundle / "golden").symlink_to(bundle.parent / "golden")
    with pytest.raises(BundleCorrupt, match="expected a folder, found a link"):
        open_bundle(bundle)


def test_the_folder_itself_may_be_a_link(bundle: Path) -> None:
    current = bundle.parent / "current"
    current.symlink_to(bundle)
    assert open_bundle(current).folder == bundle


def test_a_picture_exchanged_after_opening_is_seen(bundle: Path) -> None:
    opened = open_bundle(bundle)
    image = opened.golden().images[0]
    shutil.copyfile(bundle / "golden" / "01_good.png", bundle / image.file)
    with pytest.raises(BundleCorrupt, match=r"00_good\.png was altered"):
        opened.golden_pixels(image)


def test_a_file_that_nobody_reads_need_not_be_listed(bundle: Path) -> None:
    (bundle / ".DS_Store").write_bytes(b"x")
    assert open_bundle(bundle).manifest.name == "pcb_traces"
