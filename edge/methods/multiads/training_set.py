"""What a run of MultiADS or DAPO learns from, and which types its detector tells apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from edge.data.held_out import hold_out_parts
from edge.data.image_set import ImageSet, Sample, check_masks, read_image_set
from edge.data.labelled_pictures import TypedPicture, labelled, split
from edge.data.viewed import fitted, viewed_set
from edge.errors import TrainingError
from edge.geometry.geometry import Geometry
from edge.methods.multiads.settings import SoftmaxOrder
from edge.methods.multiads.training_settings import AdapterTraining
from edge.networks.text.knowledge import DefectType, knowledge


@dataclass(frozen=True, slots=True)
class Request:
    """What the caller asks for; None means the preset's choice.

    Attributes:
        data: products with labelled defects and masks, to learn types from.
        target: the product to inspect; None takes the last of `data`.
        types: names of the target's types; empty takes those of its test folders, else those that
            the knowledge base lists for it, else all that were trained on.
        memory_frames: good frames of the target for the few-shot memory, 0 = zero-shot.
        order: of softmax and enlargement, see MultiAdsSettings.
        geometry: of the target; other products, and None, are seen whole.
    """

    data: tuple[Path, ...]
    target: Path | None = None
    preset: str = "lite"
    weights: str | None = None
    size_wh: tuple[int, int] | None = None
    types: tuple[str, ...] = ()
    memory_frames: int = 0
    order: SoftmaxOrder = "softmax-first"
    training: AdapterTraining = field(default_factory=AdapterTraining)
    geometry: Geometry | None = None


@dataclass(frozen=True, slots=True)
class TrainingSet:
    """What the adapters learn from.

    Attributes:
        sets: the products; the last one is the target's own if it gives labelled defects.
        vocabulary: types of all products together, in table order.
        train, validation: labelled pictures.
        own: the target's pictures among them, which no longer serve to test it.
    """

    sets: tuple[ImageSet, ...]
    vocabulary: tuple[DefectType, ...]
    train: tuple[TypedPicture, ...]
    validation: tuple[TypedPicture, ...]
    own: tuple[Sample, ...]

    @property
    def rows(self) -> list[list[int]]:
        """Bank rows of each product's own types, normal (0) first."""
        pictures = (*self.train, *self.validation)
        return [
            sorted({0, *(picture.row for picture in pictures if picture.product == product)})
            for product in range(len(self.sets))
        ]


def read_target(request: Request) -> tuple[ImageSet, tuple[Sequence[Sample], Sequence[Sample]]]:
    """Read the target product and its good parts: those to use, those held out.

    Raises:
        DataError: the folder cannot be used.
        TrainingError: it holds no good parts.
    """
    target = read_image_set(request.target or request.data[-1])
    if not target.train:
        raise TrainingError(f"--target {target.name}: no pictures in train/good")
    if request.geometry is not None:
        target = viewed_set(target, fitted(request.geometry, target.train))
    target = check_masks(target)
    return target, hold_out_parts(target, request.training.seed)


def plan(request: Request, target: ImageSet, good: Sequence[Sample]) -> TrainingSet:
    """Choose the labelled pictures: defects with masks, and as many good parts beside them.

    Good parts come from train/good, so that test/good stays for tests; the target's own from the
    part that is not held out for its threshold.

    Raises:
        TrainingError: there is no labelled defect to learn from.
    """
    rng = np.random.default_rng(request.training.seed)
    table, wanted = knowledge(), request.training.labelled
    sets: list[ImageSet] = []
    chosen: list[tuple[Sample, ...]] = []
    own: tuple[Sample, ...] = ()
    own_folder = request.target or request.data[-1]
    # The target as it is seen, through its geometry.
    folders = [
        target if folder == own_folder else check_masks(read_image_set(folder))
        for folder in request.data
    ]
    if wanted and target not in folders:
        folders.append(target)
    for images in folders:
        is_target = images == target
        defects = labelled(images.test, wanted if is_target else 0, rng)
        goods = good if is_target else (images.train or [s for s in images.test if s.is_good])
        some = rng.permutation(len(goods))[: max(len(defects), 1)]
        if defects:
            sets.append(images)
            chosen.append((*defects, *(goods[index] for index in sorted(some))))
            own = defects if is_target else own
    vocabulary = table.type_list(s.label for samples in chosen for s in samples)
    if not vocabulary:
        raise TrainingError(
            "--data: no defect with a mask in test/<type> and ground_truth/<type>; give products "
            "with labelled defects"
        )
    train: list[TypedPicture] = []
    validation: list[TypedPicture] = []
    for product, samples in enumerate(chosen):
        for kept, part in zip((train, validation), split(samples, rng), strict=True):
            for sample in part:
                row = table.row_of(sample.label, vocabulary)
                kept.append(TypedPicture(sample, product, row or 0))
    return TrainingSet(tuple(sets), vocabulary, tuple(train), tuple(validation), own)


def target_types(request: Request, target: ImageSet, training_set: TrainingSet) -> tuple[str, ...]:
    """Names of the types that the detector tells apart, in bank order (MultiADS-F).

    Names of the target's own folders are kept as they are, unless the table merges some of them.
    """
    table = knowledge()
    if request.types or target.defect_types:
        names: dict[str, list[str]] = {}
        for name in request.types or target.defect_types:
            names.setdefault(table.type_of(name).name, []).append(name)
        ordered = table.type_list(names)
        return tuple(
            names[kind.name][0] if len(names[kind.name]) == 1 else kind.name for kind in ordered
        )
    listed = table.product(target.name)
    types = table.product_types(target.name) if listed else training_set.vocabulary
    return tuple(kind.name for kind in types)
