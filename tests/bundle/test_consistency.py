"""Numbers of a bundle that are out of range, or do not follow from each other, are refused."""

from __future__ import annotations

import io
import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from edge.bundle.conformal import bound_of_parts, is_bound_of_parts
from edge.bundle.store import open_bundle
from edge.errors import BundleCorrupt, BundleIncompatible
from tests.support.bundles import DEMO_BUNDLE, make_bundle_for, sign

NAN, INF = float("nan"), float("inf")


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return Path(shutil.copytree(DEMO_BUNDLE, tmp_path / "bundle"))


def change(path: Path, *keys: Any, to: Any) -> None:
    """Set one value of a JSON or YAML file; `to` may compute it from the old one."""
    text = path.read_text()
    data = yaml.safe_load(text) if path.suffix == ".yaml" else json.loads(text)
    inner = data
    for key in keys[:-1]:
        inner = inner[key]
    inner[keys[-1]] = to(inner[keys[-1]]) if callable(to) else to
    dump: Callable[[Any], str] = yaml.safe_dump if path.suffix == ".yaml" else json.dumps
    path.write_text(dump(data))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("value", NAN), ("value", INF), ("value", -INF), ("value", 1e9), ("value", 0.9),
        ("value", -1.0), ("value", None), ("value", "x"),
        ("alpha", 0), ("alpha", 1), ("alpha", -0.1), ("alpha", NAN), ("alpha", 0.01),
        ("n", 0), ("n", 47), ("n", 10**400), ("n", -1), ("groups", 0), ("groups", 49),
        ("groups", 11), ("rank", 0), ("rank", 47), ("rank", 49),
        ("bound95", 0.0), ("bound95", NAN), ("bound95", 0.01), ("bound95", 1.0),
    ],
)  # fmt: skip
def test_thresholds(bundle: Path, key: str, value: Any) -> None:
    change(bundle / "thresholds.json", "score", key, to=value)
    sign(bundle)
    with pytest.raises(BundleCorrupt, match=r"thresholds\.json: ") as error:
        open_bundle(bundle)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "to",
    [
        [], [0.1] * 48, lambda s: [*s[:-1], NAN], lambda s: [*s[:-1], INF], lambda s: s[::-1],
        lambda s: s[:-1], lambda s: [*s[:-1], 1e9], lambda s: [*s[:-1], "x"], {"a": 1},
    ],
)  # fmt: skip
def test_calibration_scores(bundle: Path, to: Any) -> None:
    change(bundle / "calibration" / "scores.json", "scores", to=to)
    sign(bundle)
    with pytest.raises(BundleCorrupt):
        open_bundle(bundle)


@pytest.mark.parametrize("value", [NAN, 1e9, 0.0])
def test_thresholds_of_a_product(tmp_path: Path, value: float) -> None:
    folder = make_bundle_for(tmp_path, "all", {"lid": 0.5})
    change(folder / "thresholds.json", "products", "lid", "score", "value", to=value)
    sign(folder)
    with pytest.raises(BundleCorrupt, match=r"products\.lid\.score|found NaN"):
        open_bundle(folder)


@pytest.mark.parametrize(
    ("keys", "value"),
    [
        (("score_tolerance",), NAN), (("score_tolerance",), 1e9), (("score_tolerance",), -1.0),
        (("score_tolerance",), 0), (("map_tolerance",), INF), (("map_tolerance",), 1e9),
        (("images",), []), (("images", 0, "score"), NAN), (("images", 0, "score"), 2.0),
        (("images", 3, "verdict"), "pass"), (("images", 0, "label"), ""),
        (("images", 1, "file"), "golden/00_good.png"), (("images", 0, "file"), "golden/none.png"),
        (("maps_file",), "../maps.npz"),
    ],
)  # fmt: skip
def test_golden_set(bundle: Path, keys: tuple, value: Any) -> None:
    change(bundle / "golden" / "golden.json", *keys, to=value)
    sign(bundle)
    with pytest.raises(BundleCorrupt):
        open_bundle(bundle)


@pytest.mark.parametrize(
    ("keys", "value"),
    [
        (("size_wh",), [0, 256]), (("size_wh",), [256, -1]), (("size_wh",), [10**9, 256]),
        (("size_wh",), [128, 128]), (("tiles_wh",), [0, 1]), (("tiles_wh",), [10**6, 1]),
        (("overlap",), NAN), (("overlap",), 1.0), (("mm_per_px",), NAN), (("mm_per_px",), INF),
        (("mm_per_px",), -1), (("mm_per_px",), 0), (("product",), ""), (("product",), "a\nb"),
        (("types_size_wh",), [64, 64]),
        (("defect_types",), ["a", "a", "b", "c", "d", "e"]),
        (("defect_types",), ["Open", "open", "b", "c", "d", "e"]),
        (("defect_types",), ["", "a", "b", "c", "d", "e"]),
        (("defect_types",), [" ", "a", "b", "c", "d", "e"]),
        (("frame_quality", "mean"), [NAN, 255]), (("frame_quality", "std"), [0, INF]),
    ],
)  # fmt: skip
def test_recipe(bundle: Path, keys: tuple, value: Any) -> None:
    change(bundle / "recipe.yaml", *keys, to=value)
    sign(bundle)
    with pytest.raises(BundleCorrupt):
        open_bundle(bundle)


GRAPH = ("graphs", 0)


@pytest.mark.parametrize(
    ("keys", "value"),
    [
        (("parity",), []), (("parity", 0, "passed"), False), (("parity", 0, "verdict_flips"), 1),
        (("parity", 0, "score_difference"), NAN), (("parity", 0, "map_correlation"), NAN),
        (("parity", 0, "map_correlation"), 7), (("parity", 0, "images"), 0),
        (("name",), ""), (("version",), " "),
        ((*GRAPH, "inputs"), []), ((*GRAPH, "outputs"), []),
        ((*GRAPH, "inputs", 0, "shape"), [1, 256, 256, 4]),
        ((*GRAPH, "inputs", 0, "shape"), [2, 256, 256, 3]),
        ((*GRAPH, "inputs", 0, "shape"), [1, 256, 256]),
        ((*GRAPH, "inputs", 0, "shape"), [1, 256, 10**9, 3]),
        ((*GRAPH, "inputs", 0, "shape"), [1, 0, 256, 3]),
        ((*GRAPH, "inputs", 0, "dtype"), "float32"),
        ((*GRAPH, "outputs", 0, "name"), "other"), ((*GRAPH, "outputs", 1, "name"), "map"),
        ((*GRAPH, "outputs", 1, "shape"), [1, 1]), ((*GRAPH, "outputs", 0, "shape"), [128]),
        ((*GRAPH, "outputs", 0, "dtype"), "uint8"),
        ((*GRAPH, "outputs", 2, "shape"), [1, 6, 16, 16]),
    ],
)  # fmt: skip
def test_manifest(bundle: Path, keys: tuple, value: Any) -> None:
    change(bundle / "bundle.json", *keys, to=value)
    with pytest.raises(BundleCorrupt) as error:
        open_bundle(bundle)
    assert "\n" not in str(error.value)


def npz(**arrays: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in arrays.items():
            archive.writestr(f"{name}.npy", data)
    return stream.getvalue()


def npy(array: np.ndarray, shape: str | None = None) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    data = stream.getvalue()
    if shape is None:
        return data
    old = str(array.shape).encode()
    return data.replace(old, shape.encode().ljust(len(old)))


def maps(first: bytes) -> bytes:
    other = npy(np.zeros((128, 128), np.float32))
    return npz(map0=first, **{f"map{index}": other for index in range(1, 6)})


@pytest.mark.parametrize(
    "data",
    [
        maps(npy(np.array([["x"]], dtype=object))),
        maps(npy(np.zeros((128, 128), np.float64))),
        maps(npy(np.zeros((64, 64), np.float32))),
        maps(npy(np.full((128, 128), NAN, np.float32))),
        maps(npy(np.zeros((128, 128), np.float32), "(9**9, 9)")),
        maps(npy(np.zeros((128, 128), np.float32), "(99999,99)")),
        maps(b"\x93NUMPY\x01\x00\xff\xff{" + b"(" * 9000),
        maps(b""),
        npz(map0=npy(np.zeros((128, 128), np.float32))),
        b"",
    ],
    ids=["object", "double", "small", "nan", "power", "huge", "deep", "empty", "few", "nothing"],
)
def test_golden_maps(bundle: Path, data: bytes) -> None:
    (bundle / "golden" / "maps.npz").write_bytes(data)
    with pytest.raises(BundleCorrupt, match="expected one map for each golden picture"):
        open_bundle(sign(bundle)).golden_maps()


def test_golden_maps_that_unpack_to_gigabytes(bundle: Path) -> None:
    with zipfile.ZipFile(bundle / "golden" / "maps.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        for index in range(6):
            with archive.open(f"map{index}.npy", "w") as stream:
                stream.write(npy(np.zeros((128, 128), np.float32)) + bytes(2**23))
    with pytest.raises(BundleCorrupt, match="expected one map for each golden picture"):
        open_bundle(sign(bundle)).golden_maps()


def test_a_bundle_that_shows_no_rejection_cannot_be_tested(bundle: Path) -> None:
    path = bundle / "golden" / "golden.json"
    change(path, "images", to=lambda images: [i for i in images if i["verdict"] == "pass"])
    with pytest.raises(BundleIncompatible, match="a golden picture that fails, found none"):
        open_bundle(sign(bundle)).test_pictures()


def test_a_bundle_that_shows_no_rejection_for_a_product(tmp_path: Path) -> None:
    folder = make_bundle_for(tmp_path, "all", {"lid": 0.5, "box": 1.1})
    passing, failing = open_bundle(folder).test_pictures()
    assert (passing.verdict, failing.score > 1.1) == ("pass", True)
    path = folder / "golden" / "golden.json"
    change(path, "images", to=lambda images: [i for i in images if i["score"] < 1.1])
    images = json.loads(path.read_text())["images"]
    change(path, "images", to=[*images, {**images[-1], "file": "golden/03_scar.png",
                                         "score": 1.0, "verdict": "fail"}])  # fmt: skip
    with pytest.raises(BundleIncompatible, match="that fails by the threshold of box"):
        open_bundle(sign(folder)).test_pictures()


@pytest.mark.parametrize(("groups", "alpha"), [(12, 0.02), (99, 0.01), (3000, 0.01), (1, 0.5)])
def test_a_bound_is_recognised_without_a_search(groups: int, alpha: float) -> None:
    bound = bound_of_parts(groups, alpha)
    assert is_bound_of_parts(groups, alpha, bound)
    assert not is_bound_of_parts(groups, alpha, bound * 1.001)
    assert not is_bound_of_parts(groups, alpha, bound * 0.999)
