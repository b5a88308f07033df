"""Cross-fitting: every part is judged by what has not learned from it, and all are learned from."""

from __future__ import annotations

import copy
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from edge.data.frames import InputShape, network_inputs
from edge.data.image_set import read_image_set, read_pixels
from edge.data.products import read_products
from edge.errors import TrainingError
from edge.methods.inp_former import cross_fitting, probe_fitting
from edge.methods.inp_former.cross_fitting import cross_fit, out_of_fold
from edge.methods.inp_former.fit import fit
from edge.methods.inp_former.good_maps import FILE, read_good_maps
from edge.methods.inp_former.good_pictures import Good
from edge.methods.inp_former.planning import build
from edge.methods.inp_former.request import Request
from edge.methods.inp_former.trainer import Trainer
from edge.methods.inp_former.training_settings import TrainingSettings
from edge.methods.presets import find_preset, model_settings
from edge.methods.run import read_calibration, read_model, read_record
from edge.networks.weights import PACKAGE
from edge.toolchain.packing.thresholds import calibrated_threshold
from edge.training.feature_cache import cache_features
from tests.support.made_once import made_once

SHAPE = InputShape((96, 64))
SETTINGS = TrainingSettings(steps=20, tokens=0, warmup=5, batch=8, probe_defects=24, folds=2)
# Iterations of a probe's fit: enough here, and there are many fits.
FEW = 6


def no_bar(_stage: str, _total: int):
    return lambda _done: None


@pytest.fixture(scope="module")
def crossed(plates: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    request = Request(
        data=plates, preset=find_preset("lite"), size_wh=SHAPE.size_wh, training=SETTINGS
    )

    def make(folder: Path) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(probe_fitting, "ITERATIONS", FEW)
            fit(request, folder, no_bar)

    return made_once(tmp_path_factory, "plates-crossed", make)


def test_a_cross_fitted_run_judges_every_part_and_learns_from_all(crossed: Path) -> None:
    record, calibration = read_record(crossed), read_calibration(crossed)
    assert (record.data.train_images, record.data.held_out_images) == (40, 0)
    assert record.training.folds == 2
    assert len(set(calibration.files)) == len(calibration.scores) == 40
    assert calibration.method == "cross-conformal"
    assert len(calibration.synthetic) == 160, "four defects on each"
    assert len(calibration.shifted) == 24 * 6, "six changes of some of them"
    threshold = calibrated_threshold(calibration)
    assert (threshold.n, threshold.groups, threshold.alpha) == (40, 40, pytest.approx(2 / 41))
    left = {path.name for path in crossed.iterdir()}
    assert FILE in left
    assert not left & {"folds", "features", "checkpoint.safetensors"}


def test_scores_out_of_fold_are_not_those_of_pictures_learned(crossed: Path, plates: Path) -> None:
    detector = read_model(crossed, read_record(crossed))
    calibration = read_calibration(crossed)

    def scores(folder: Path, names) -> list[float]:
        inputs = [network_inputs(read_pixels(folder / name), SHAPE) for name in names]
        return [float(detector(torch.from_numpy(each)).score) for each in inputs]

    learned = scores(plates / "train" / "good", calibration.files)
    fresh = scores(
        plates / "test" / "good", [p.name for p in sorted((plates / "test" / "good").iterdir())]
    )
    # Of so few pictures and steps, medians of unseen ones agree to a tenth.
    unseen, known, new = (float(np.median(each)) for each in (calibration.scores, learned, fresh))
    assert unseen > known + 0.05
    assert new > known
    assert unseen > new - 0.1


@pytest.mark.slow
def test_copies_in_other_light_are_judged_with_their_part(plates: Path, tmp_path: Path) -> None:
    data, run = tmp_path / "plates", tmp_path / "run"
    (data / "train" / "good").mkdir(parents=True)
    for path in sorted((plates / "train" / "good").iterdir())[:12]:
        shutil.copy(path, data / "train" / "good")
    changes = {"augment": True, "steps": 4, "probe_defects": 12, "batch": 4}
    request = Request(
        data=data,
        preset=find_preset("lite"),
        size_wh=SHAPE.size_wh,
        training=SETTINGS.model_copy(update=changes),
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(probe_fitting, "ITERATIONS", FEW)
        fit(request, run, no_bar)
    calibration, maps = read_calibration(run), read_good_maps(run)
    assert (len(calibration.scores), len(set(calibration.groups))) == (24, 12)
    threshold = calibrated_threshold(calibration)
    assert (threshold.n, threshold.groups) == (24, 12), "a copy is no part of its own"
    assert maps is not None
    assert len(maps.maps) == len(maps.shares) == 12, "of the pictures of the data folder alone"
    assert len(calibration.shifted) == 12 * 6, "a copy is not changed again"
    assert not (run / "shifted").exists()


def test_copies_need_cross_fitting(plates: Path, tmp_path: Path) -> None:
    training = SETTINGS.model_copy(update={"augment": True, "folds": 0})
    request = Request(data=plates, preset=find_preset("lite"), training=training)
    with pytest.raises(TrainingError, match=r"--augment: .* --folds 2"):
        fit(request, tmp_path, no_bar)


def test_the_maps_of_the_run_give_its_scores(crossed: Path) -> None:
    detector = read_model(crossed, read_record(crossed))
    found = read_good_maps(crossed)
    assert found is not None
    assert found.branches == detector.branches.names
    judged = detector.judge(found.maps, found.distances)
    assert judged.score.tolist() == pytest.approx(read_calibration(crossed).scores, abs=5e-3)
    assert sorted(set(found.shares)) == list(range(6))


def test_damaged_maps_are_refused(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"PK")
    with pytest.raises(TrainingError, match=r"out_of_fold\.npz: damaged"):
        read_good_maps(tmp_path)
    assert read_good_maps(tmp_path / "other") is None


def good_of(plates: Path, detector, folder: Path, seed: int = 0) -> Good:
    products = read_products([plates], seed, shares=SETTINGS.shares)
    cache = cache_features(folder, detector, products.train, SHAPE, "id", lambda _: None)
    return Good(cache, products.train, np.array(products.shares), SHAPE)


def test_no_fold_learns_from_the_pictures_that_it_judges(
    plates: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Judged pictures are replaced by others before training: nothing of the fold may change."""
    monkeypatch.setattr(probe_fitting, "ITERATIONS", FEW)
    settings = SETTINGS.model_copy(update={"steps": 4})
    model = model_settings(find_preset("lite"), SHAPE.size_wh, PACKAGE)
    trained_on: list[set[int]] = []
    monkeypatch.setattr(
        Trainer, "run", lambda _self, cache, _advance: trained_on.append(set(cache._rows.tolist()))
    )
    maps = []
    for changed in (False, True):
        detector = build(model, PACKAGE, 0)
        good = good_of(plates, detector, tmp_path / "features")
        own = good.with_shares([0])
        if changed:
            arrays = [array.copy() for array in good.cache.arrays]
            for array in arrays:
                array[own] = array[good.with_shares([3])[0]]
            others = list(good.samples)
            for place in own:
                others[place] = read_image_set(plates).test[0]
            good = Good(type(good.cache)(arrays), others, good.shares, SHAPE)
        untrained = copy.deepcopy(detector.inp_former)
        _, folds = cross_fit(detector, untrained, good, settings, tmp_path / "run", no_bar)
        picture = good.of(good.with_shares([1])[:1]).batch([0])
        maps.append(folds[0].judge(picture)[0])
        for number, fold in enumerate((folds[0], folds[5])):
            assert not trained_on[number] & set(good.with_shares([0, 3][number : number + 1]))
            assert fold.probes
    # The level of the final decoder, which has learned from all, is all that differs.
    first = maps[0][:, 4:], maps[1][:, 4:]
    assert torch.allclose(*first, atol=1e-5)


def test_out_of_fold_maps_come_back_in_the_order_of_the_pictures(plates: Path, tmp_path: Path):
    model = model_settings(find_preset("lite"), SHAPE.size_wh, PACKAGE)
    detector = build(model, PACKAGE, 0)
    good = good_of(plates, detector, tmp_path / "features")

    class Fold:
        def judge(self, groups, kind="good"):
            return groups[0].mean((1, 2)).view(-1, 1, 1, 1), groups[0].mean((1, 2))

    maps, distances = out_of_fold([Fold()] * good.count, good)
    wanted = torch.cat([good.cache.batch([i])[0].mean((1, 2)) for i in range(40)])
    assert torch.allclose(maps.flatten(), wanted)
    assert torch.allclose(distances, wanted)


def test_a_fold_s_maps_are_brought_to_the_level_of_the_final_ones(plates: Path, tmp_path: Path):
    model = model_settings(find_preset("lite"), SHAPE.size_wh, PACKAGE)
    detector = build(model, PACKAGE, 0)
    good = good_of(plates, detector, tmp_path / "features")
    torch.manual_seed(3)
    other = copy.deepcopy(detector.inp_former)
    for parameter in other.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    offset, slope = cross_fitting._level(detector, other, good, [0, 0, 0, 1, 1, 1], 1)
    own = cross_fitting._own_maps(detector.replaced(inp_former=other), good, np.arange(40))
    final = cross_fitting._own_maps(detector, good, np.arange(40)).detach()
    brought = offset[:4] + slope[:4] * own.detach()
    assert brought.median() == pytest.approx(float(final.median()), rel=0.05)
    assert brought.quantile(0.999) == pytest.approx(float(final.quantile(0.999)), rel=0.1)
    assert slope[4:].flatten().tolist() == [1] * (len(slope) - 4)


def test_folds_do_not_go_with_few_shots_or_heads(plates: Path, tmp_path: Path) -> None:
    for changes in ({"head": (8, 8)}, {"training": SETTINGS.model_copy(update={"shots": 2})}):
        request = Request(
            **{"data": plates, "preset": find_preset("lite"), "training": SETTINGS, **changes}
        )
        with pytest.raises(TrainingError, match="--folds: cross-fitting trains no residual head"):
            fit(request, tmp_path / "run", no_bar)
