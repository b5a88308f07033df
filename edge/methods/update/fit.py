"""An update of a finished run by reviews, kept only where nothing is seen to get worse."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from edge.atomic_file import write_text
from edge.data.duplicates import twins
from edge.data.frame_record import FILE as FRAMES
from edge.data.golden_pictures import FOLDER as GOLDEN
from edge.data.golden_pictures import write_golden
from edge.data.image_set import ImageSet, Sample, read_image_set
from edge.data.reviews import Reviewed, ReviewSet, read_reviews
from edge.data.viewed import viewed, viewed_set
from edge.errors import TrainingError
from edge.geometry.view_transform import ViewTransform
from edge.methods.run import write_model, write_record
from edge.methods.run_files import ASIDE
from edge.methods.run_record import RunRecord
from edge.methods.types.fit import read_run
from edge.methods.types.map_learning import Ground, read_ground
from edge.methods.update.learning import Lesson, learn_reviews
from edge.methods.update.names import NameLesson, earlier_labels, learn_names
from edge.methods.update.proof import Proof, prove, scores_by
from edge.methods.update.reviewed import reader
from edge.methods.update.teacher import Teacher, cells_of_good_parts
from edge.methods.update.words import counted, in_words
from edge.training.progress import Progress
from edge.training.run_folder import write_calibration

UPDATE = "update.json"
FROZEN = "frozen_test.csv"
IN_DATA = "of parts that --data holds"
SUSPECT = "labels far from all that they say, maybe wrong clicks"


@dataclass(frozen=True, slots=True)
class Request:
    """What the caller asks for.

    Attributes:
        run: the finished INP-Former run that is to learn; it must not have learned labels before.
        reviews: folder of the dashboard with all reviews since that run.
        archive: raw archive of the station; None for none.
        data: folders of all products of the run; pictures in test/ are the frozen test.
        accept_worse: write the new run although something got worse.
    """

    run: Path
    reviews: Path
    data: tuple[Path, ...]
    archive: Path | None = None
    accept_worse: bool = False
    seed: int = 0


def fit_update(request: Request, folder: Path, progress: Progress) -> RunRecord:
    """Write a copy of the run that has learned the reviews into `folder`.

    Raises:
        DataError: a folder cannot be used.
        TrainingError: the run cannot learn reviews, none can teach, or the result is worse on the
            frozen test or on a review; nothing is written then.
    """
    record, detector = read_run(request.run)
    if folder.exists() and any(path.name != ASIDE for path in folder.iterdir()):
        raise TrainingError(f"--out {folder}: is not empty; choose another, or --fresh")
    sets = [viewed_set(read_image_set(data), record.geometry) for data in request.data]
    ground = read_ground(request.run, request.data, sets, record, detector)
    if ground.products is None or detector.settings.map.chain != "calibrated":
        raise TrainingError(
            f"--run {request.run}: expected a trained run with a calibrated map, and the folders "
            "of all its products in --data"
        )
    names = record.data.products or (record.data.name,)
    reviews = read_reviews(request.reviews, names, request.archive)
    test = tuple(sample for images in sets for sample in images.test)
    earlier = earlier_labels(record, test)[0]
    taught = {sample.path for sample in earlier}
    frozen = tuple(sample for sample in test if sample.path not in taught)
    reviews = without_known(reviews, sets)
    if not reviews.pictures:
        raise TrainingError(
            f"--reviews {request.reviews}: no review can teach: {counted(reviews.left_out)}"
        )
    with tempfile.TemporaryDirectory(prefix="edge-update-") as scratch:
        samples = _samples(reviews.pictures, Path(scratch), record)
        read = reader(detector, ground.shape)
        good = cells_of_good_parts(ground, read, request.seed, progress)
        teaching = _teaching(reviews.pictures, samples)
        if detector.branches.prelabel_weight is not None:  # its map has learned them before
            teaching += earlier
        lesson = learn_reviews(Teacher(ground, good, read), teaching, progress)
        doubted = {sample.path for sample in lesson.suspects}
        sure = [sample for sample in samples if sample.path not in doubted]
        named = learn_names(ground, lesson.learned, sure, test, request.seed, progress)
        proof = _prove(ground, lesson, frozen, sure, progress)
    suspects = [each.name for each in reviews.pictures if each.picture in doubted]
    left_out = {**reviews.left_out, **({SUSPECT: suspects} if suspects else {})}
    if proof.is_worse and not request.accept_worse:
        raise TrainingError(
            f"{request.run}: the update is worse and was not written: {in_words(proof)}; look at "
            "the reviews, or --accept-worse"
        )
    folder.mkdir(parents=True, exist_ok=True)
    written = _write(request, folder, ground, lesson, named)
    _write_frozen(folder, frozen)
    write_text(folder / UPDATE, _document(reviews, left_out, lesson, named, proof))
    return written


def without_known(reviews: ReviewSet, sets: Sequence[ImageSet]) -> ReviewSet:
    """Leave out reviews of parts that the data sets hold: they teach, or test, there already."""
    known = [sample for images in sets for sample in (*images.train, *images.test)]
    groups = {sample.group for sample in known}
    paths = [sample.path for sample in known] + [each.picture for each in reviews.pictures]
    first = len(known)
    copies = {other - first for one, other in twins(paths) if one < first <= other}
    kept: list[Reviewed] = []
    left_out: list[Reviewed] = []
    for index, each in enumerate(reviews.pictures):
        is_known = index in copies or each.part in groups
        (left_out if is_known else kept).append(each)
    found = {IN_DATA: [each.name for each in left_out]} if left_out else {}
    return ReviewSet(tuple(kept), {**reviews.left_out, **found})


def _samples(pictures: Sequence[Reviewed], scratch: Path, record: RunRecord) -> tuple[Sample, ...]:
    """The reviewed pictures as labelled samples; masks are drawn into `scratch`."""
    samples = [
        Sample(
            each.picture, each.label, f"review/{each.part}",
            each.write_mask(scratch / f"{number}_mask.png"),
        )
        for number, each in enumerate(pictures)
    ]  # fmt: skip
    if record.geometry is not None:
        return viewed(samples, ViewTransform(record.geometry))
    return tuple(samples)


def _teaching(pictures: Sequence[Reviewed], samples: Sequence[Sample]) -> list[Sample]:
    """Defects, and good parts that were rejected; what passed and is good teaches nothing new."""
    pairs = zip(pictures, samples, strict=True)
    return [s for each, s in pairs if not s.is_good or each.verdict != "pass"]


def _prove(
    ground: Ground,
    lesson: Lesson,
    frozen: Sequence[Sample],
    judged: Sequence[Sample],
    progress: Progress,
) -> Proof:
    detectors = (ground.detector, lesson.learned.detector)
    advance = progress("frozen test", len(frozen) + len(judged))
    return prove(
        (frozen, scores_by(detectors, frozen, ground.shape, advance)),
        (judged, scores_by(detectors, judged, ground.shape, advance)),
        (ground.calibration, lesson.learned.calibration),
    )


def _write(
    request: Request, folder: Path, ground: Ground, lesson: Lesson, names: NameLesson | None
) -> RunRecord:
    learned, types = lesson.learned, ground.record.types
    detector = learned.detector
    if names is not None:
        detector, types = names.detector, names.types
    record = ground.record.model_copy(
        update={"model": detector.settings, "false_rejects": learned.rejects, "types": types}
    )
    write_calibration(folder, learned.calibration)
    if (request.run / FRAMES).is_file():  # not in runs from before it
        shutil.copyfile(request.run / FRAMES, folder / FRAMES)
    if learned.is_changed and ground.products is not None:
        scores = learned.calibration.scores
        write_golden(folder, ground.products.held_out, scores, record.training.seed)
    else:
        shutil.copytree(request.run / GOLDEN, folder / GOLDEN)
    write_model(folder, detector)
    write_record(folder, record)
    return record


def _write_frozen(folder: Path, frozen: Sequence[Sample]) -> None:
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(("file", "label", "sha256"))
    for sample in frozen:
        digest = hashlib.sha256(sample.path.read_bytes()).hexdigest()
        rows.writerow((f"{sample.label}/{sample.path.name}", sample.label, digest))
    write_text(folder / FROZEN, text.getvalue())


def _document(
    reviews: ReviewSet,
    left_out: Mapping[str, Sequence[str]],
    lesson: Lesson,
    names: NameLesson | None,
    proof: Proof,
) -> str:
    learned = lesson.learned
    trials = {"false_rejects": learned.rejects, "defects": learned.probe}
    return json.dumps(
        {
            "schema": "edge-inspection.update/1",
            "reviews": [each.name for each in reviews.pictures],
            "recipes": sorted({each.recipe for each in reviews.pictures}),
            "left_out": left_out,
            "is_changed": learned.is_changed,
            "share": lesson.share,
            "worth": {str(share): value for share, value in lesson.worth.items()},
            "trials": {n: t.model_dump() if t is not None else None for n, t in trials.items()},
            "names": names.as_json() if names is not None else None,
            "proof": proof.as_json(),
        },
        indent=1,
    )
