"""A station with a place file: what it tells of it, and how it reports regions."""

from __future__ import annotations

import copy
import hashlib
import shutil
from pathlib import Path

import cv2
import pytest
from jsonschema import Draft202012Validator

from edge.config.station import read_station
from edge.errors import ConfigError
from edge.messages.payload import schema
from edge.station.check import check_station
from edge.station.station import Station
from tests.support.bundles import CLEAREST, DEMO_BUNDLE, sign

PLACE = """
scale:
  mm_per_px: 0.02
  uncertainty_mm_per_px: 0.0001
  method: checkerboard
  measured_on: 2026-11-02
"""


def write(folder, place):
    (folder / "parts").mkdir(exist_ok=True)
    cv2.imwrite(str(folder / "parts" / "a.png"), cv2.imread(str(CLEAREST)))
    (folder / "place.yaml").write_text(place)
    path = folder / "station.yaml"
    path.write_text(
        f"node: n\nstation: s\nbundle: {DEMO_BUNDLE}\nplace: place.yaml\n"
        "camera: {source: 'file://parts'}\nmqtt: {broker: none}\n"
    )
    return read_station(path)


def run(folder, place):
    results = []
    station = Station(write(folder, place), folder / "state", on_result=results.append)
    station.run()
    (result,) = results
    return station, result


def test_scale_and_hash_of_the_place_are_told(tmp_path) -> None:
    station, result = run(tmp_path, PLACE)
    view = result["views"][0]
    assert view["mm_per_px"] == 0.02
    defect = result["defects"][0]
    assert defect["area_mm2"] == pytest.approx(defect["area_px"] * 0.0004, rel=2e-2)
    info = station._states._newest["info"]
    assert not list(Draft202012Validator(schema("info")).iter_errors(info))
    assert info["place"] == {
        "sha256": hashlib.sha256((tmp_path / "place.yaml").read_bytes()).hexdigest(),
        "has_lens": False,
        "has_rectification": False,
        "mm_per_px": 0.02,
        "uncertainty_mm_per_px": 0.0001,
        "method": "checkerboard",
        "measured_on": "2026-11-02",
    }


def bundle_with_geometry(folder: Path, fast_bundle: Path) -> Path:
    bundle = folder / "seen"
    shutil.copytree(fast_bundle, bundle)
    with (bundle / "recipe.yaml").open("a") as recipe:
        recipe.write(
            "geometry: {rotate: 90, region: {polygon_xy: [[0.1, 0.2], [0.9, 0.2], [0.5, 0.8]], "
            "unit: share}, ignore: [{rectangle_xywh: [0, 0, 0.1, 0.1], unit: share}]}\n"
        )
    return sign(bundle)


def test_the_geometry_and_the_place_of_each_camera_are_told(tmp_path, fast_bundle) -> None:
    bundle = bundle_with_geometry(tmp_path, fast_bundle)
    write(tmp_path, PLACE)
    path = tmp_path / "station.yaml"
    path.write_text(
        f"node: n\nstation: s\nbundle: {bundle}\nmqtt: {{broker: none}}\n"
        "trigger: {by: interval, period_s: 60}\ncameras:\n"
        "- {name: top, source: 'test://conveyor'}\n"
        f"- {{name: left, source: 'test://conveyor', bundle: {fast_bundle}, place: place.yaml}}\n"
    )
    station = Station(read_station(path), tmp_path / "state")
    try:
        info = station._states._newest["info"]
    finally:
        station._cleanup.close()
    assert not list(Draft202012Validator(schema("info")).iter_errors(info))
    geometry = copy.deepcopy(info["geometry"])
    assert len(geometry.pop("sha256")) == 64
    box = geometry["region"].pop("box")
    assert box == pytest.approx([0.1, 0.2, 0.8, 0.6])
    assert geometry == {
        "has_lens": False,
        "has_rectification": False,
        "rotate": 90,
        "has_alignment": False,
        "size": None,
        "region": {"shape": "polygon", "unit": "share"},
        "ignored": 1,
    }
    assert info["place"] is None
    top, left = info["cameras"]
    assert (top["geometry"], top["place"]) == (info["geometry"], None)
    assert (left["geometry"], left["place"]["mm_per_px"]) == (None, 0.02)


def test_a_bad_place_file_stops_the_start(tmp_path) -> None:
    with pytest.raises(ConfigError, match=r"place\.yaml:1: scale\.mm_per_px: input should be"):
        check_station(write(tmp_path, "scale: {mm_per_px: -1}"))
    with pytest.raises(ConfigError, match=r"place\.yaml:1: lense: unknown key; did you mean lens"):
        check_station(write(tmp_path, "lense: {}"))
    (tmp_path / "place.yaml").unlink()
    with pytest.raises(ConfigError, match=r"place\.yaml: no such file"):
        check_station(read_station(tmp_path / "station.yaml"))


def test_frames_that_do_not_fit_the_lens_are_undecided(tmp_path) -> None:
    lens = "lens: {size_wh: [640, 480], focal_xy_px: [700, 700], centre_xy_px: [320, 240], "
    _, result = run(tmp_path, lens + "distortion: [-0.2, 0, 0, 0, 0]}\n")
    assert (result["result"], result["reason"]) == ("undecided", "image_quality")
    assert "lens: expected a frame of 640x480" in result["detail"]
