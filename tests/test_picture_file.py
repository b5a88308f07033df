"""One decoder: what the line refuses, training, evaluation and bundle refuse in the same words."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from edge.bundle.manifest import GoldenImage
from edge.bundle.store import Bundle, sha256
from edge.cameras.factory import make_source
from edge.config.camera import CameraSettings
from edge.data.frames import InputShape, input_batches
from edge.data.image_set import Sample, read_image_set, read_mask, read_pixels
from edge.data.labelled_pictures import TypedPicture, read_ids
from edge.errors import BundleCorrupt, DataError
from edge.evaluation.report.pictures import figure
from edge.picture_file import SUFFIXES, is_picture, read_grey, read_picture

Pixels = NDArray[np.uint8]


def bundle_at(folder: Path) -> Bundle:
    """A bundle of which only the golden pictures are read."""
    hashes = {path.name: sha256(path) for path in folder.iterdir() if path.is_file()}
    return Bundle(folder, "id", SimpleNamespace(files=hashes), None, None, ())


def on_the_line(path: Path) -> Pixels:
    source = make_source(CameraSettings(name="top", source=f"file://{path}"))
    source.open()
    frame = source.read()
    if frame.pixels_bgr is None:
        raise ValueError(frame.fault)
    return frame.pixels_bgr


def in_the_bundle(path: Path) -> Pixels:
    image = GoldenImage(file=path.name, label="good", score=0.0, verdict="pass")
    return bundle_at(path.parent).golden_pixels(image)


def in_training(path: Path) -> Pixels:
    height, width = 60, 80
    (inputs,) = input_batches([Sample(path, "good", "g")], InputShape((width, height)))
    return inputs[0][..., ::-1]


READERS = {
    "line": on_the_line,
    "bundle": in_the_bundle,
    "training": in_training,
    "data": read_pixels,
    "ground": read_picture,
}


def noise(dtype: type = np.uint8) -> NDArray[np.integer]:
    limit = np.iinfo(dtype).max
    return np.random.default_rng(0).integers(0, limit, (60, 80, 3), dtype)


@pytest.mark.parametrize("suffix", sorted(SUFFIXES))
def test_all_read_equal_pixels_of_8_bit_files_as_opencv_does(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"x{suffix}"
    cv2.imwrite(str(path), noise())
    expected = cv2.imread(str(path), cv2.IMREAD_COLOR)
    for name, read in READERS.items():
        assert np.array_equal(read(path), expected), name


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_all_keep_the_upper_8_of_16_bits(tmp_path: Path, suffix: str) -> None:
    path, pixels = tmp_path / f"x{suffix}", noise(np.uint16)
    cv2.imwrite(str(path), pixels)
    for name, read in READERS.items():
        assert np.array_equal(read(path), pixels >> 8), name


@pytest.mark.parametrize(
    ("suffix", "keep", "words"),
    [
        (".jpg", 0.5, r"JPEG cut short after \d+ bytes"),
        (".jpg", 0.999, r"JPEG cut short after \d+ bytes"),
        (".png", 0.5, r"PNG cut short after \d+ bytes"),
        (".bmp", 0, "the file is empty"),
    ],
)
def test_all_refuse_a_damaged_file_in_the_same_words(
    tmp_path: Path, suffix: str, keep: float, words: str
) -> None:
    path = tmp_path / f"x{suffix}"
    data = cv2.imencode(suffix, noise())[1].tobytes()
    path.write_bytes(data[: int(keep * len(data))])
    for name, read in READERS.items():
        with pytest.raises((ValueError, DataError, BundleCorrupt), match=words) as raised:
            read(path)
        assert "\n" not in str(raised.value), name


def test_training_and_evaluation_name_the_file_and_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "part.jpg"
    path.write_bytes(cv2.imencode(".jpg", noise())[1].tobytes()[:500])
    words = rf"{path}: JPEG cut short after 500 bytes; repair it or take it out of the set"
    sample = Sample(path, "good", "g")
    steps: list[Callable[[], object]] = [
        lambda: read_pixels(path),
        lambda: next(iter(input_batches([sample], InputShape((8, 8))))),
        lambda: figure(sample, [], "", ""),
    ]
    for step in steps:
        with pytest.raises(DataError, match=words):
            step()


def test_a_golden_picture_that_is_damaged_makes_the_bundle_corrupt(tmp_path: Path) -> None:
    (tmp_path / "00_good.png").write_bytes(cv2.imencode(".png", noise())[1].tobytes()[:500])
    with pytest.raises(BundleCorrupt, match=r"PNG cut short after 500 bytes; copy the bundle"):
        in_the_bundle(tmp_path / "00_good.png")


def with_mask(folder: Path, mask: bytes) -> Sample:
    (folder / "m.png").write_bytes(mask)
    return Sample(folder / "x.png", "hole", "g", folder / "m.png")


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_both_kinds_of_mask_come_from_one_reader(tmp_path: Path, dtype: type) -> None:
    mask = np.zeros((20, 30), dtype)
    mask[5:10, 7:12] = np.iinfo(dtype).max
    mask[0, 0] = np.iinfo(dtype).max // 2
    sample = with_mask(tmp_path, cv2.imencode(".png", mask)[1].tobytes())
    expected = mask > 0  # every level of a mask means a defect
    assert np.array_equal(read_mask(sample, (30, 20)), expected)
    assert np.array_equal(read_ids(TypedPicture(sample, 0, 3), (30, 20)), 3 * expected)


def test_a_damaged_mask_is_refused_for_both(tmp_path: Path) -> None:
    whole = cv2.imencode(".png", np.zeros((20, 30), np.uint8))[1].tobytes()
    sample = with_mask(tmp_path, whole[:-4])
    words = r"m\.png: PNG cut short after \d+ bytes; repair it or take its picture out"
    with pytest.raises(DataError, match=words):
        read_mask(sample, (30, 20))
    with pytest.raises(DataError, match=words):
        read_ids(TypedPicture(sample, 0, 3), (30, 20))


def test_grey_is_the_level_itself_where_all_channels_agree(tmp_path: Path) -> None:
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    cv2.imwrite(str(tmp_path / "g.png"), levels)
    assert np.array_equal(read_grey(tmp_path / "g.png"), levels)


def test_line_and_training_take_files_of_the_same_names(tmp_path: Path) -> None:
    names = [f"a{suffix}" for suffix in SUFFIXES]
    names += [name.upper() for name in names]
    pixels = noise()
    for name in [*names, "._a.png"]:
        (tmp_path / name).write_bytes(cv2.imencode(Path(name).suffix.lower(), pixels)[1].tobytes())
    (tmp_path / "notes.txt").write_text("no picture")
    assert is_picture("a.JPG")
    assert not is_picture("._a.png")
    assert not is_picture("a.gif")
    samples = read_image_set(tmp_path).train
    assert sorted(sample.path.name for sample in samples) == sorted(names)
    source = make_source(CameraSettings(name="top", source=f"file://{tmp_path}"))
    source.open()
    taken = []
    while (frame := source.read()) is not None:
        taken.append(frame.part.id)
    assert sorted(taken) == sorted(names)
