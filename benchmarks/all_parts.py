"""The threshold from a fifth of the parts against the threshold from all of them.

    python -m benchmarks.all_parts --sets pcb_traces cookie --seeds 0 1 2 --out docs/quality.md

Memory bank, statistics of positions and of whole pictures judge, with equal weights, at the
smallest network size; --steps adds INP-Former with a decoder of so many steps. `held out` fits them
to four fifths of the good parts and takes the threshold from the rest, picture by picture; `all
parts` fits them to all and takes it from folds, part by part (docs/adr/0036). Each shows AUROC,
recall and false rejects on the test pictures at the rate that it ships with, and at 5 %.
"""

from __future__ import annotations

import argparse
import copy
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from benchmarks.image_sets import SETS, find_set
from benchmarks.marked_table import replace_table
from edge.data.frames import InputShape
from edge.data.image_set import frame_size, read_image_set
from edge.data.products import read_products
from edge.evaluation.metrics import auroc
from edge.methods.inp_former.branch_fitting import fit_branches
from edge.methods.inp_former.calibration import calibrate_on
from edge.methods.inp_former.cross_fitting import cross_fit, out_of_fold
from edge.methods.inp_former.detector import Detector
from edge.methods.inp_former.fit import _set_scale
from edge.methods.inp_former.fusion_fitting import with_shares
from edge.methods.inp_former.good_pictures import Good
from edge.methods.inp_former.planning import build
from edge.methods.inp_former.settings import ModelSettings
from edge.methods.inp_former.trainer import Trainer
from edge.methods.inp_former.training_settings import TrainingSettings
from edge.methods.presets import candidate_sizes, find_preset, model_settings
from edge.toolchain.packing.thresholds import calibrated_threshold
from edge.training.feature_cache import FeatureCache, cache_features
from edge.training.run_folder import Calibration

BATCH = 16
HIGH = 0.05
RATES = "false rejects | recall | false rejects at 5 % | recall at 5 %"


class Features(NamedTuple):
    """Features of a set's pictures, once for all seeds."""

    train: FeatureCache
    test: FeatureCache
    is_defect: np.ndarray
    places: dict[Path, int]
    detector: Detector
    shape: InputShape


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", nargs="+", default=list(SETS), choices=SETS)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--steps", type=int, default=0, help="of INP-Former's decoder; 0: none")
    parser.add_argument("--work", type=Path, default=Path("runs/all-parts"))
    parser.add_argument("--out", type=Path, help="file whose marked table is replaced")
    options = parser.parse_args()
    lines = [
        f"| set | seed | threshold from | parts | pictures | AUROC | rate | bound | {RATES} |",
        "|---" * 12 + "|",
    ]
    print("\n".join(lines), flush=True)
    for name in options.sets:
        folder = find_set(name, options.work)
        features = read_features(name, folder, options)
        for seed in options.seeds:
            for how, found in (
                ("held out", held_out(features, folder, seed, options.steps)),
                ("all parts", all_parts(features, folder, seed, options.steps)),
            ):
                lines.append(f"| {name} | {seed} | {how} | {row(features, *found)} |")
                print(lines[-1], flush=True)
    if options.out:
        replace_table(options.out, "all-parts", "\n".join(lines) + "\n")


def read_features(name: str, folder: Path, options: argparse.Namespace) -> Features:
    """Features of all pictures at the smallest size."""
    images, preset = read_image_set(folder), find_preset("lite")
    shape = InputShape(candidate_sizes(preset, frame_size(images.train))[0])
    detector = build(settings_at(shape, options.steps), preset.weights, 0)
    _set_scale(detector, images.train, shape)
    caches = [
        cache_features(options.work / name / part, detector, samples, shape, "lite", lambda _: None)
        for part, samples in (("train", images.train), ("test", images.test))
    ]
    is_defect = np.array([not sample.is_good for sample in images.test])
    places = {sample.path: place for place, sample in enumerate(images.train)}
    return Features(caches[0], caches[1], is_defect, places, detector, shape)


def settings_at(shape: InputShape, steps: int) -> ModelSettings:
    preset = find_preset("lite")
    settings = model_settings(preset, shape.size_wh, preset.weights)
    judge_by = "reconstruction" if steps else "nothing"
    branches = settings.branches.model_copy(update={"probe": 0})
    net = settings.inp_former.model_copy(update={"judge_by": judge_by})
    return settings.model_copy(update={"branches": branches, "inp_former": net})


def held_out(
    features: Features, folder: Path, seed: int, steps: int
) -> tuple[Detector, Calibration]:
    products = read_products([folder], seed)
    train, judged = (
        features.train.some(np.array([features.places[s.path] for s in samples]))
        for samples in (products.train, products.held_out)
    )
    detector = trained(features.detector, train, seed, steps)
    detector = equal(fit_branches(detector, train, seed))
    maps, distances = judge(detector, judged)
    return calibrate_on(detector, maps, distances, products.held_out, 1)


def all_parts(
    features: Features, folder: Path, seed: int, steps: int
) -> tuple[Detector, Calibration]:
    training = TrainingSettings(seed=seed, folds=2, steps=max(1, steps))
    products = read_products([folder], seed, shares=training.shares)
    good = Good(features.train, products.train, np.array(products.shares), features.shape)
    untrained = features.detector.inp_former
    detector = trained(features.detector, features.train, seed, steps)
    with tempfile.TemporaryDirectory() as scratch:
        detector, folds = cross_fit(
            detector, untrained, good, training, Path(scratch), lambda *_: lambda _: None
        )
    maps, distances = out_of_fold(folds, good)
    detector, calibration = calibrate_on(equal(detector), maps, distances, products.train, 1)
    found = Calibration(calibration.files, calibration.groups, calibration.scores)
    return detector, Calibration(found.files, found.groups, found.scores, method="cross-conformal")


def trained(detector: Detector, cache: FeatureCache, seed: int, steps: int) -> Detector:
    if not steps:
        return detector
    network = copy.deepcopy(detector.inp_former).requires_grad_(True)
    with tempfile.TemporaryDirectory() as scratch:
        settings = TrainingSettings(seed=seed, steps=steps)
        Trainer(network, settings, Path(scratch)).run(cache, lambda _: None)
    return detector.replaced(inp_former=network)


def equal(detector: Detector) -> Detector:
    """The detector with equal fusion weights."""
    names = [name for name in detector.branches.names if name != "inp_former"]
    if "inp_former" in detector.branches:
        return with_shares(detector, [1.0] * len(names))
    weight = torch.full((len(names),), 1 / len(names))
    return detector.replaced(branches=detector.branches.changed(weight=weight))


@torch.no_grad()
def judge(detector: Detector, cache: FeatureCache) -> tuple[torch.Tensor, torch.Tensor | None]:
    maps, distances = [], []
    for start in range(0, len(cache), BATCH):
        groups = cache.batch(range(start, min(start + BATCH, len(cache))))
        maps.append(detector.branch_maps(groups))
        distances.append(detector.image_distance(groups))
    return torch.cat(maps), None if distances[0] is None else torch.cat(distances)


def row(features: Features, detector: Detector, calibration: Calibration) -> str:
    maps, distances = judge(detector, features.test)
    scores, is_defect = detector.judge(maps, distances).score.numpy(), features.is_defect
    shipped = calibrated_threshold(calibration)
    cells = [
        str(shipped.groups), str(shipped.n), f"{auroc(is_defect, scores):.3f}",
        f"{shipped.alpha:.3f}", f"{shipped.bound95:.3f}", *rates(scores, is_defect, shipped.value),
    ]  # fmt: skip
    if shipped.alpha <= HIGH:
        cells += rates(scores, is_defect, calibrated_threshold(calibration, HIGH).value)
    else:
        cells += ["-", "-"]
    return " | ".join(cells)


def rates(scores: np.ndarray, is_defect: np.ndarray, threshold: float) -> list[str]:
    """False rejects and recall."""
    rejected: Sequence[bool] = scores > threshold
    return [f"{rejected[~is_defect].mean():.3f}", f"{rejected[is_defect].mean():.3f}"]


if __name__ == "__main__":
    main()
