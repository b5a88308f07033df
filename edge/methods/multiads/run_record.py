"""run.yaml of a run that aligns patches with text: begun and finished."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timezone

from edge import __version__
from edge.data.image_set import ImageSet, Sample, frame_size
from edge.data.record import DataRecord, pictures_digest
from edge.errors import TrainingError
from edge.methods.multiads.training_set import Request, TrainingSet
from edge.methods.run_record import AdapterRecord, RunRecord
from edge.methods.settings import MethodSettings


def new_record(
    request: Request,
    training_set: TrainingSet,
    target: ImageSet,
    parts: tuple[Sequence[Sample], Sequence[Sample]],
    weights: str,
    model: MethodSettings,
) -> RunRecord:
    """Put together what a run is made of; `parts` are the target's good parts: used, held out.

    Raises:
        TrainingError: there are fewer good parts than the memory is to hold.
    """
    good, held_out = parts
    labelled = [p.sample for p in (*training_set.train, *training_set.validation)]
    if request.memory_frames > len(good):
        raise TrainingError(
            f"--few-shot {request.memory_frames}: only {len(good)} good pictures are left for it"
        )
    return RunRecord(
        created_by=f"edge-inspection {__version__}",
        created_at=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        preset=request.preset,
        weights=weights,
        data=DataRecord(
            name=target.name,
            train_images=len(good),
            train_groups=len({sample.group for sample in good}),
            held_out_images=len(held_out),
            held_out_groups=len({sample.group for sample in held_out}),
            has_groups=target.has_groups,
            frame_wh=frame_size(good),
            pictures_sha256=pictures_digest((*good, *held_out, *labelled)),
        ),
        geometry=target.geometry,
        model=model,
        training=request.training,
        adapters=AdapterRecord(
            products=tuple(images.name for images in training_set.sets),
            vocabulary=tuple(kind.name for kind in training_set.vocabulary),
            train_pictures=len(training_set.train),
            validation_pictures=len(training_set.validation),
            own_defects=tuple(f"{s.label}/{s.path.name}" for s in training_set.own),
        ),
    )


def with_outcome(record: RunRecord, outcome: Mapping[str, object]) -> RunRecord:
    """Note what training found: fields of AdapterRecord."""
    assert record.adapters is not None  # noqa: S101 - narrowing only
    return record.model_copy(update={"adapters": record.adapters.model_copy(update=outcome)})
