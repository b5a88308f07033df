"""Types for a finished INP-Former run: a few labelled regions, aligned with text.

The model is a softmax regression whose classes are text vectors (edge.methods.types.regression).
Everything is convex, so there is no schedule to choose, and no epoch.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge.data.frame_record import FILE as FRAMES
from edge.data.frames import InputShape
from edge.data.golden_pictures import FOLDER as GOLDEN
from edge.data.golden_pictures import write_golden
from edge.data.held_out import hold_out_parts
from edge.data.image_set import ImageSet, Sample, check_masks, read_image_set
from edge.data.labelled_pictures import labelled
from edge.data.products import Products, read_products
from edge.data.viewed import viewed_set
from edge.errors import TrainingError
from edge.frame import GOOD
from edge.methods.inp_former.calibration import calibrate
from edge.methods.inp_former.detector import Detector
from edge.methods.inp_former.labelled_defects import learn_defects, learning_units
from edge.methods.inp_former.settings import ModelSettings
from edge.methods.inp_former.training_settings import TrainingSettings
from edge.methods.run import read_calibration, read_model, read_record, write_model, write_record
from edge.methods.run_files import ASIDE
from edge.methods.run_record import NegationRecord, ProbeTrial, RunRecord, TypesRecord
from edge.methods.types.network import text_rows
from edge.methods.types.regions import Regions, labelled_regions
from edge.methods.types.regression import FOLDS, Negation, solve, unseen
from edge.networks.text.bank import TextBank
from edge.networks.text.knowledge import DefectType, own_words, words
from edge.networks.text.minilm import MiniLm
from edge.networks.text.negation import defect_sentences, negated_rows
from edge.training.progress import Progress
from edge.training.run_folder import write_calibration

# Good parts that show what a false alarm looks like.
GOOD_PARTS = 60
# The line's threshold is near this quantile of the calibration scores.
LINE_QUANTILE = 0.95


@dataclass(frozen=True, slots=True)
class Request:
    """What the caller asks for.

    Attributes:
        run: the finished INP-Former run that is to name types.
        data: folders with labelled defects and masks; the run's own product may be among them.
        labelled: defects per type of the own product, 0 = all; other products give all they have.
        types: names to tell apart; empty takes those of the own product's folders, else all that
            were learned.
        negation: add MAVIS' N-pair term with denials ("a plate without scratch").
        names_only: leave map, score and threshold as they are.
    """

    run: Path
    data: tuple[Path, ...]
    labelled: int = 0
    types: tuple[str, ...] = ()
    negation: bool = False
    names_only: bool = False
    seed: int = 0


def fit_types(request: Request, folder: Path, progress: Progress) -> RunRecord:
    """Write a copy of the run that also names types into `folder`.

    Raises:
        DataError: a data folder cannot be used.
        TrainingError: `run` cannot name types, `folder` is taken, or nothing is labelled.
    """
    record, detector = _read(request.run)
    if folder.exists() and any(path.name != ASIDE for path in folder.iterdir()):
        raise TrainingError(f"--out {folder}: is not empty; choose another, or --fresh")
    sets = [check_masks(viewed_set(read_image_set(data), record.geometry)) for data in request.data]
    samples, own = _choose(sets, record, request)
    calibration = read_calibration(request.run)
    detector, probe, held_out = _with_defects(request, record, detector, sets, own, progress)
    if held_out:
        shape = InputShape(detector.settings.size_wh)
        advance = progress("calibration", len(held_out))
        detector, calibration = calibrate(detector, held_out, shape, advance)
    threshold = float(np.quantile(calibration.scores, LINE_QUANTILE))
    advance = progress("regions", len(samples))
    regions = labelled_regions(detector, samples, threshold, advance)
    advance = progress("types", (2 if request.negation else 1) * FOLDS + 1)
    names = request.types or tuple(dict.fromkeys(sample.label for sample in own))
    named, accuracy, negation = _learn(
        detector, record.data.name, regions, names, advance, with_negation=request.negation
    )
    found = TypesRecord(
        products=tuple(images.name for images in sets),
        vocabulary=_vocabulary(regions),
        regions=len(set(regions.groups)),
        accuracy=accuracy,
        negation=negation,
        own_defects=tuple(f"{s.label}/{s.path.name}" for s in own),
        probe=probe,
    )
    record = record.model_copy(update={"model": named.settings, "types": found})
    folder.mkdir(parents=True, exist_ok=True)
    write_calibration(folder, calibration)
    if (request.run / FRAMES).is_file():  # not in runs from before it
        shutil.copyfile(request.run / FRAMES, folder / FRAMES)
    if held_out:
        write_golden(folder, held_out, calibration.scores, record.training.seed)
    else:
        shutil.copytree(request.run / GOLDEN, folder / GOLDEN)
    write_model(folder, named)
    write_record(folder, record)
    return record


def _with_defects(
    request: Request,
    record: RunRecord,
    detector: Detector,
    sets: Sequence[ImageSet],
    own: tuple[Sample, ...],
    progress: Progress,
) -> tuple[Detector, ProbeTrial | None, Sequence[Sample]]:
    """Let the map learn the product's own labelled defects, if it can and may.

    Returns:
        The detector, what the trial of its new probe found, and the held-out good parts to
        calibrate it on anew; none where the map stays as it is.
    """
    if not own or request.names_only or detector.settings.map.chain != "calibrated":
        return detector, None, ()
    products = _good_parts(request.data, sets, record)
    if products is None:
        return detector, None, ()
    advance = progress("defects", learning_units(own, products))
    detector, probe = learn_defects(detector, own, products, request.seed, advance)
    return detector, probe, products.held_out if probe.is_kept else ()


def _good_parts(
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


def _learn(
    detector: Detector,
    product: str,
    regions: Regions,
    names: tuple[str, ...],
    advance: Callable[[int], None],
    *,
    with_negation: bool,
) -> tuple[Detector, float | None, NegationRecord | None]:
    """The detector with a branch that tells `names` apart, and how it does on unseen parts."""
    vocabulary = _vocabulary(regions)
    names = names or vocabulary
    bank = TextBank(MiniLm())
    kinds = types_by_name(bank, {*vocabulary, *names})
    learned = bank.rows(product, [kinds[name] for name in vocabulary])
    text_centre = learned.mean(0)
    rows = text_rows(learned, text_centre)
    held = unseen(regions, vocabulary, rows, advance)
    negation, change = None, None
    if with_negation:
        learned_kinds = [kinds[name] for name in vocabulary]
        sentences, _ = defect_sentences(bank, product, learned_kinds)
        denials = negated_rows(bank, product, learned_kinds)
        negation = Negation(text_rows(sentences, text_centre), text_rows(denials, text_centre))
        before, held = held, unseen(regions, vocabulary, rows, advance, negation)
        change = NegationRecord(
            error_before=before.negation_error(rows, negation),
            error_after=held.negation_error(rows, negation),
            denials_before=before.denial_error(rows, negation),
            denials_after=held.denial_error(rows, negation),
            accuracy_before=before.accuracy(rows),
        )
    weight, bias, centre, scale = solve(regions, vocabulary, rows, negation)
    advance(1)
    named = with_types(detector, names, bank.width)
    assert named.types is not None  # noqa: S101 - narrowing only
    wanted = text_rows(bank.rows(product, [kinds[name] for name in names]), text_centre)
    named.types.load_state_dict(
        {
            "weight": weight, "bias": bias, "centre": centre, "scale": scale,
            "bank": wanted, "text_centre": text_centre,
        }
    )  # fmt: skip
    return named, held.accuracy(rows), change


def _vocabulary(regions: Regions) -> tuple[str, ...]:
    return tuple(sorted(set(regions.labels) - {GOOD}))


def types_by_name(bank: TextBank, names: Sequence[str] | set[str]) -> dict[str, DefectType]:
    """The record behind every name; names that the table takes for one type keep their own words.

    Two folders with the same sentences would have the same row, and could not be distinguished.
    """
    known = {name: bank.table.type_of(name, merge=False) for name in names}
    merged = [bank.table.type_of(name).name for name in names]
    return {
        name: own_words(words(name)) if merged.count(bank.table.type_of(name).name) > 1 else kind
        for name, kind in known.items()
    }


def _read(run: Path) -> tuple[RunRecord, Detector]:
    record = read_record(run)
    if not isinstance(record.model, ModelSettings):
        raise TrainingError(
            f"--run {run}: expected an inp-former run, found {record.model.method}, which names "
            "types itself"
        )
    if record.tiles_wh != (1, 1):
        raise TrainingError(
            f"--run {run}: types are named on whole frames, the run cuts them into "
            f"{record.tiles_wh[0]}x{record.tiles_wh[1]} tiles; train one without --tiles"
        )
    detector = read_model(run, record)
    assert isinstance(detector, Detector)  # noqa: S101 - narrowing only
    return record, detector


def _choose(
    sets: Sequence[ImageSet], record: RunRecord, request: Request
) -> tuple[list[tuple[str, Sample]], tuple[Sample, ...]]:
    """Defects and good parts with their product, and which of the defects are the product's own."""
    rng = np.random.default_rng(request.seed)
    owned = {record.data.name, *record.data.products}
    samples: list[tuple[str, Sample]] = []
    own: tuple[Sample, ...] = ()
    for images in sets:
        is_own = images.name in owned
        defects = labelled(images.test, request.labelled if is_own else 0, rng)
        samples += [(images.name, sample) for sample in defects]
        good = images.train
        if is_own:
            own += defects
            good, _ = hold_out_parts(images, record.training.seed)
        for index in sorted(rng.permutation(len(good))[:GOOD_PARTS]):
            samples.append((images.name, good[int(index)]))
    if all(sample.is_good for _, sample in samples):
        raise TrainingError(
            "--data: no defect with a mask in test/<type> and ground_truth/<type>; give labelled "
            "defects"
        )
    return samples, own


def with_types(detector: Detector, names: tuple[str, ...], text_width: int) -> Detector:
    """Rebuild a detector with an empty branch for these types; all else stays as it is."""
    settings = detector.settings.model_copy(update={"types": names, "text_width": text_width})
    named = Detector(settings).eval()
    state = {k: v for k, v in detector.state_dict().items() if not k.startswith("types.")}
    named.load_state_dict(named.state_dict() | state)
    return named.requires_grad_(False)
