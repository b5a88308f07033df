"""What labels change on the map of a finished run, before any region is named."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from edge.data.false_rejects import read_false_rejects
from edge.data.frames import InputShape
from edge.data.image_set import ImageSet, Sample
from edge.data.products import Products, read_products
from edge.errors import TrainingError
from edge.methods.inp_former.calibration import calibrate
from edge.methods.inp_former.detector import Detector
from edge.methods.inp_former.false_rejects import learn_false_rejects, reject_units
from edge.methods.inp_former.labelled_defects import learn_defects, learning_units
from edge.methods.inp_former.training_settings import TrainingSettings
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
    """A finished run that is to learn: its detector, and the good parts where they are known."""

    record: RunRecord
    detector: Detector
    calibration: Calibration
    products: Products | None
    shape: InputShape


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
    record, detector, calibration, products, shape = ground
    learned = Learned(detector, calibration, None, record.false_rejects, is_changed=False)
    may_learn = not wanted.names_only and detector.settings.map.chain == "calibrated"
    if wanted.false_rejects is not None and not (may_learn and products is not None):
        raise TrainingError(
            "--false-rejects: expected a run with a calibrated map, the folders of all its "
            "products in --data, and no --names-only"
        )
    if products is None or not may_learn:
        return learned
    negatives = None
    if wanted.false_rejects is not None:
        assert isinstance(record.training, TrainingSettings)  # noqa: S101 - inp-former's own
        known = (*products.train, *products.held_out)
        rejects = read_false_rejects(wanted.false_rejects, wanted.data, known, record.geometry)
        advance = progress("false rejects", reject_units(rejects, products))
        lesson = learn_false_rejects(detector, rejects, products, shape, record.training, advance)
        negatives, trial = lesson.cells, lesson.trial
        learned = learned._replace(rejects=trial)
        if trial.is_kept:
            learned = Learned(lesson.detector, lesson.calibration, None, trial, is_changed=True)
    if not own:
        return learned
    advance = progress("defects", learning_units(own, products))
    detector, probe = learn_defects(
        learned.detector, own, products, shape, wanted.seed, advance, negatives
    )
    if not probe.is_kept:
        return learned._replace(probe=probe)
    advance = progress("calibration", len(products.held_out))
    detector, calibration = calibrate(detector, products.held_out, shape, advance)
    return Learned(detector, calibration, probe, learned.rejects, is_changed=True)


def good_parts(
    folders: Sequence[Path], sets: Sequence[ImageSet], record: RunRecord
) -> Products | None:
    """The good parts of the run's own products, None unless `folders` hold all of them."""
    names = record.data.products or (record.data.name,)
    found = {images.name: folder for images, folder in zip(sets, folders, strict=True)}
    if not set(names) <= set(found):
        return None
    training = record.training
    shots = training.shots if isinstance(training, TrainingSettings) else None
    return read_products([found[name] for name in names], training.seed, shots, record.geometry)
