"""Labels for a finished INP-Former run: defects, their types, and false rejects.

Types are a few labelled regions, aligned with text. The model is a softmax regression whose classes
are text vectors (edge.methods.types.regression). Everything is convex, so there is no schedule to
choose, and no epoch.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from edge.data.frame_record import FILE as FRAMES
from edge.data.golden_pictures import FOLDER as GOLDEN
from edge.data.golden_pictures import write_golden
from edge.data.image_set import read_image_set
from edge.data.viewed import viewed_set
from edge.errors import TrainingError
from edge.methods.inp_former.detector import Detector
from edge.methods.inp_former.settings import ModelSettings
from edge.methods.run import read_model, read_record, write_model, write_record
from edge.methods.run_files import ASIDE
from edge.methods.run_record import RunRecord
from edge.methods.types.choosing import choose
from edge.methods.types.map_learning import learn_map, read_ground
from edge.methods.types.teaching import teach_names
from edge.training.progress import Progress
from edge.training.run_folder import write_calibration


@dataclass(frozen=True, slots=True)
class Request:
    """What the caller asks for.

    Attributes:
        run: the finished INP-Former run that is to name types.
        data: folders with labelled defects; the run's own product may be among them.
        labelled: defects per type of the own product, 0 = all, those with masks first; other
            products give all they have, and need masks.
        false_rejects: folder of good pictures that the station rejected; None for none.
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
    false_rejects: Path | None = None
    seed: int = 0


def fit_types(request: Request, folder: Path, progress: Progress) -> RunRecord:
    """Write a copy of the run that has learned labels, and also names types, into `folder`.

    Raises:
        DataError: a data folder cannot be used.
        TrainingError: `run` cannot learn labels, `folder` is taken, or nothing is labelled.
    """
    record, detector = read_run(request.run)
    if folder.exists() and any(path.name != ASIDE for path in folder.iterdir()):
        raise TrainingError(f"--out {folder}: is not empty; choose another, or --fresh")
    sets = [viewed_set(read_image_set(data), record.geometry) for data in request.data]
    chosen = choose(sets, record, request.labelled, request.seed)
    has_defects = any(not sample.is_good for _, sample in chosen.samples)
    if not has_defects and request.false_rejects is None:
        raise TrainingError(
            "--data: no defect in test/<type> or labels.csv that can teach; give labelled "
            "defects, or --false-rejects"
        )
    ground = read_ground(request.run, request.data, sets, record, detector)
    learned = learn_map(request, ground, chosen.own, progress)
    named, types = learned.detector, record.types
    if has_defects:
        products = [images.name for images in sets]
        named, types = teach_names(
            ground, learned, chosen, products, request.types, progress,
            with_negation=request.negation,
        )  # fmt: skip
    record = record.model_copy(
        update={"model": named.settings, "types": types, "false_rejects": learned.rejects}
    )
    folder.mkdir(parents=True, exist_ok=True)
    write_calibration(folder, learned.calibration)
    if (request.run / FRAMES).is_file():  # not in runs from before it
        shutil.copyfile(request.run / FRAMES, folder / FRAMES)
    if learned.is_changed and ground.products is not None:
        held_out, scores = ground.products.held_out, learned.calibration.scores
        write_golden(folder, held_out, scores, record.training.seed)
    else:
        shutil.copytree(request.run / GOLDEN, folder / GOLDEN)
    write_model(folder, named)
    write_record(folder, record)
    return record


def read_run(run: Path) -> tuple[RunRecord, Detector]:
    """Read a run that can learn labels.

    Raises:
        TrainingError: it is of another method, not trained, or damaged.
    """
    record = read_record(run)
    if not isinstance(record.model, ModelSettings):
        raise TrainingError(
            f"--run {run}: expected an inp-former run, found {record.model.method}, which names "
            "types itself"
        )
    if record.instant is not None:
        raise TrainingError(
            f"--run {run}: was made of few good parts at once (--instant); train it before it "
            "learns from defects"
        )
    detector = read_model(run, record)
    assert isinstance(detector, Detector)  # noqa: S101 - narrowing only
    return record, detector
