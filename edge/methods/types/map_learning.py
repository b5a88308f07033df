"""What labels change on the map of a finished run, before any region is named."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple, Protocol

from edge.data.false_rejects import FalseRejects, read_false_rejects
from edge.data.frames import InputShape
from edge.data.image_set import ImageSet, Sample
from edge.data.products import Products, read_products
from edge.errors import TrainingError
from edge.methods.inp_former.calibration import calibrate
from edge.methods.inp_former.detector import Detector
from edge.methods.inp_former.false_rejects import learn_false_rejects, reject_units
from edge.methods.inp_former.good_maps import read_good_maps
from edge.methods.inp_former.known_maps import KnownMaps, calibrate_known, halves
from edge.methods.inp_former.labelled_defects import (
    Trial,
    labelled_scores,
    learn_defects,
    learning_units,
)
from edge.methods.inp_former.training_settings import TrainingSettings
from edge.methods.run import read_calibration
from edge.methods.run_record import ProbeTrial, RejectTrial, RunRecord
from edge.training.progress import Progress
from edge.training.run_folder import Calibration


class Wanted(Protocol):
    """What of a request concerns the map, see types.fit.Request."""

    @property
    def data(self) -> tuple[Path, ...]:
        """Folders of data sets."""

    @property
    def names_only(self) -> bool:
        """The map stays as it is."""

    @property
    def false_rejects(self) -> Path | None:
        """Folder of good pictures that the station rejected."""

    @property
    def seed(self) -> int:
        """Of what is chosen at random."""


class Ground(NamedTuple):
    """A finished run that is to learn: its detector, and the good parts where they are known.

    `known` are maps of the held-out parts where the detector has learned from them, too.
    """

    record: RunRecord
    detector: Detector
    calibration: Calibration
    products: Products | None
    shape: InputShape
    known: KnownMaps | None = None


class Learned(NamedTuple):
    """A detector after labels, and the scores that its threshold stands on.

    Attributes:
        probe, rejects: what trials of its new probe and of false rejects found, if there were any.
        is_changed: its map is not that of the run.
    """

    detector: Detector
    calibration: Calibration
    probe: ProbeTrial | None
    rejects: RejectTrial | None
    is_changed: bool


def learn_map(
    wanted: Wanted, ground: Ground, own: tuple[Sample, ...], progress: Progress
) -> Learned:
    """Let the map learn false rejects and the product's own labelled defects, if it can and may.

    Raises:
        DataError: a picture cannot be used.
        TrainingError: false rejects are given, but the map may not learn.
    """
    record, detector, products = ground.record, ground.detector, ground.products
    may_learn = not wanted.names_only and detector.settings.map.chain == "calibrated"
    if wanted.false_rejects is not None and not (may_learn and products is not None):
        raise TrainingError(
            "--false-rejects: expected a trained run with a calibrated map, the folders of all its "
            "products in --data, and no --names-only"
        )
    if products is None or not may_learn:
        return unchanged(ground)
    rejects = None
    if wanted.false_rejects is not None:
        good = (*products.train, *products.held_out)
        rejects = read_false_rejects(wanted.false_rejects, wanted.data, good, record.geometry)
    return learn_labels(ground, rejects, own, wanted.seed, progress)


def unchanged(ground: Ground) -> Learned:
    """A run that learns nothing."""
    rejects = ground.record.false_rejects
    return Learned(ground.detector, ground.calibration, None, rejects, is_changed=False)


def learn_labels(
    ground: Ground,
    rejects: FalseRejects | None,
    own: Sequence[Sample],
    seed: int,
    progress: Progress,
) -> Learned:
    """Let the map learn false rejects and labelled defects; each is kept where its trial allows it.

    Args:
        ground: with products, of a run with a calibrated map.
        rejects: good parts that the station rejected; None for none.
        own: labelled defects, with masks or without; () for none.
        seed: of what is chosen at random.
        progress: of the stages "false rejects", "defects" and "calibration".

    Raises:
        DataError: a picture cannot be used.
        TrainingError: no defect shows.
    """
    record, detector, _, products, shape, known = ground
    assert products is not None  # noqa: S101 - the caller has looked
    learned, negatives = unchanged(ground), None
    if rejects is not None:
        assert isinstance(record.training, TrainingSettings)  # noqa: S101 - inp-former's own
        advance = progress("false rejects", reject_units(rejects, products))
        lesson = learn_false_rejects(
            detector, rejects, products, shape, record.training, advance, known
        )
        negatives, trial, known = lesson.cells, lesson.trial, lesson.known
        learned = learned._replace(rejects=trial)
        if trial.is_kept:
            learned = Learned(lesson.detector, lesson.calibration, None, trial, is_changed=True)
    if not own:
        return learned
    judged: list[Trial] = []
    advance = progress("defects", learning_units(own, products))
    detector, probe = learn_defects(
        learned.detector, own, products, shape, seed, advance, negatives, known, judged
    )
    if not probe.is_kept:
        return learned._replace(probe=probe)
    advance = progress("calibration", len(products.held_out))
    detector, calibration = calibrated(detector, ground._replace(known=known), advance)
    calibration = replace(calibration, labelled=labelled_scores(detector, judged))
    return Learned(detector, calibration, probe, learned.rejects, is_changed=True)


def calibrated(
    detector: Detector, ground: Ground, advance: Callable[[int], None]
) -> tuple[Detector, Calibration]:
    """Fix the scales of a detector that has learned on the ground of a run, see calibrate."""
    assert ground.products is not None  # noqa: S101 - it has learned from them
    held_out, shape, known = ground.products.held_out, ground.shape, ground.known
    if known is None:
        return calibrate(detector, held_out, shape, advance)
    return calibrate_known(detector, held_out, known, shape, advance)


def read_ground(
    run: Path, folders: Sequence[Path], sets: Sequence[ImageSet], record: RunRecord, model: Detector
) -> Ground:
    """What a finished run has to learn with; without products unless `folders` hold all of them.

    Raises:
        DataError: a folder cannot be used.
        TrainingError: the run has learned from all of its good parts, and labels already.
    """
    shape = InputShape(record.model.size_wh, record.tiles_wh, record.overlap)
    plain = Ground(record, model, read_calibration(run), None, shape)
    names = record.data.products or (record.data.name,)
    found = {images.name: folder for images, folder in zip(sets, folders, strict=True)}
    # An instant run's bank holds all of its few good parts: none is left to judge by.
    if not set(names) <= set(found) or record.instant is not None:
        return plain
    training = record.training
    shots = training.shots if isinstance(training, TrainingSettings) else None
    shares = training.shares if isinstance(training, TrainingSettings) else 0
    products = read_products(
        [found[name] for name in names], training.seed, shots, record.geometry, shares
    )
    if not shares:
        return plain._replace(products=products)
    maps = read_good_maps(run)
    if maps is None:
        raise TrainingError(
            f"--run {run}: has learned labels already; give the run that it was made from, and all "
            "labels"
        )
    shared, known = halves(products, maps, shape.tiles)
    return plain._replace(products=shared, known=known)
