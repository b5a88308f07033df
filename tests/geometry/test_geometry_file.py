"""The geometry file: what it may say, and the line for each mistake."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edge.errors import ConfigError
from edge.geometry.geometry import Geometry, read_geometry
from edge.picture_file import encode_picture


def written(folder: Path, text: str) -> Path:
    path = folder / "geometry.yaml"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("rotate: 45\n", "rotate: "),
        ("region: {}\n", "region: expected one of rectangle_xywh and polygon_xy"),
        ("region: {rectangle_xywh: [0, 0, 0, 9]}\n", "region.rectangle_xywh"),
        ("region: {polygon_xy: [[0, 0], [9, 9]]}\n", "region.polygon_xy"),
        ("region: {polygon_xy: [[0, 0], [9, 0], [5, 0]]}\n", "enclose an area"),
        ("region: {rectangle_xywh: [0, 0, 2, 1], unit: share}\n", "shares from 0 to 1"),
        (
            "region: {rectangle_xywh: [0, 0, 99, 9]}\nsize_wh: [64, 64]\n",
            "inside the view of 64x64",
        ),
        ("ignore:\n- file: absent.png\n", "absent.png"),
        ("ignore:\n- file: black.png\n", "in white, found none"),
        ("ignore:\n- {file: white.png, rectangle_xywh: [0, 0, 9, 9]}\n", "expected one of file"),
        ("place: absent.yaml\n", "absent.yaml"),
        ("regoin: {}\n", "did you mean region"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, text: str, problem: str) -> None:
    for name, level in (("black", 0), ("white", 255)):
        (tmp_path / f"{name}.png").write_bytes(encode_picture(np.full((32, 32), level, np.uint8)))
    with pytest.raises(ConfigError, match=problem):
        read_geometry(written(tmp_path, text))


def test_only_a_geometry_file_may_name_files() -> None:
    # A bundle's recipe must not read what lies on the station.
    for named in ({"ignore": [{"file": "/etc/hostname"}]}, {"place": "/etc/hostname"}):
        with pytest.raises(ValueError, match="in a geometry file only"):
            Geometry.model_validate(named)


def test_the_example_is_read() -> None:
    geometry = read_geometry(Path(__file__).parents[2] / "configs" / "geometry.yaml")
    assert geometry.region is not None
    assert geometry.ignore
