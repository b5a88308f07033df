"""Runs made from models that were trained elsewhere, or for another product.

Nothing is trained here: weights come in whole, and good pictures of the product only set the
threshold. Since no picture is trained on, all of them count as held out.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Literal

from edge import __version__
from edge.bundle.store import sha256
from edge.data.frame_record import write_frames
from edge.data.frames import InputShape
from edge.data.golden_pictures import write_golden
from edge.data.image_set import ImageSet, frame_size, read_image_set
from edge.data.record import DataRecord
from edge.data.viewed import fitted, viewed_set
from edge.errors import ConfigError, TrainingError
from edge.geometry.geometry import Geometry
from edge.methods.inp_former.calibration import calibrate
from edge.methods.inp_former.checkpoint import (
    SIZES,
    checkpoint_settings,
    load_checkpoint,
    read_checkpoint,
)
from edge.methods.inp_former.detector import Detector
from edge.methods.inp_former.settings import BranchSettings, ModelSettings
from edge.methods.inp_former.training_settings import TrainingSettings
from edge.methods.run import read_model, read_record, write_model, write_record
from edge.methods.run_files import is_run, put_in_place
from edge.methods.run_record import Origin, RunRecord
from edge.training.progress import Progress
from edge.training.run_folder import MODEL, write_calibration


@dataclass(frozen=True, slots=True)
class CheckpointRequest:
    """Which checkpoint to import, and how its run detects defects.

    Attributes:
        size: small, base or large.
        data: folder of good pictures for the threshold; without it the run holds the model alone.
        size_wh: network input; the published one is 392 x 392.
        chain: see MapSettings.
        is_zero_shot: measure defects by the distance to prototypes, for products the model never
            saw.
        seed: of the golden set's synthetic defects.
        is_fresh: replace the run that the target folder holds, once the new one is complete.
        geometry: what of the frames is inspected; None inspects whole frames.
    """

    checkpoint: Path
    size: str
    data: Path | None = None
    size_wh: tuple[int, int] = (392, 392)
    chain: Literal["calibrated", "published"] = "published"
    is_zero_shot: bool = False
    seed: int = 0
    is_fresh: bool = False
    geometry: Geometry | None = None


def import_checkpoint(request: CheckpointRequest, folder: Path, progress: Progress) -> RunRecord:
    """Turn an INP-Former checkpoint into a run like those of our own training.

    Raises:
        ConfigError: the size is unknown or the network size impossible.
        TrainingError: the file is no such checkpoint, or `folder` is taken.
        DataError: the pictures cannot be used.
    """
    if request.size not in SIZES:
        raise ConfigError(f"--size: expected one of {', '.join(SIZES)}, got {request.size}")
    _refuse_taken(folder, request.is_fresh)
    shape = SIZES[request.size]
    if any(side % shape.patch for side in request.size_wh):
        width, height = request.size_wh
        raise ConfigError(f"--input: expected multiples of {shape.patch}, got {width}x{height}")
    if request.geometry is not None and request.data is None:
        raise ConfigError("--geometry goes with --data, whose pictures are seen through it")
    images = _seen(request.data, request.geometry) if request.data else None
    state = read_checkpoint(request.checkpoint, shape)
    prototypes = state["prototype_token"].shape[0]
    settings = checkpoint_settings(shape, prototypes, request.size_wh, request.chain)
    if request.is_zero_shot:
        settings = zero_shot(settings)
    detector = Detector(settings)
    load_checkpoint(detector, state)
    digest = sha256(request.checkpoint)
    record = RunRecord(
        created_by=f"edge-inspection {__version__}",
        created_at=_now(),
        preset=f"inp-former {request.size}",
        weights="in the checkpoint",
        data=_data_record(images, request.size_wh),
        model=settings,
        training=TrainingSettings(steps=0, seed=request.seed),
        geometry=images.geometry if images else None,
        origin=Origin(kind="checkpoint", name=request.checkpoint.name, sha256=digest),
    )
    _write(folder, record, detector, images, progress)
    return record


def reuse_run(
    source: Path,
    data: Path,
    folder: Path,
    progress: Progress,
    *,
    is_zero_shot: bool = False,
    is_fresh: bool = False,
    geometry: Geometry | None = None,
) -> RunRecord:
    """Make a run for the product in `data` out of the finished run `source`, without training.

    Map scales and threshold are set anew on the good pictures in `data`. Branches that remember
    the old product's good parts are left out. The geometry is kept, unless `geometry` stands in for
    it; only the colour of hidden pixels is found anew.

    Raises:
        TrainingError: `source` is not finished, or `folder` is taken.
        DataError: the pictures cannot be used, or the geometry does not fit one of them.
    """
    _refuse_taken(folder, is_fresh)
    old = read_record(source)
    if old.instant is not None:
        raise TrainingError(
            f"{source}: was made of few good parts at once (--instant) and holds no trained "
            "network; import a trained run"
        )
    if not isinstance(old.model, ModelSettings):
        raise TrainingError(f"{source}: expected a run of inp-former, got {old.model.method}")
    images = _seen(data, geometry or old.geometry)
    # Without the branches there is only one map, which is as it was before labelled defects.
    one_map = old.model.map.model_copy(update={"keep_prelabel_map": False})
    settings = old.model.model_copy(update={"branches": BranchSettings(), "map": one_map})
    if is_zero_shot:
        settings = zero_shot(settings)
    trained = read_model(source, old)
    assert isinstance(trained, Detector)  # noqa: S101 - narrowing only
    detector = trained.adapted(settings)
    record = old.model_copy(
        update={
            "created_by": f"edge-inspection {__version__}",
            "created_at": _now(),
            "data": _data_record(images, settings.size_wh),
            "model": settings,
            "geometry": images.geometry,
            "size_trials": (),
            "origin": Origin(kind="run", name=source.name, sha256=sha256(source / MODEL)),
        }
    )
    _write(folder, record, detector, images, progress)
    return record


def zero_shot(settings: ModelSettings) -> ModelSettings:
    """Return the same model, judging by the distance to the picture's own prototypes.

    The decoder and what reads it do not take part.
    """
    net = settings.inp_former.model_copy(update={"judge_by": "prototypes", "head": None})
    return settings.model_copy(update={"inp_former": net})


def _write(
    folder: Path,
    record: RunRecord,
    detector: Detector,
    images: ImageSet | None,
    progress: Progress,
) -> None:
    """Write the run aside and put it in place whole, so that a failure leaves nothing behind."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as scratch:
        run = Path(scratch) / "run"
        run.mkdir()
        write_record(run, record)
        if images is not None:
            shape = InputShape(record.model.size_wh, record.tiles_wh, record.overlap)
            good = images.train
            advance = progress("calibration", len(good))
            detector, calibration = calibrate(detector, good, shape, advance)
            write_calibration(run, calibration)
            write_frames(run, good)
            write_golden(run, good, calibration.scores, record.training.seed)
        write_model(run, detector)
        put_in_place(run, folder)


def _seen(data: Path, geometry: Geometry | None) -> ImageSet:
    """Read good pictures, seen through a geometry with their own colour for what it hides."""
    images = read_image_set(data)
    if not images.train:
        raise TrainingError(f"--data {images.name}: no pictures in train/good")
    if geometry is not None:
        geometry = fitted(geometry.model_copy(update={"fill_bgr": None}), images.train)
    return viewed_set(images, geometry)


def _refuse_taken(folder: Path, is_fresh: bool) -> None:
    if is_run(folder):
        if not is_fresh:
            raise TrainingError(f"--out {folder}: holds a run; choose another folder, or --fresh")
    elif folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise TrainingError(f"--out {folder}: exists and is no run; choose another folder")


def _data_record(images: ImageSet | None, size_wh: tuple[int, int]) -> DataRecord:
    if images is None:
        return DataRecord(
            name="none", train_images=0, train_groups=0, held_out_images=0, held_out_groups=0,
            has_groups=False, frame_wh=size_wh,
        )  # fmt: skip
    return DataRecord(
        name=images.name,
        train_images=0,
        train_groups=0,
        held_out_images=len(images.train),
        held_out_groups=len({sample.group for sample in images.train}),
        has_groups=images.has_groups,
        frame_wh=frame_size(images.train),
    )


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
