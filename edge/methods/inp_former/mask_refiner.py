"""PromptMAD's mask behind INP-Former: trained on what INP-Former misses, kept only if it wins."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edge.data.frames import Image, InputShape, network_inputs
from edge.data.image_set import Sample, read_view
from edge.data.synthetic_defects import add_defect
from edge.methods.inp_former.branches import HEAD
from edge.methods.inp_former.detector import Detector
from edge.methods.inp_former.settings import ModelSettings
from edge.methods.inp_former.training_settings import TrainingSettings
from edge.methods.promptmad.inputs import (
    MaskInputs,
    affordable,
    cells,
    draws,
    pixel_ap,
    spread,
)
from edge.methods.promptmad.refiner import ReconstructionMask
from edge.methods.promptmad.refiner_fitting import LEAST_GAIN, MaskTrainer, mask_units
from edge.methods.promptmad.settings import RefinerNet
from edge.methods.promptmad.training_settings import PromptTraining
from edge.methods.promptmad.words import defect_names
from edge.methods.run_record import RefinerTrial
from edge.networks.anomaly_map import good_scale, normalize, weighted_sum
from edge.networks.backbones.settings import PyramidSettings
from edge.networks.text.bank import TextBank
from edge.networks.text.minilm import MiniLm
from edge.training.staged_training import StagedTraining

if TYPE_CHECKING:
    from edge.training.progress import Progress

# Held-out pictures of the trial; each is judged as it is and with one synthetic defect.
HELD_PICTURES = 60
# Mask cells along one side of a grid cell: four pixels of input for a pyramid, half a patch for a
# vision transformer, whose grid is finer.
PYRAMID_UPSCALING, VIT_UPSCALING = 4, 2

Picture = tuple[Image, NDArray[np.bool_]]


def with_refiner(settings: ModelSettings, product: str) -> ModelSettings:
    """Return the same model with a mask whose text describes the product."""
    bank = TextBank(MiniLm())
    is_pyramid = isinstance(settings.backbone, PyramidSettings)
    net = RefinerNet(
        text_width=bank.width,
        types=defect_names(product, (), bank.table),
        upscaling=PYRAMID_UPSCALING if is_pyramid else VIT_UPSCALING,
    )
    return settings.model_copy(update={"refiner": net})


def train_refiner(
    detector: Detector,
    product: str,
    train: Sequence[Sample],
    held_out: Sequence[Sample],
    shape: InputShape,
    training: TrainingSettings,
    progress: Progress,
) -> tuple[Detector, RefinerTrial]:
    """Train the detector's mask in place; return the detector with it, or one without.

    The mask is kept where it raises the pixel precision of INP-Former's map by LEAST_GAIN on
    synthetic defects of held-out good pictures. Other branches take no part in this trial.
    """
    mask, net = _mask(detector), detector.settings.refiner
    if net is None:
        raise ValueError("the detector has no refiner")
    mask.text.set_rows(TextBank(MiniLm()).rows(product, net.types))
    settings = PromptTraining(seed=training.seed, reconstruction_steps=3 * training.head_steps)
    height, width = detector.features.grid_hw
    each = 2 * height * width * sum(detector.features.channels) * shape.tiles
    count = affordable(settings.inputs, each)
    held = list(_pairs(spread(held_out, HELD_PICTURES), settings.seed))
    advance = progress("refiner", count + len(held) + mask_units(settings))
    rng = np.random.default_rng((settings.seed, 2))
    drawn = ((pixels, truth) for _, pixels, truth in draws(train, count, rng))
    inputs = _mask_inputs(detector, drawn, shape)
    advance(count)
    judged = _mask_inputs(detector, held, shape)
    advance(len(held))
    staged = StagedTraining(mask, settings, folder=None)
    trainer = MaskTrainer(mask.refiner, mask.text, inputs, judged, settings, staged)
    trained = nn.ModuleList([mask.text, mask.refiner.segmentor])
    trial = trainer.train_denoiser(trainer.train_segmentor(trained, advance), advance)
    refiner = net.model_copy(update={"steps": trial.steps})
    detector = detector.adapted(detector.settings.model_copy(update={"refiner": refiner}))
    without, with_it = _both_ways(detector, held, shape)
    is_kept = with_it >= without + LEAST_GAIN
    trial = trial.model_copy(
        update={
            "with_mask": round(with_it, 6), "without": round(without, 6), "is_kept": is_kept
        }
    )  # fmt: skip
    return (detector if is_kept else without_mask(detector)), trial


def without_mask(detector: Detector) -> Detector:
    """Return the detector without its mask."""
    return detector.adapted(detector.settings.model_copy(update={"refiner": None}))


def _mask(detector: Detector) -> ReconstructionMask:
    mask = detector.branches[HEAD].scorer if HEAD in detector.branches else None
    if not isinstance(mask, ReconstructionMask):
        raise ValueError("the detector has no refiner")  # noqa: TRY004 - a wrong detector
    return mask


@torch.no_grad()
def _mask_inputs(detector: Detector, pictures: Iterable[Picture], shape: InputShape) -> MaskInputs:
    size_hw = _mask(detector).size_hw
    residuals, masks = [], []
    for pixels, truth in pictures:
        groups = detector.extract(torch.from_numpy(network_inputs(pixels, shape)))
        tokens = detector.patch_features(groups).residual
        residuals.append(tokens.mT.unflatten(-1, detector.features.grid_hw).half())
        masks += cells(truth, shape, size_hw)
    return MaskInputs(torch.cat(residuals), (), torch.from_numpy(np.stack(masks)))


@torch.no_grad()
def _both_ways(
    detector: Detector, pictures: Sequence[Picture], shape: InputShape
) -> tuple[float, float]:
    """Pixel precision of INP-Former's own map, and of the map with the mask as a branch."""
    with_mask = detector.branches.reconstruction_maps
    branch_maps, masks, good = [], [], []
    for pixels, truth in pictures:
        groups = detector.extract(torch.from_numpy(network_inputs(pixels, shape)))
        branch_maps.append(detector.branch_maps(groups)[:, :with_mask])
        good += [not truth.any()] * shape.tiles
    together, is_good = torch.cat(branch_maps), torch.tensor(good)
    maps = [_map_of(detector, together[:, :count], is_good) for count in (with_mask - 1, with_mask)]
    size_hw = (maps[0].shape[1], maps[0].shape[2])
    for _, truth in pictures:
        masks += cells(truth, shape, size_hw)
    truths = torch.from_numpy(np.stack(masks))
    without, with_it = (pixel_ap([each], truths) for each in maps)
    return without, with_it


def _map_of(detector: Detector, branch_maps: Tensor, is_good: Tensor) -> Tensor:
    """Anomaly maps (n, H, W) of the first branch maps (n, K, h, w), scaled on the good ones."""
    count = branch_maps.shape[1]
    slope = detector.map_tail_slope
    values = normalize(branch_maps, *good_scale(branch_maps[is_good]))
    fused = weighted_sum(
        values, detector.branches.weight[:count], None if slope is None else slope[:count]
    )
    return detector.smooth(fused)


def _pairs(samples: Sequence[Sample], seed: int) -> Iterator[Picture]:
    """Every picture as it is, and with a synthetic defect."""
    rng = np.random.default_rng((seed, 3))
    for sample in samples:
        view = read_view(sample)
        pixels = view.pixels_bgr
        yield pixels, np.zeros(pixels.shape[:2], np.bool_)
        changed, mask, _ = add_defect(pixels, rng, seen=view.seen)
        yield changed, mask
