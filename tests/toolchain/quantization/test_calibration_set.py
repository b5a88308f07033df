"""The frozen calibration set: what was collected, or nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.data.frames import InputShape, network_inputs
from edge.errors import DataError
from edge.toolchain.quantization.calibration_set import (
    MANIFEST,
    CalibrationSet,
    freeze_calibration_set,
    read_calibration_set,
)

ROOT = Path(__file__).resolve().parents[3]
SHAPE = InputShape((48, 32), (2, 1), 0.1)


def pictures(count: int = 4) -> list[tuple[np.ndarray, str]]:
    rng = np.random.default_rng(0)
    return [(rng.integers(0, 255, (50, 90, 3), np.uint8), f"part {i}") for i in range(count)]


@pytest.fixture
def kept(tmp_path: Path) -> CalibrationSet:
    return freeze_calibration_set(tmp_path / "set", pictures(), "test://here")


def test_it_gives_back_what_the_line_would_feed_the_network(kept: CalibrationSet) -> None:
    again = read_calibration_set(kept.folder, kept.id)
    assert again.manifest.count == 4
    assert [picture.origin for picture in again.manifest.pictures][:2] == ["part 0", "part 1"]
    expected = np.concatenate([network_inputs(pixels, SHAPE) for pixels, _ in pictures()])
    assert np.array_equal(again.frames(SHAPE), expected)
    assert expected.shape == (8, 32, 48, 3)


def alter(folder: Path) -> None:
    path = folder / "pictures" / "0002.png"
    cv2.imwrite(str(path), 255 - cv2.imread(str(path)))


def remove(folder: Path) -> None:
    (folder / "pictures" / "0001.png").unlink()


def add(folder: Path) -> None:
    (folder / "pictures" / "9999.png").write_bytes(b"")


def miscount(folder: Path) -> None:
    data = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).write_text(json.dumps({**data, "count": 5}))


def lead_out(folder: Path) -> None:
    text = (folder / MANIFEST).read_text().replace("pictures/0000.png", "../0000.png")
    (folder / MANIFEST).write_text(text)


def garble(folder: Path) -> None:
    (folder / MANIFEST).write_text("{")


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (alter, r"pictures/0002\.png was altered \(expected sha256 "),
        (remove, r"pictures/0001\.png is missing"),
        (add, r"pictures/9999\.png was added"),
        (miscount, "expected 5 pictures, found 4"),
        (lead_out, "expected a relative path inside"),
        (garble, "is not JSON"),
    ],
)
def test_a_tampered_set_is_refused_in_one_line(kept: CalibrationSet, harm, words: str) -> None:
    harm(kept.folder)
    with pytest.raises(DataError, match=words) as refusal:
        read_calibration_set(kept.folder)
    assert "\n" not in str(refusal.value)
    assert str(refusal.value).endswith("collect it again")


def test_another_set_is_not_the_one_that_was_meant(kept: CalibrationSet, tmp_path: Path) -> None:
    other = freeze_calibration_set(tmp_path / "other", pictures(3), "test://here")
    with pytest.raises(DataError, match=f"expected the set {kept.id[:12]}, found {other.id[:12]}"):
        read_calibration_set(other.folder, kept.id)


def test_a_set_is_never_changed_and_never_empty(kept: CalibrationSet, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="exists; a calibration set is never changed"):
        freeze_calibration_set(kept.folder, pictures(), "test://here")
    with pytest.raises(DataError, match="expected pictures from test://none, got none"):
        freeze_calibration_set(tmp_path / "empty", [], "test://none")
    assert not (tmp_path / "empty").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["set"]


def collect(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "calibration/collect.py", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)


def test_the_command_freezes_a_folder(tmp_path: Path) -> None:
    for index, (pixels, _) in enumerate(pictures(5)):
        (tmp_path / "parts").mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / "parts" / f"{index}.png"), pixels)
    out = tmp_path / "set"
    done = collect(f"file://{tmp_path / 'parts'}", "--out", out, "--count", 2, "--every", 2)
    assert done.returncode == 0, done.stderr
    found = read_calibration_set(out)
    assert done.stdout.startswith(found.id)
    assert [picture.origin for picture in found.manifest.pictures] == ["0.png", "2.png"]
    again = collect(f"file://{tmp_path / 'parts'}", "--out", out)
    assert again.returncode == 1
    assert again.stderr.startswith("error: ")
    assert len(again.stderr.splitlines()) == 1


def test_the_command_keeps_only_parts_that_pass(tmp_path: Path) -> None:
    """The demo's station watches good parts, some of which it rejects, and defects."""
    out = tmp_path / "set"
    done = collect("configs/demo.yaml", "--out", out, "--count", 1000)
    assert done.returncode == 0, done.stderr
    kept = [picture.origin for picture in read_calibration_set(out).manifest.pictures]
    assert kept
    assert all(origin.startswith("good/") for origin in kept), kept
    plain = tmp_path / "plain"
    done = collect(f"file://{ROOT / 'demo' / 'images'}", "--out", plain, "--count", 1000)
    assert done.returncode == 0, done.stderr
    good = [picture.origin for picture in read_calibration_set(plain).manifest.pictures]
    assert set(kept) <= set(good)
    assert len(good) == len(list((ROOT / "demo" / "images" / "good").iterdir()))
