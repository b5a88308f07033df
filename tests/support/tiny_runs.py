"""Runs of tiny random vision transformers, as training would leave them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from edge.data.frames import InputShape, network_inputs
from edge.data.golden_pictures import write_golden
from edge.data.image_set import read_image_set, read_pixels
from edge.data.record import DataRecord
from edge.methods.inp_former.calibration import scaled
from edge.methods.inp_former.detector import Detector
from edge.methods.inp_former.settings import InpFormerNet, ModelSettings
from edge.methods.inp_former.training_settings import TrainingSettings
from edge.methods.multiads.network import MultiAdsDetector
from edge.methods.multiads.settings import ClipSettings, MultiAdsSettings
from edge.methods.multiads.training_settings import AdapterTraining
from edge.methods.run import write_model, write_record
from edge.methods.run_record import AdapterRecord, RunRecord
from edge.networks.backbones.settings import VitSettings
from edge.training.run_folder import Calibration, write_calibration

SIZE_WH = (128, 96)
WIDTH = 64


def dinov2() -> Detector:
    vit = VitSettings(
        name="dinov2_registers", width=WIDTH, depth=2, heads=2, patch=8, taps=(0, 1), groups=1
    )
    net = InpFormerNet(width=WIDTH, depth=1, heads=2, mlp_ratio=1)
    return Detector(ModelSettings(size_wh=SIZE_WH, backbone=vit, inp_former=net))


def clip() -> MultiAdsDetector:
    tower = ClipSettings(
        name="clip", width=WIDTH, depth=2, heads=2, patch=8, projection=32, position_grid=4,
        taps=(0, 1),
    )  # fmt: skip
    settings = MultiAdsSettings(
        size_wh=SIZE_WH, backbone=tower, text_width=32, product="plates", types=("crack",)
    )
    return MultiAdsDetector(settings)


@torch.no_grad()
def write_run(folder: Path, detector: Detector | MultiAdsDetector, plates: Path) -> None:
    """What training would leave of a detector, scored on twenty pictures."""
    is_aligned = isinstance(detector, MultiAdsDetector)
    samples = read_image_set(plates).train[:20]
    shape = InputShape(SIZE_WH)
    inputs = np.concatenate([network_inputs(read_pixels(s.path), shape) for s in samples])
    pixels = torch.from_numpy(inputs)
    if not is_aligned:
        detector = scaled(detector, detector.branch_maps(detector.extract(pixels)))
    scores = detector(pixels).score.tolist()
    data = DataRecord(
        name="plates", train_images=20, train_groups=20, held_out_images=20, held_out_groups=20,
        has_groups=False, frame_wh=(160, 128),
    )  # fmt: skip
    learned = AdapterRecord(
        products=("plates",), vocabulary=("crack",), train_pictures=1, validation_pictures=1
    )
    folder.mkdir()
    write_record(
        folder,
        RunRecord(
            created_by="test", created_at="now", preset="lite", weights="random", data=data,
            model=detector.settings,
            training=AdapterTraining() if is_aligned else TrainingSettings(),
            adapters=learned if is_aligned else None,
        ),
    )  # fmt: skip
    write_model(folder, detector)
    names = tuple(sample.path.name for sample in samples)
    greys = ((100.0, 30.0),) * len(names)
    write_calibration(folder, Calibration(names, names, tuple(scores), greys))
    write_golden(folder, samples, scores, seed=0)
