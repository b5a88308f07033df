"""Manifests of Lookout for Vision become labels.csv, and that is read as a data set."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from edge.data.image_set import read_image_set
from edge.data.lookout_manifest import Labelled, read_manifest, write_labels
from edge.errors import DataError
from edge.picture_file import encode_picture


def line(name: str, label: str, *types: str) -> str:
    entry: dict[str, object] = {
        "source-ref": f"s3://bucket/train/{name}",
        "anomaly-label": int(label == "anomaly"),
        "anomaly-label-metadata": {"class-name": label, "type": "groundtruth/image-classification"},
    }
    if types:
        colours = {"0": {"class-name": "BACKGROUND", "hex-color": "#ffffff"}}
        colours |= {str(i): {"class-name": name} for i, name in enumerate(types, 1)}
        entry["anomaly-mask-ref"] = f"s3://bucket/masks/{name}"
        entry["anomaly-mask-ref-metadata"] = {"internal-color-map": colours}
    return json.dumps(entry)


def write_manifest(folder: Path, *lines: str) -> Path:
    path = folder / "train.manifest"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_classes_and_types_are_read(tmp_path: Path) -> None:
    unlabelled = json.dumps({"source-ref": "s3://bucket/e.png"})
    path = write_manifest(
        tmp_path, line("a.png", "normal"), line("b.png", "anomaly", "scratch"), "",
        line("c.png", "anomaly", "scratch", "dent"), line("d.png", "anomaly"), unlabelled,
    )  # fmt: skip
    assert read_manifest(path) == [
        Labelled("a.png", "OK", ""),
        Labelled("b.png", "NOK", "scratch"),
        Labelled("c.png", "NOK", ""),
        Labelled("d.png", "NOK", ""),
    ]


def test_pictures_with_the_written_labels_are_a_data_set(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    names = [f"{i}.png" for i in range(8)]
    for name in names:
        pixels = rng.integers(0, 256, (16, 16, 3), np.uint8)
        (tmp_path / name).write_bytes(encode_picture(pixels))
    lines = [line(name, "normal") for name in names[:6]]
    path = write_manifest(
        tmp_path, *lines, line(names[6], "anomaly", "scratch"), line(names[7], "anomaly")
    )
    assert len(write_labels(path, tmp_path)) == 8
    images = read_image_set(tmp_path)
    assert [sample.path.name for sample in images.train] == names[:6]
    assert {sample.path.name: sample.label for sample in images.test} == {
        "6.png": "scratch",
        "7.png": "defect",
    }
    with pytest.raises(DataError, match="exists"):
        write_labels(path, tmp_path)


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (["{"], "line 1: expected one JSON object with source-ref"),
        (['{"a": 1}'], "line 1: expected one JSON object with source-ref"),
        ([line("a.png", "maybe")], "line 1: expected class-name normal or anomaly, found maybe"),
        ([line("a.png", "normal"), line("a.png", "anomaly")], "several pictures named a.png"),
        (['{"source-ref": "s3://b/a.png"}'], "found none"),
    ],
)
def test_what_is_no_manifest_is_refused_in_one_line(
    lines: list[str], words: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=words) as caught:
        read_manifest(write_manifest(tmp_path, *lines))
    assert "\n" not in str(caught.value)


def test_missing_pictures_are_named(tmp_path: Path) -> None:
    path = write_manifest(tmp_path, line("a.png", "normal"))
    with pytest.raises(DataError, match=r"1 are missing: a\.png"):
        write_labels(path, tmp_path)
    assert not (tmp_path / "labels.csv").exists()
