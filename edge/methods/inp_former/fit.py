"""From a data folder to a finished run: split, size, features, training, calibration."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from edge.data.few_shot import FOLDER as SHOTS
from edge.data.few_shot import write_shots
from edge.data.frame_record import write_frames
from edge.data.frames import InputShape, input_batches
from edge.data.golden_pictures import write_golden
from edge.data.image_set import Sample, frame_size
from edge.data.products import Products, read_products
from edge.data.shifted_copies import FOLDER as SHIFTED
from edge.data.shifted_copies import write_shifted
from edge.errors import TrainingError
from edge.methods.inp_former.branch_fitting import fit_branches
from edge.methods.inp_former.branches import HEAD, PROBE
from edge.methods.inp_former.calibration import calibrate, calibrate_on
from edge.methods.inp_former.cross_fitting import clear_folds, cross_fit, out_of_fold
from edge.methods.inp_former.detector import Detector
from edge.methods.inp_former.fusion_fitting import (
    Judge,
    Trial,
    held_out_judge,
    kept_maps,
    trial_pictures,
    try_out,
    weighed,
)
from edge.methods.inp_former.good_maps import GoodMaps, write_good_maps
from edge.methods.inp_former.good_pictures import Good
from edge.methods.inp_former.mask_refiner import train_refiner
from edge.methods.inp_former.network import InpFormer
from edge.methods.inp_former.other_shifts import shift_pictures, try_other_shifts
from edge.methods.inp_former.planning import build, network_size, new_record, stored_size
from edge.methods.inp_former.probe_fitting import synthetic_probes, synthetic_units
from edge.methods.inp_former.request import Request
from edge.methods.inp_former.residual_head import head_units, train_head
from edge.methods.inp_former.settings import ModelSettings
from edge.methods.inp_former.trainer import Trainer
from edge.methods.inp_former.training_settings import TrainingSettings
from edge.methods.inp_former.trimming import suspicion, write_suspicious
from edge.methods.run import (
    check_same_run,
    start_run,
    unfinished_run,
    write_model,
    write_record,
)
from edge.methods.run_record import RunRecord
from edge.networks.features import Groups, PyramidFeatures
from edge.training.feature_cache import FeatureCache, cache_features, extract
from edge.training.progress import Progress
from edge.training.run_folder import FEATURES, Calibration, write_calibration

# Pictures that set the scale of the feature groups.
SCALE_PICTURES = 64
# With cross-fitting, every third share is judged at the sizes on trial.
SIZE_SHARES = 3


def fit(request: Request, folder: Path, progress: Progress) -> RunRecord:
    """Train a run into `folder`; called again on an unfinished run, go on where it stopped.

    Raises:
        DataError: the data folder cannot be used.
        TrainingError: the folder holds another or a finished run, training fails, or folds are
            asked for where there are none.
    """
    training = request.training or TrainingSettings(steps=request.preset.steps)
    if training.shares and (request.head or request.refine or training.shots):
        raise TrainingError(
            "--folds: cross-fitting trains no residual head, mask or few shots; take --folds 0"
        )
    if training.augment and not training.shares:
        raise TrainingError(
            "--augment: copies of a part share its weight only with cross-fitting; give --folds 2"
        )
    stored = unfinished_run(folder)
    products = read_products(
        request.folders, training.seed, training.shots, request.geometry, training.shares
    )
    data = products.record(frame_size(products.train))
    if stored is not None:
        size_wh, trials = stored_size(request, folder, stored, data)
        check_same_run(
            folder, stored, new_record(request, training, products, data, size_wh, trials)
        )
    train, held_out = _pictures(folder, products, training, is_new=stored is None)
    if stored is None:
        size_wh, trials = network_size(
            request, training, *for_sizes(products, train, held_out), data, progress
        )
        stored = start_run(folder, new_record(request, training, products, data, size_wh, trials))
    write_frames(folder, (*products.train, *products.held_out))
    shares = products.shares
    if training.augment:
        train = (*train, *write_shifted(folder / SHIFTED, train, training.seed))
        shares = (*shares, *shares)
    return Fitting(folder, stored, training, train, held_out, shares, progress).run()


@dataclass(frozen=True, slots=True)
class Fitting:
    """The training of one run, from its record to its finished files.

    Attributes:
        folder: of the run.
        record: what was decided before.
        training: settings of `record`.
        train: pictures to learn from.
        held_out: pictures that nothing learns from; none with cross-fitting.
        shares: with cross-fitting, the share of each picture to learn from.
    """

    folder: Path
    record: RunRecord
    training: TrainingSettings
    train: Sequence[Sample]
    held_out: Sequence[Sample]
    shares: Sequence[int]
    progress: Progress

    def run(self) -> RunRecord:
        """Train the run of `record`, and write what belongs to a finished one."""
        record, training, folder = self.record, self.training, self.folder
        assert isinstance(record.model, ModelSettings)  # noqa: S101 - narrowing only
        detector = build(record.model, record.weights, training.seed)
        shape = InputShape(record.model.size_wh, record.tiles_wh, record.overlap)
        _set_scale(detector, self.train, shape)
        identity = f"{record.model.backbone.model_dump_json()} {record.weights}"
        advance = self.progress("features", len(self.train) * shape.tiles)
        cache = cache_features(folder / FEATURES, detector, self.train, shape, identity, advance)
        found = suspicion(detector, cache, self.train, training.seed)
        write_suspicious(folder, self.train, found, is_trimmed=training.trim)
        names = tuple(self.train[place].path.name for place in found.suspects)
        record = record.model_copy(update={"suspicious": names})
        trimmed = found.suspects if training.trim else ()
        good = Good(cache, self.train, np.array(self.shares, np.intp), shape, trimmed)
        train = [self.train[place] for place in good.learned]
        untrained = copy.deepcopy(detector.inp_former)
        trainer = Trainer(detector.inp_former, training, folder)
        trainer.run(good.of(good.learned), self.progress("training", training.steps))
        if detector.settings.refiner is not None:
            detector, tried = train_refiner(
                detector, record.data.name, train, self.held_out, shape, training,
                self.progress,
            )  # fmt: skip
            record = record.model_copy(update={"refiner": tried})
        elif HEAD in detector.branches:
            units = head_units(detector, training, shape)
            train_head(detector, train, shape, training, self.progress("head", units))
        if self.shares:
            detector, calibration = self._cross_fitted(detector, untrained, good)
        else:
            detector, calibration = self._held_out(detector, good.of(good.learned), train, shape)
        write_calibration(folder, calibration)
        judged = self.train if self.shares else self.held_out
        write_golden(folder, judged, calibration.scores, training.seed)
        # The record changes only now: until here a stopped training finds the one it began with.
        record = record.model_copy(update={"model": detector.settings})
        write_record(folder, record)
        write_model(folder, detector)
        trainer.clear()
        clear_folds(folder)
        shutil.rmtree(folder / FEATURES)
        shutil.rmtree(folder / SHOTS, ignore_errors=True)
        shutil.rmtree(folder / SHIFTED, ignore_errors=True)
        return record

    def _held_out(
        self,
        detector: Detector,
        cache: FeatureCache,
        train: Sequence[Sample],
        shape: InputShape,
    ) -> tuple[Detector, Calibration]:
        """Fit to what is trained on; weights, scales and scores come from what is held out."""
        training, held_out = self.training, self.held_out
        detector = fit_branches(detector, cache, training.seed)
        probes = {}
        if PROBE in detector.branches:
            advance = self.progress("probe", synthetic_units(train))
            probes = synthetic_probes(detector, train, shape, training, advance)
        whole, judge = held_out_judge(detector, probes)
        trial, shifts = self._tried(whole, judge, held_out, held_out, shape)
        advance = self.progress("calibration", len(held_out))
        detector, calibration = calibrate(weighed(whole, trial), held_out, shape, advance)
        return detector, replace(
            calibration,
            synthetic=trial.kind_scores(whole, detector),
            shifted=shifts.kind_scores(whole, detector),
        )

    def _cross_fitted(
        self, detector: Detector, untrained: InpFormer, good: Good
    ) -> tuple[Detector, Calibration]:
        """Fit to all pictures; weights, scales and scores come from folds without their share."""
        training, shape = self.training, good.shape
        whole, folds = cross_fit(detector, untrained, good, training, self.folder, self.progress)
        learned = [self.train[place] for place in good.learned]
        # Pictures of the data folder come before the copies of them in other light and places.
        own = len(self.train) // (2 if training.augment else 1)
        originals = [self.train[place] for place in good.learned if place < own]

        def judge(place: int, groups: Groups, kind: str) -> tuple[Tensor, Tensor | None]:
            return folds[self.shares[good.learned[place]]].judge(groups, kind)

        trial, shifts = self._tried(whole, judge, learned, originals, shape)
        advance = self.progress("calibration", len(self.train))
        maps, distances = out_of_fold(folds, good)
        detector = weighed(whole, trial)
        maps = maps[:, kept_maps(whole, detector)]
        detector, calibration = calibrate_on(
            detector, maps, distances, self.train, shape.tiles, good.inputs(good.learned)
        )
        # Labelled learning judges the pictures of the data folder, not copies of them.
        kept = slice(own * shape.tiles)
        own_distances = None if distances is None else distances[kept]
        write_good_maps(
            self.folder,
            GoodMaps(detector.branches.names, maps[kept], own_distances, self.shares[:own]),
        )
        advance(len(self.train))
        return detector, replace(
            calibration,
            method="cross-conformal",
            synthetic=trial.kind_scores(whole, detector),
            shifted=shifts.kind_scores(whole, detector),
        )

    def _tried(
        self,
        detector: Detector,
        judge: Judge,
        samples: Sequence[Sample],
        originals: Sequence[Sample],
        shape: InputShape,
    ) -> tuple[Trial, Trial]:
        """Good pictures with synthetic defects, and as another shift would take them.

        `originals` are those of the samples that are no changed copies.
        """
        changed = shift_pictures(originals)
        advance = self.progress("branches", len(trial_pictures(samples)) + len(changed))
        trial = try_out(detector, judge, samples, shape, self.training.seed, advance)
        return trial, try_other_shifts(detector, judge, samples, changed, shape, advance)


def for_sizes(
    products: Products, train: Sequence[Sample], held_out: Sequence[Sample]
) -> tuple[Sequence[Sample], Sequence[Sample]]:
    """Pictures to try network sizes with: some to learn from, a third or fewer to judge."""
    if not products.shares:
        return train, held_out
    pairs = list(zip(train, products.shares, strict=True))
    return (
        [sample for sample, share in pairs if share % SIZE_SHARES],
        [sample for sample, share in pairs if not share % SIZE_SHARES],
    )


def _pictures(
    folder: Path, products: Products, training: TrainingSettings, *, is_new: bool
) -> tuple[Sequence[Sample], Sequence[Sample]]:
    """Pictures to train on, as files that last as long as the training, and those held out."""
    folder.mkdir(parents=True, exist_ok=True)
    if training.shots is None:
        return products.train, products.held_out
    if is_new:
        shutil.rmtree(folder / SHOTS, ignore_errors=True)
    return write_shots(folder / SHOTS, products.train), products.held_out


def _set_scale(detector: Detector, train: Sequence[Sample], shape: InputShape) -> None:
    """Bring the groups of a feature pyramid to unit root mean square."""
    if not isinstance(detector.features, PyramidFeatures):
        return
    some = train[:: max(1, len(train) // SCALE_PICTURES)]
    total = torch.zeros_like(detector.features.rms)
    batches = 0
    for inputs in input_batches(some, shape):
        groups = extract(detector, inputs)
        total += torch.stack([group.square().mean() for group in groups])
        batches += 1
    detector.features.set_scale(total / batches)
