"""MAVIS' monitor and region stage on finished runs of its kin, for the ablation.

The region stage is trained on the labelled pictures of the run itself and as many good parts, and
measured on the others. The boxes are the selector's in both columns; without the stage a box gets
the row with the highest mean probability over its cells.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from edge.data.frames import InputShape, network_inputs
from edge.data.image_set import ImageSet, Sample, hold_out, read_pixels
from edge.data.labelled_pictures import TypedPicture, read_ids
from edge.methods.dapo.network import DapoDetector
from edge.methods.mavis.losses import negation_error
from edge.methods.mavis.region_stage import RegionShape, RegionStage
from edge.methods.mavis.region_training import (
    RegionPicture,
    RegionTraining,
    roi_recall,
    train_regions,
    training_set,
)
from edge.methods.mavis.rois import Rois, roi_limits, select_rois
from edge.methods.mavis.texts import product_texts
from edge.methods.multiads.network import MultiAdsDetector
from edge.methods.multiads.presets import text_encoder
from edge.methods.run import read_model, read_record
from edge.networks.text.bank import TextBank

# As many as stage A takes on a small set.
STEPS = 400


@dataclass(frozen=True)
class Seen:
    """One picture: (m, N, D) tokens of the levels, (h, w) map, (C, h, w) probabilities."""

    levels: torch.Tensor
    anomaly: torch.Tensor
    volume: torch.Tensor

    @property
    def tokens(self) -> torch.Tensor:
        """What the region stage gets, (N, D)."""
        return self.levels.mean(0)


def cell_error(run: Path, images: ImageSet) -> float:
    """Share of the cells of test/good, over all levels, whose nearest text is of a defect."""
    record = read_record(run)
    detector = read_model(run, record)
    texts = sentences(detector, record)
    return float(
        np.mean(
            [
                negation_error(look(detector, s).levels.flatten(0, 1), detector.bank[0], texts)
                for s in images.test
                if s.is_good
            ]
        )
    )


def picture_error(run: Path, images: ImageSet) -> float:
    """Share of test/good whose image vector's nearest text is of a defect."""
    record = read_record(run)
    detector = read_model(run, record)
    texts = sentences(detector, record)
    shape = InputShape(detector.settings.size_wh)
    with torch.no_grad():
        vectors = [
            detector.extract(torch.from_numpy(network_inputs(read_pixels(s.path), shape))).image
            for s in images.test
            if s.is_good
        ]
    return negation_error(torch.cat(vectors), detector.bank[0], texts)


def region_figures(run: Path, images: ImageSet) -> dict:
    """Types right of defects with a box, and boxes on good parts called a defect; both ways."""
    record = read_record(run)
    detector, seed = read_model(run, record), record.training.seed
    own = set(record.adapters.own_defects)
    learned = [s for s in images.test if f"{s.label}/{s.path.name}" in own]
    unseen = [s for s in images.test if f"{s.label}/{s.path.name}" not in own]
    good, held = hold_out(images.train, images.has_groups, seed)
    rng = np.random.default_rng(seed)
    good = [good[int(i)] for i in rng.permutation(len(good))[: len(learned)]]
    limits = roi_limits(np.stack([look(detector, s).anomaly.numpy() for s in held]))

    pictures = []
    for sample in (*learned, *good):
        seen = look(detector, sample)
        boxes, labels = training_set(rows_of(detector, sample), boxed(seen, limits), rng)
        pictures.append(RegionPicture(seen.tokens, seen.anomaly, boxes, labels))
    width = detector.settings.text_width
    torch.manual_seed(seed)
    stage = RegionStage(RegionShape(tokens=width, text=width))
    settings = RegionTraining(seed=seed, epochs=-(-STEPS // -(-len(pictures) // 16)))
    losses = train_regions(
        stage, pictures, detector.bank, sentences(detector, record), settings, lambda _: None
    )
    return judge(stage.eval(), detector, unseen, limits) | {"losses": [losses[0], losses[-1]]}


@torch.no_grad()
def judge(stage: RegionStage, detector: MultiAdsDetector, samples: list[Sample], limits) -> dict:
    right: dict[str, list[bool]] = {"without": [], "with": []}
    wrong: dict[str, list[bool]] = {"without": [], "with": []}
    found: list[Rois] = []
    masks = []
    for sample in samples:
        seen = look(detector, sample)
        rois = boxed(seen, limits)
        if not sample.is_good and sample.mask:
            found.append(rois)
            masks.append(rows_of(detector, sample))
        if not len(rois.boxes_xyxy):
            continue
        boxes = torch.from_numpy(rois.boxes_xyxy)[None]
        logits, _ = stage(seen.tokens[None], seen.anomaly[None], boxes, detector.bank[1:])
        means = [seen.volume[:, torch.from_numpy(cells)].mean(-1) for cells in rois.cells]
        probabilities = {"without": torch.stack(means), "with": logits[0].softmax(-1)}
        for name, rows in probabilities.items():
            if sample.is_good:
                wrong[name] += (rows.argmax(-1) != 0).tolist()
            else:
                best = rows[rows[:, 1:].amax(-1).argmax(), 1:].argmax()
                right[name].append(detector.settings.types[int(best)] == sample.label)
    return {
        "regions_right": {name: float(np.mean(hits)) for name, hits in right.items()},
        "regions_wrong": {
            name: float(np.mean(hits)) if hits else None for name, hits in wrong.items()
        },
        "boxed_defects": len(right["with"]),
        "boxes_on_good": len(wrong["with"]),
        "roi_recall": roi_recall(found, masks),
    }


@torch.no_grad()
def look(detector: MultiAdsDetector, sample: Sample) -> Seen:
    shape = InputShape(detector.settings.size_wh)
    inputs = torch.from_numpy(network_inputs(read_pixels(sample.path), shape))
    groups = detector.extract(inputs).groups
    tokens = [
        torch.nn.functional.normalize(adapter(group), dim=-1)
        for adapter, group in zip(detector.adapters.adapters, groups, strict=True)
    ]
    volume = detector.grid_volume(detector.adapters(groups, detector.bank)) / detector.levels
    return Seen(torch.stack(tokens)[:, 0], 1 - volume[0, 0], volume[0])


def boxed(seen: Seen, limits: tuple[float, float]) -> Rois:
    return select_rois(seen.anomaly.numpy(), limits)


def rows_of(detector: MultiAdsDetector, sample: Sample) -> np.ndarray:
    types = detector.settings.types
    row = 1 + types.index(sample.label) if sample.label in types else 0
    return read_ids(TypedPicture(sample, 0, row), detector.map_hw[::-1])


def sentences(detector: MultiAdsDetector, record) -> torch.Tensor:
    """Texts of defects as the run has them, (J, D): single sentences, or what prompts make."""
    if isinstance(detector, DapoDetector):
        return detector.bank[1:]
    bank = TextBank(text_encoder(record.preset, record.weights))
    kinds = [bank.table.type_of(name) for name in detector.settings.types]
    with torch.no_grad():
        texts = product_texts(bank, record.data.name, kinds).sentences
        return texts if detector.text_adapter is None else detector.text_adapter(texts)
