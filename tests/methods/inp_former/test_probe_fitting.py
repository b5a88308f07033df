"""The cells that the probe is fitted to, of labelled and of synthetic defects."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from edge.data.frames import InputShape, network_inputs
from edge.data.image_set import Sample, read_image_set
from edge.data.synthetic_defects import AREA_DEFECTS, DEFECTS
from edge.methods.inp_former import probe_fitting
from edge.methods.inp_former.detector import Detector
from edge.methods.inp_former.probe_fitting import (
    SYNTHETIC_RIDGE,
    CellCollector,
    fit_probe,
    probe_of,
    synthetic_cells,
    synthetic_probes,
)
from edge.methods.inp_former.settings import BranchSettings
from edge.methods.inp_former.training_settings import TrainingSettings
from edge.methods.presets import find_preset, model_settings
from edge.networks.weights import PACKAGE, load_backbone

SHAPE = InputShape((160, 128))
FEW = TrainingSettings(probe_defects=60)


def built(branches: BranchSettings) -> Detector:
    """Lite on a 10 x 8 grid; only the backbone is trained."""
    torch.manual_seed(0)
    settings = model_settings(find_preset("lite"), SHAPE.size_wh, PACKAGE)
    detector = Detector(settings.model_copy(update={"branches": branches}))
    load_backbone(detector.features.backbone, PACKAGE)
    return detector.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def detector() -> Detector:
    return built(BranchSettings(probe=1))


def collector(detector: Detector, shape: InputShape = SHAPE) -> CellCollector:
    rng = np.random.default_rng(0)
    return CellCollector(detector, probe_of(detector, "probe"), shape, rng)


def noise(height: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 255, (height, 320, 3), np.uint8)


def test_all_pictures_weigh_alike_however_large_their_defects_are(detector: Detector) -> None:
    taker, pixels = collector(detector), noise(256)
    small, large = np.zeros((2, 256, 320), np.bool_)
    small[64:96, 64:96] = True  # one cell of 32 x 32 pixels
    large[:128] = True
    taker.take(pixels, small, kind=1, part=1)
    taker.take(pixels, large, kind=1, part=2)
    taker.take(pixels, None, kind=0, part=0)
    taken = taker.cells()
    sums = [float(taken.defect[taken.parts == part].sum()) for part in (0, 1, 2)]
    assert sums == pytest.approx([0, 1, 1])
    place = taken.where((taken.parts == 1) & (taken.defect > 0))
    assert len(place.defect) == 1
    assert float(place.good.sum()) == 0, "a covered cell is not good"
    groups = detector.extract(torch.from_numpy(network_inputs(pixels, SHAPE)))
    assert torch.allclose(place.tokens[0], torch.cat(groups, -1)[0, 2 * 10 + 2])


def test_some_cells_stand_for_a_large_defect(
    detector: Detector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probe_fitting, "DEFECT_CELLS", 10)
    taker = collector(detector)
    taker.take(noise(256), np.ones((256, 320), np.bool_), kind=1, part=1)
    taken = taker.cells()
    assert int((taken.defect > 0).sum()) == 10
    assert float(taken.defect.sum()) == pytest.approx(1)


def test_tiles_have_the_mask_of_their_place(detector: Detector) -> None:
    taker = collector(detector, InputShape(SHAPE.size_wh, (2, 1)))
    mask = np.zeros((128, 320), np.bool_)
    mask[:, 160:] = True  # the right tile
    taker.take(noise(128), mask, kind=1, part=1)
    taken = taker.cells()
    assert int((taken.defect > 0).sum()) == 80
    assert int((taken.good > 0).sum()) == 80


def test_cells_hold_what_the_probe_reads() -> None:
    detector = built(BranchSettings(probe=1, probe_neighbourhood=5))
    taker, pixels = collector(detector), noise(128)
    taker.take(pixels, None, kind=0, part=0)
    groups = detector.extract(torch.from_numpy(network_inputs(pixels, SHAPE)))
    expected = probe_of(detector, "probe").inputs(torch.cat(groups, -1))[0]
    assert expected.shape[1] == 2 * sum(detector.features.channels)
    assert torch.allclose(taker.cells().tokens, expected, atol=1e-6)


def train(plates: Path) -> tuple[Sample, ...]:
    return read_image_set(plates).train[:4]


def test_every_kind_has_a_probe_that_was_not_fitted_to_it(detector: Detector, plates: Path) -> None:
    unfitted = probe_of(detector, "probe")
    probes = synthetic_probes(detector, train(plates), SHAPE, FEW, lambda _: None)
    assert set(probes) == {"good", *DEFECTS}
    assert float(unfitted.weight.abs().max()) == 0, "the detector stays as it is"
    cells = synthetic_cells(detector, unfitted, train(plates), SHAPE, FEW, lambda _: None)
    assert set(cells.parts.tolist()) == {0, *range(1, len(DEFECTS) + len(AREA_DEFECTS) + 1)}
    whole = fit_probe(unfitted, cells, SYNTHETIC_RIDGE)
    assert torch.allclose(probes["good"].weight, whole.weight, atol=1e-4)
    few = cells.where((cells.defect > 0) | (torch.arange(len(cells.kinds)) % 4 == 0))
    number = 1 + list(DEFECTS).index("stain")
    expected = fit_probe(unfitted, few.where(few.parts != number), SYNTHETIC_RIDGE)
    assert torch.allclose(probes["stain"].weight, expected.weight, atol=1e-4)
    assert not torch.allclose(probes["stain"].weight, probes["good"].weight, atol=1e-3)
