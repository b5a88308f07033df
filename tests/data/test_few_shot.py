"""Few-shot and multi-class training sets."""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from edge.data.few_shot import COPIES, DEGREES, augment, choose_shots, write_shots
from edge.data.image_set import Sample, read_image_set, read_pixels
from edge.errors import DataError
from edge.methods.inp_former.fit import fit
from edge.methods.inp_former.request import Request
from edge.methods.inp_former.training_settings import TrainingSettings
from edge.methods.presets import find_preset
from edge.methods.run import read_calibration, read_record
from edge.toolchain.packing.pack import PackOptions, pack_bundle


def no_bar(_stage: str, _total: int):
    return lambda _done: None


@pytest.fixture
def picture() -> np.ndarray:
    """Smooth, coloured, and unlike itself under every turn and flip."""
    y, x = np.mgrid[0:61, 0:61] / 60
    channels = (x, y, 0.5 + 0.5 * np.sin(5 * x + 9 * y * y))
    return np.stack([255 * channel for channel in channels], -1).astype(np.uint8)


def sampled(picture: np.ndarray, theta: list[list[float]]) -> np.ndarray:
    """The published way: an affine grid in units of half sides, mirrored outside."""
    image = torch.from_numpy(picture).permute(2, 0, 1)[None].float()
    grid = torch.nn.functional.affine_grid(
        torch.tensor([theta]), list(image.shape), align_corners=False
    )
    out = torch.nn.functional.grid_sample(
        image, grid, padding_mode="reflection", align_corners=False
    )
    return out[0].permute(1, 2, 0).numpy()


def test_the_22_pictures_are_the_published_ones(picture: np.ndarray) -> None:
    made = augment(picture)
    assert len(made) == COPIES == 22
    assert all(p.shape == picture.shape and p.dtype == np.uint8 for p in made)
    expected = [picture]
    for angle in np.deg2rad(DEGREES):
        cos, sin = float(np.cos(angle)), float(np.sin(angle))
        expected.append(sampled(picture, [[cos, -sin, 0.0], [sin, cos, 0.0]]))
    for share in (0.2, 0.1):
        for a, b in ((1, 1), (-1, 1), (-1, -1), (1, -1)):
            expected.append(sampled(picture, [[1.0, 0.0, a * share], [0.0, 1.0, b * share]]))
    expected.append(picture[:, ::-1])
    luminance = picture @ np.array([0.114, 0.587, 0.299])
    expected.append(np.repeat(luminance[..., None], 3, -1))
    expected += [np.rot90(picture, quarters) for quarters in (1, 2, 3)]
    for theirs in expected:
        # As a set: the order is of no account.
        nearest = min(np.abs(ours.astype(float) - theirs).max() for ours in made)
        assert nearest < 8, "interpolation and rounding differ, the picture does not"
    distinct = {p.tobytes() for p in made}
    assert len(distinct) == 22


def test_frames_that_are_not_square_keep_their_shape(picture: np.ndarray) -> None:
    wide = cv2.resize(picture, (90, 60))
    made = augment(wide)
    assert {p.shape for p in made} == {(60, 90, 3)}
    assert np.array_equal(made[20], wide[::-1, ::-1])
    shifted = [p for p in made[9:17] if np.array_equal(p[6:, 9:], wide[:-6, :-9])]
    assert len(shifted) == 1, "10 % of width and height"


def test_shots_are_drawn_without_replacement_and_by_seed() -> None:
    samples = [Sample(Path(f"{i}.png"), "good", str(i)) for i in range(20)]
    drawn = choose_shots(samples, 4, seed=5)
    assert len(set(drawn)) == 4
    assert drawn == choose_shots(samples, 4, seed=5)
    assert len({choose_shots(samples, 4, seed=s) for s in range(10)}) > 5
    with pytest.raises(DataError, match="--shots 4: only 3 good pictures"):
        choose_shots(samples[:3], 4, seed=0)


def test_written_shots_are_kept_as_they_are(plates: Path, tmp_path: Path) -> None:
    sample = read_image_set(plates).train[3]
    first = write_shots(tmp_path / "shots", [sample])
    assert len(first) == 22
    assert np.array_equal(read_pixels(first[0].path), read_pixels(sample.path))
    times = [s.path.stat().st_mtime_ns for s in first]
    assert write_shots(tmp_path / "shots", [sample]) == first
    assert [s.path.stat().st_mtime_ns for s in first] == times


@pytest.fixture(scope="module")
def two_products(plates: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The plates, and the same seen through another lamp."""
    other = tmp_path_factory.mktemp("other") / "blue_plates"
    shutil.copytree(plates / "train", other / "train")
    for path in (other / "train" / "good").iterdir():
        cv2.imwrite(str(path), cv2.imread(str(path))[..., ::-1])
    return plates, other


@pytest.mark.slow
def test_one_model_for_two_products_from_two_shots_each(
    two_products: tuple[Path, Path], tmp_path: Path
) -> None:
    training = TrainingSettings(steps=4, tokens=0, batch=4, shots=2, probe_defects=14)
    request = Request(
        data=two_products, preset=find_preset("lite"), size_wh=(96, 64), training=training
    )
    fit(request, tmp_path / "run", no_bar)
    record, calibration = read_record(tmp_path / "run"), read_calibration(tmp_path / "run")
    assert record.data.name == "plates+blue_plates"
    assert record.data.train_images == 4
    assert record.training.shots == 2
    assert {group.partition("/")[0] for group in calibration.groups} == {"plates", "blue_plates"}
    assert not (tmp_path / "run" / "shots").exists()
    bundle = pack_bundle(tmp_path / "run", tmp_path / "bundle", PackOptions(), lambda _: None)
    assert set(bundle.thresholds.products) == {"plates", "blue_plates"}
    for name in bundle.thresholds.products:
        of_product = [
            score
            for score, group in zip(calibration.scores, calibration.groups)
            if group.startswith(f"{name}/")
        ]
        assert bundle.for_product(name).scores == pytest.approx(sorted(of_product))


@pytest.mark.slow
def test_the_command_trains_all_variants(two_products: tuple[Path, Path], tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from edge.cli.train import app

    first, second = map(str, two_products)
    options = ["--data", first, "--data", second, "--shots", "1", "--plus", "soft-coherence"]
    options += ["--plus", "squared-mining", "--size", "96x64", "--steps", "2", "--batch", "2"]
    result = CliRunner().invoke(app, [*options, "--out", str(tmp_path / "run")])
    assert result.exit_code == 0, result.output
    record = read_record(tmp_path / "run")
    assert record.data.products == ("plates", "blue_plates")
    training = record.training
    assert isinstance(training, TrainingSettings)
    assert (training.shots, training.soft_coherence, training.squared_mining) == (1, True, True)
    assert record.model.inp_former.head is None


@pytest.mark.slow
def test_an_interrupted_few_shot_run_ends_as_an_uninterrupted_one(
    plates: Path, tmp_path: Path
) -> None:
    class Interrupted(Exception):
        pass

    def breaking(stage: str, _total: int):
        def advance(done: int) -> None:
            if stage == "training" and done:
                raise Interrupted

        return advance

    training = TrainingSettings(steps=3, tokens=0, batch=4, shots=1, probe_defects=14)
    request = Request(data=plates, preset=find_preset("lite"), size_wh=(96, 64), training=training)
    with pytest.raises(Interrupted):
        fit(request, tmp_path / "a", breaking)
    assert len(list((tmp_path / "a" / "shots").iterdir())) == 22
    fit(request, tmp_path / "a", no_bar)
    fit(request, tmp_path / "b", no_bar)
    assert read_calibration(tmp_path / "a").scores == read_calibration(tmp_path / "b").scores


@pytest.mark.slow
def test_three_good_pictures_are_enough_for_two_shots(plates: Path, tmp_path: Path) -> None:
    data = tmp_path / "few"
    data.mkdir()
    for sample in read_image_set(plates).train[:3]:
        shutil.copyfile(sample.path, data / sample.path.name)
    training = TrainingSettings(steps=3, tokens=0, batch=4, shots=2, probe_defects=14)
    request = Request(data=data, preset=find_preset("lite"), size_wh=(96, 64), training=training)
    fit(request, tmp_path / "run", no_bar)
    assert read_record(tmp_path / "run").data.held_out_images == 1
    bundle = pack_bundle(tmp_path / "run", tmp_path / "bundle", PackOptions(), lambda _: None)
    assert bundle.thresholds.score.alpha == pytest.approx(0.5)
