"""The defect probe: its log-odds, what teaches it, its share, and when it stays out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from edge.data.frames import InputShape, network_inputs
from edge.data.image_set import Sample, read_image_set, read_pixels
from edge.data.products import read_products
from edge.data.synthetic_defects import AREA_DEFECTS, DEFECTS
from edge.errors import TrainingError
from edge.methods.inp_former import labelled_defects
from edge.methods.inp_former import probe_fitting as defect_probe
from edge.methods.inp_former.branch_fitting import rebuilt, weigh_branches
from edge.methods.inp_former.defect_probe import DefectProbe
from edge.methods.inp_former.detector import Detector
from edge.methods.inp_former.fit import calibrate
from edge.methods.inp_former.labelled_defects import learn_defects
from edge.methods.inp_former.probe_fitting import (
    LABELLED_RIDGE,
    SYNTHETIC_RIDGE,
    CellCollector,
    Cells,
    fit_probe,
    synthetic_cells,
    synthetic_probes,
)
from edge.methods.inp_former.settings import BranchSettings
from edge.methods.inp_former.training_settings import TrainingSettings
from edge.methods.presets import find_preset, model_settings
from edge.methods.run import read_model, read_record
from edge.networks.neighbourhood import Neighbourhood
from edge.networks.weights import PACKAGE, load_backbone

SHAPE = InputShape((160, 128))
FEW = TrainingSettings(probe_defects=60)
# Without surroundings; what they change: test_neighbourhood.py.
ALONE = Neighbourhood((1, 1), 1)


@pytest.fixture(scope="module")
def detector() -> Detector:
    """Lite on a 10 x 8 grid with the probe alone; only the backbone is trained."""
    torch.manual_seed(0)
    settings = model_settings(find_preset("lite"), SHAPE.size_wh, PACKAGE)
    settings = settings.model_copy(update={"branches": BranchSettings(probe=1)})
    built = Detector(settings).eval()
    load_backbone(built.features.backbone, PACKAGE)
    return built.requires_grad_(False)


def train(plates: Path) -> tuple[Sample, ...]:
    return read_image_set(plates).train


def test_it_says_the_log_odds_of_any_kind() -> None:
    torch.manual_seed(0)
    probe = DefectProbe(5, 3, ALONE)
    probe.weight.copy_(torch.randn(5, 3))
    probe.bias.copy_(torch.randn(3))
    tokens = torch.randn(2, 7, 5)
    logits = torch.cat([torch.zeros(2, 7, 1), tokens @ probe.weight + probe.bias], -1)
    likely = logits.softmax(-1)
    expected = (likely[..., 1:].sum(-1) / likely[..., 0]).log()
    assert torch.allclose(probe(tokens), expected, atol=1e-5)
    far = probe(tokens * 1e4)
    assert torch.isfinite(far).all(), "exponentials of large logits overflow"


def cells(tokens: torch.Tensor, kinds: torch.Tensor) -> Cells:
    return Cells(tokens, kinds, (kinds > 0).float(), (kinds == 0).float(), kinds)


def test_it_finds_the_directions_of_its_kinds_in_raw_tokens() -> None:
    torch.manual_seed(1)
    spread = torch.logspace(-2, 2, 20)  # channels of very different size
    kinds = torch.arange(600) % 3
    tokens = torch.randn(600, 20)
    tokens[kinds == 1, 4] += 6
    tokens[kinds == 2, 9] += 6
    probe = DefectProbe(20, 2, ALONE)
    fit_probe(probe, cells(tokens * spread, kinds), LABELLED_RIDGE)
    fresh = torch.randn(300, 20)
    fresh[100:200, 4] += 6
    fresh[200:, 9] += 6
    odds = probe((fresh * spread)[None])[0]
    assert (odds[:100] < 0).float().mean() > 0.95
    assert (odds[100:] > 0).float().mean() > 0.95


def test_nothing_to_learn_is_an_error() -> None:
    with pytest.raises(ValueError, match="no cell shows a defect"):
        fit_probe(
            DefectProbe(4, 1, ALONE),
            cells(torch.randn(9, 4), torch.zeros(9, dtype=torch.int64)),
            1e-3,
        )


def test_a_picture_weighs_alike_however_large_its_defect_is(detector: Detector) -> None:
    collector = CellCollector(detector, SHAPE, np.random.default_rng(0))
    pixels = np.random.default_rng(1).integers(0, 255, (256, 320, 3), np.uint8)
    small, large = np.zeros((2, 256, 320), np.bool_)
    small[64:96, 64:96] = True  # one cell of 32 x 32 pixels
    large[:128] = True
    collector.take(pixels, small, kind=1, part=1)
    collector.take(pixels, large, kind=1, part=2)
    collector.take(pixels, None, kind=0, part=0)
    taken = collector.cells()
    assert [float(taken.defect[taken.parts == part].sum()) for part in (0, 1, 2)] == [
        0,
        pytest.approx(1),
        pytest.approx(1),
    ]
    place = taken.where((taken.parts == 1) & (taken.defect > 0))
    assert len(place.defect) == 1
    assert float(place.good.sum()) == 0, "a covered cell is not good"
    groups = detector.extract(torch.from_numpy(network_inputs(pixels, SHAPE)))
    assert torch.allclose(place.tokens[0], torch.cat(groups, -1)[0, 2 * 10 + 2])


def test_some_cells_stand_for_a_large_defect(
    detector: Detector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(defect_probe, "DEFECT_CELLS", 10)
    collector = CellCollector(detector, SHAPE, np.random.default_rng(0))
    pixels = np.random.default_rng(1).integers(0, 255, (256, 320, 3), np.uint8)
    collector.take(pixels, np.ones((256, 320), np.bool_), kind=1, part=1)
    taken = collector.cells()
    assert int((taken.defect > 0).sum()) == 10
    assert float(taken.defect.sum()) == pytest.approx(1)


def test_tiles_have_the_mask_of_their_place(detector: Detector) -> None:
    tiled = InputShape(SHAPE.size_wh, (2, 1))
    collector = CellCollector(detector, tiled, np.random.default_rng(0))
    pixels = np.random.default_rng(1).integers(0, 255, (128, 320, 3), np.uint8)
    mask = np.zeros((128, 320), np.bool_)
    mask[:, 160:] = True  # the right tile
    collector.take(pixels, mask, kind=1, part=1)
    taken = collector.cells()
    assert int((taken.defect > 0).sum()) == 80
    assert int((taken.good > 0).sum()) == 80


def test_a_probe_for_every_kind_that_has_not_seen_it(detector: Detector, plates: Path) -> None:
    probes = synthetic_probes(detector, train(plates)[:4], SHAPE, FEW, lambda _: None)
    assert set(probes) == {"good", *DEFECTS}
    assert probes["good"] is detector.probe
    seen = synthetic_cells(detector, train(plates)[:4], SHAPE, FEW, lambda _: None)
    assert set(seen.parts.tolist()) == {0, *range(1, len(DEFECTS) + len(AREA_DEFECTS) + 1)}
    seen = seen.where((seen.defect > 0) | (torch.arange(len(seen.kinds)) % 4 == 0))
    number = 1 + list(DEFECTS).index("stain")
    expected = detector.probe.untaught()
    fit_probe(expected, seen.where(seen.parts != number), SYNTHETIC_RIDGE)
    assert torch.allclose(probes["stain"].weight, expected.weight, atol=1e-4)
    assert not torch.allclose(probes["stain"].weight, detector.probe.weight, atol=1e-3)


def test_its_share_is_tried_with_probes_that_have_not_seen_the_kind(
    detector: Detector, plates: Path
) -> None:
    """Blind to a kind that it has not seen, a probe has to go, whatever the one that has says."""
    wrong = detector.probe.untaught()
    wrong.bias.fill_(-100)
    own = detector.probe
    for of_kind, share in ((own, 0.3), (wrong, None)):
        detector.probe = own
        probes = {"good": own, **dict.fromkeys(DEFECTS, of_kind)}
        kept = weigh_branches(detector, probes, train(plates)[4:12], SHAPE, 0, lambda _: None)
        assert (kept.probe is not None) == (share is not None)
        if share is not None:
            assert float(kept.fuse.weight[-1]) == pytest.approx(share)


def test_the_probe_has_three_tenths_of_the_say_in_a_fresh_run(run: Path) -> None:
    record = read_record(run)
    assert record.model.branches.probe == 1
    assert float(read_model(run, record).fuse.weight[-1]) == pytest.approx(0.3)


def test_rebuilding_keeps_what_both_have(run: Path) -> None:
    detector = read_model(run, read_record(run))
    branches = detector.settings.branches.model_copy(update={"probe": 3})
    other = rebuilt(detector, branches)
    assert other.probe.weight.shape[1] == 3
    assert float(other.probe.weight.abs().sum()) == 0
    frame = torch.randint(0, 255, (1, 128, 160, 3), dtype=torch.uint8)
    groups = detector.extract(frame)
    assert torch.equal(detector.branches(groups)[:, :-1], other.branches(groups)[:, :-1])


def test_what_labelled_defects_cost_is_seen_and_left_out(
    run: Path, plates: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = read_record(run)
    detector = read_model(run, record)
    images = read_image_set(plates)
    defects = [sample for sample in images.test if sample.mask]
    products = read_products([plates], record.training.seed)
    taught, found = learn_defects(detector, defects, products, 0, lambda _: None)
    assert found.is_kept
    assert taught.probe.weight.shape[1] == len(images.defect_types)
    assert float(taught.fuse.weight[-1]) == pytest.approx(0.5)
    assert taught.companions[-2:] == ("probe_before", "probe")
    others, distances = taught.fuse.weight[:-2], detector.fuse.weight[:-1]
    assert torch.allclose(others / others.sum(), distances / distances.sum(), atol=1e-6)
    assert float(taught.fuse.weight[-2]) == 0

    def backwards(probe: DefectProbe, cells: Cells, ridge: float) -> None:
        fit_probe(probe, cells, ridge)
        probe.weight.neg_()
        probe.bias.neg_()

    def forgotten(detector: Detector, _grids: torch.Tensor) -> None:
        detector.before_line.copy_(torch.tensor([-100.0, 0.0]))

    monkeypatch.setattr(labelled_defects, "fit_probe", backwards)
    monkeypatch.setattr(labelled_defects, "align_before", forgotten)
    monkeypatch.setattr(labelled_defects, "SHARE", 4.0)
    same, found = learn_defects(detector, defects, products, 0, lambda _: None)
    assert not found.is_kept
    assert found.auroc_after < found.auroc_before
    assert same is detector


def one_type(plates: Path) -> list[Sample]:
    defects = [sample for sample in read_image_set(plates).test if sample.mask]
    return [sample for sample in defects if sample.label == defects[0].label]


def test_the_larger_of_what_stood_out_before_and_stands_out_now_counts(
    run: Path, plates: Path
) -> None:
    record = read_record(run)
    detector = read_model(run, record)
    products = read_products([plates], record.training.seed)
    taught, _ = learn_defects(detector, one_type(plates), products, 0, lambda _: None)
    calibrate(taught, products.held_out, SHAPE, lambda _: None)
    level = taught.fuse.level(seen(taught, products.held_out))
    now = taught.weighed(level, taught.fuse.weight)
    assert taught.probe_before.weight.tolist() == detector.probe.weight.tolist()
    assert taught.before_weight.tolist() == [*detector.fuse.weight.tolist(), 0]
    before = taught.weighed(level, taught.before_weight)
    offset, slope = taught.before_line
    for found, one, other in zip(
        taught.fused(seen(taught, products.held_out)), now, before, strict=True
    ):
        assert torch.allclose(found, torch.maximum(one, offset + slope * other), atol=1e-5)
    scores = (taught.grid_top(now[1]), offset + slope * taught.grid_top(before[1]))
    for rank in (0.5, 0.95):  # on the same scale where parts are good
        ranks = [float(torch.quantile(score, rank)) for score in scores]
        assert ranks[0] == pytest.approx(ranks[1], abs=0.05)


def test_what_a_lesson_speaks_against_stands_out_as_before(
    run: Path, plates: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = read_record(run)
    detector = read_model(run, record)
    products = read_products([plates], record.training.seed)

    def backwards(probe: DefectProbe, cells: Cells, ridge: float) -> None:
        fit_probe(probe, cells, ridge)
        probe.weight.neg_()
        probe.bias.neg_()

    monkeypatch.setattr(labelled_defects, "fit_probe", backwards)
    monkeypatch.setattr(labelled_defects, "TOLERANCE", 1.0)  # whatever it costs
    taught, _ = learn_defects(detector, one_type(plates), products, 0, lambda _: None)
    shown = [s for s in read_image_set(plates).test if s.label == one_type(plates)[0].label]

    def standing_out(judged: Detector) -> float:
        """Scores of defects, in units of how far good parts differ."""
        calibrate(judged, products.held_out, SHAPE, lambda _: None)
        good = judged.judge(seen(judged, products.held_out)).score
        found = judged.judge(seen(judged, shown)).score
        return float((found.mean() - good.median()) / (good.max() - good.median()))

    before = standing_out(detector)
    assert standing_out(taught) > 0.8 * before
    assert standing_out(alone(taught)) < 0.5 * before


def alone(taught: Detector) -> Detector:
    """A taught detector that has forgotten what stood out before."""
    drawing = taught.settings.map.model_copy(update={"before": False})
    other = rebuilt(taught, taught.settings.branches, drawing)
    other.fuse.weight.copy_(taught.fuse.weight)
    return other


def seen(detector: Detector, samples: Sequence[Sample]) -> torch.Tensor:
    frames = [network_inputs(read_pixels(sample.path), SHAPE) for sample in samples]
    with torch.no_grad():
        return detector.branches(detector.extract(torch.from_numpy(np.concatenate(frames))))


def test_taught_twice_it_still_sees_what_stood_out_at_first(run: Path, plates: Path) -> None:
    record = read_record(run)
    detector = read_model(run, record)
    products = read_products([plates], record.training.seed)
    defects = [sample for sample in read_image_set(plates).test if sample.mask]
    once, _ = learn_defects(detector, one_type(plates), products, 0, lambda _: None)
    twice, _ = learn_defects(once, defects, products, 0, lambda _: None)
    assert twice is not once
    assert twice.companions == once.companions
    assert twice.probe_before.weight.tolist() == detector.probe.weight.tolist()
    assert twice.before_weight.tolist() == once.before_weight.tolist()
    assert twice.fuse.weight.tolist() == once.fuse.weight.tolist()


def test_masks_that_mark_nothing_are_told(run: Path, plates: Path, tmp_path: Path) -> None:
    record = read_record(run)
    cv2.imwrite(str(tmp_path / "empty.png"), np.zeros((128, 160), np.uint8))
    defects = [
        replace(sample, mask=tmp_path / "empty.png")
        for sample in read_image_set(plates).test
        if sample.mask
    ][:3]
    products = read_products([plates], record.training.seed)
    with pytest.raises(TrainingError, match="found 3 empty masks"):
        learn_defects(read_model(run, record), defects, products, 0, lambda _: None)


def test_labelled_parts_are_judged_by_probes_that_were_not_taught_them(
    run: Path, plates: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = read_record(run)
    defects = [sample for sample in read_image_set(plates).test if sample.mask][::3]
    numbers = {group: 1 + i for i, group in enumerate(sorted({s.group for s in defects}))}
    taught: dict[DefectProbe, set[int]] = {}
    judged: dict[str, DefectProbe] = {}
    see = labelled_defects._see

    def spy_fit(probe: DefectProbe, training_set: Cells, _ridge: float) -> None:
        taught[probe] = set(training_set.parts.tolist())

    def spy_see(detector: Detector, before: Detector, sample: Sample, *rest):
        judged[sample.group] = detector.probe
        return see(detector, before, sample, *rest)

    monkeypatch.setattr(labelled_defects, "fit_probe", spy_fit)
    monkeypatch.setattr(labelled_defects, "_see", spy_see)
    products = read_products([plates], record.training.seed)
    kept, _ = learn_defects(read_model(run, record), defects, products, 0, lambda _: None)
    everything = {0, *numbers.values()}
    for group, number in numbers.items():
        assert number not in taught[judged[group]]
        assert len(taught[judged[group]]) > 1
    assert kept.probe is None or taught.get(kept.probe, everything) == everything
