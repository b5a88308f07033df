"""MAVIS against its spec: N-pair loss, monitor and training; region stage and its boxes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from edge.errors import TrainingError
from edge.methods.mavis.losses import (
    choose_anchors,
    n_pair,
    neg_pair,
    negation_error,
    negation_gap,
    type_pair,
)
from edge.methods.mavis.network import (
    AlignedAdapters,
    RegionShape,
    RegionStage,
    folded,
    fourier,
    gated_map,
    inside,
    sine_places,
)
from edge.methods.mavis.regions import (
    NO_LABEL,
    RegionPicture,
    box_label,
    jittered,
    region_loss,
    roi_recall,
    train_regions,
    training_set,
    truth_boxes,
)
from edge.methods.mavis.rois import MAX_ROIS, roi_limits, select_rois
from edge.methods.mavis.texts import ProductTexts, product_texts
from edge.methods.mavis.trainer import ImageAnchors, NegationTrainer, cell_rows
from edge.methods.mavis.training_settings import NegationTraining, NPair, RegionTraining
from edge.methods.multiads.network import MultiAdsDetector, TypeAdapters
from edge.methods.multiads.settings import MultiAdsSettings
from edge.methods.multiads.trainer import AdapterTrainer, Shapes
from edge.networks.residual_adapter import ResidualAdapter
from edge.networks.text.knowledge import knowledge


def units(*shape: int, seed: int = 0) -> torch.Tensor:
    return F.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)), dim=-1)


# The loss (acceptance checks 1 and 2)


def test_with_all_negatives_it_is_the_cross_entropy() -> None:
    anchors, positive, texts = units(7, 16), units(16, seed=1), units(9, 16, seed=2)
    settings = NPair(k=9, margin=0.0)
    logits = anchors @ torch.cat([positive[None], texts]).T / settings.temperature
    expected = F.cross_entropy(logits, torch.zeros(7, dtype=torch.long))
    assert neg_pair(anchors, positive, texts, settings) == pytest.approx(float(expected), abs=1e-6)
    more = NPair(k=100, margin=0.0)
    assert neg_pair(anchors, positive, texts, more) == pytest.approx(float(expected), abs=1e-6)


def test_orthogonal_negatives_leave_next_to_nothing() -> None:
    basis = torch.eye(16)
    loss = neg_pair(basis[:1], basis[0], basis[1:6], NPair(k=5))
    assert float(loss) == pytest.approx(float(np.log1p(5 * np.exp(-0.95 / 0.07))), rel=1e-3)
    assert float(loss) == pytest.approx(6.4e-6, rel=0.02)


def test_only_the_nearest_negatives_count_and_push() -> None:
    anchors = units(1, 16).requires_grad_()
    texts = units(20, 16, seed=3).requires_grad_()
    neg_pair(anchors, units(16, seed=4), texts, NPair(k=3)).backward()
    nearest = (anchors @ texts.T)[0].topk(3).indices.tolist()
    assert texts.grad is not None
    assert sorted(nearest) == sorted(torch.nonzero(texts.grad.norm(dim=-1))[:, 0].tolist())
    # (1 / tau) (sum q u - (sum q) t+) by the spec
    gap = (anchors @ texts.T)[0, nearest] - anchors[0] @ units(16, seed=4) + 0.05
    odds = (gap / 0.07).exp()
    q = odds / (1 + odds.sum())
    expected = (q @ texts[nearest] - q.sum() * units(16, seed=4)) / 0.07
    assert torch.allclose(anchors.grad[0], expected, atol=1e-5)


def test_without_anchors_the_loss_is_nothing() -> None:
    empty = torch.zeros(0, 16)
    assert float(neg_pair(empty, units(16), units(3, 16), NPair())) == 0
    none = torch.zeros(0, dtype=torch.long)
    assert float(type_pair(empty, none, units(3, 16), units(4, 16), none, NPair())) == 0


def test_the_symmetric_term_opposes_normal_and_other_types_only() -> None:
    bank, texts = units(3, 16), units(6, 16, seed=1).requires_grad_()
    owners, rows = torch.tensor([1, 1, 1, 2, 2, 2]), torch.tensor([1, 2])
    anchors = units(2, 16, seed=2)
    loss = type_pair(anchors[:1], rows[:1], bank, texts, owners, NPair(k=10))
    loss.backward()
    moved = texts.grad.norm(dim=-1) > 0
    assert moved.tolist() == [False] * 3 + [True] * 3
    negatives = torch.cat([anchors[:1] @ bank[:1].T, anchors[:1] @ texts[3:].T], -1)
    expected = n_pair((anchors[:1] * bank[1]).sum(-1), negatives, NPair())
    assert loss.item() == pytest.approx(expected.mean().item(), abs=1e-6)


def test_half_of_the_anchors_are_the_hardest() -> None:
    anchors, texts = units(100, 16), units(5, 16, seed=1)
    chosen = choose_anchors(anchors, texts, 20, torch.Generator().manual_seed(0))
    again = choose_anchors(anchors, texts, 20, torch.Generator().manual_seed(0))
    assert torch.equal(chosen, again)
    assert len(set(chosen.tolist())) == 20
    hardest = (anchors @ texts.T).amax(-1).argsort(descending=True)[:10]
    assert set(hardest.tolist()) <= set(chosen.tolist())
    assert len(choose_anchors(anchors[:9], texts, 20, torch.Generator())) == 9


def test_the_monitor_counts_good_anchors_nearer_to_a_defects_text() -> None:
    basis = torch.eye(4)
    anchors = F.normalize(basis[[0, 0, 0, 1]] + 0.1 * basis[2], dim=-1)
    assert negation_error(anchors, basis[0], basis[1:]) == pytest.approx(0.25)
    assert negation_gap(anchors[:3], basis[0], basis[1:]) == pytest.approx(
        0.9 / 1.01**0.5, abs=1e-4
    )
    assert np.isnan(negation_error(anchors[:0], basis[0], basis[1:]))


# Adapters


def test_a_residual_adapter_starts_as_nothing_and_is_folded_into_the_bank() -> None:
    adapter, rows = ResidualAdapter(16), units(5, 16)
    assert torch.allclose(adapter(rows), rows, atol=1e-6)
    settings = MultiAdsSettings.model_validate(
        {
            "size_wh": (64, 64),
            "backbone": {"name": "efficientnet_lite0", "taps": (2, 4, 5, 6), "stride": 16},
            "text_width": 16,
            "product": "plate",
            "types": ("crack", "hole"),
            "has_text_adapter": True,
        }
    )
    detector = MultiAdsDetector(settings).eval()
    aligned = AlignedAdapters(detector.features.channels, 16)
    torch.nn.init.normal_(aligned.text.weight, generator=torch.Generator().manual_seed(0))
    detector.bank.copy_(units(3, 16))
    groups = tuple(torch.randn(1, 16, count) for count in detector.features.channels)
    with torch.no_grad():
        expected = aligned(groups, detector.bank.clone())
    detector.load_state_dict(detector.state_dict() | folded(aligned, detector))
    with torch.no_grad():
        found = detector.adapters(groups, detector.bank)
    assert type(detector.adapters) is TypeAdapters, "nothing is left of the text adapter"
    for one, other in zip(found, expected, strict=True):
        assert torch.allclose(one, other, atol=1e-4)


# Stage A on features made up: tokens of good cells lie nearer to a defect's text at first


@dataclass
class MadeUp:
    """What TypedInputs gives: 8 x 8 cells, masks twice as fine."""

    groups: torch.Tensor
    ids: torch.Tensor
    products: np.ndarray
    pictures: int

    def batch(self, indices):
        rows = list(indices)
        return (self.groups[rows],), self.ids[rows], torch.from_numpy(self.products[rows])


def made_up(count: int, seed: int) -> MadeUp:
    """A good token has direction 0, a defect of type d direction d, both plus noise."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.zeros(count, 16, 16, dtype=torch.long)
    for picture in range(0, count, 2):
        ids[picture, 4:8, 4:12] = 1 + (picture // 2) % 2
    rows = cell_rows(ids, 3, (8, 8))
    tokens = F.one_hot(rows.clamp_min(0), 12).float()
    tokens = tokens + 0.3 * torch.randn(count, 64, 12, generator=generator)
    return MadeUp(tokens, ids, np.zeros(count, np.int64), count)


def texts() -> ProductTexts:
    """All texts alike, those of defects as near to a good token as the normal one."""
    common = 3 * units(1, 12, seed=5)
    sentences = F.normalize(common + units(8, 12, seed=6), dim=-1)
    rows = F.normalize(common + units(3, 12, seed=7), dim=-1)
    return ProductTexts(rows, sentences, torch.tensor([1] * 4 + [2] * 4))


def trained(folder: Path, epochs: int, *, with_terms: bool = True) -> NegationTrainer:
    folder.mkdir(exist_ok=True)
    torch.manual_seed(0)
    adapters = AlignedAdapters((12,), 12, image=ResidualAdapter(12))
    weight = 0.25 if with_terms else 0.0
    settings = NegationTraining(
        epochs=epochs, least_steps=0, batch=4, warmup=3, lr=1e-2, patch_weight=weight,
        image_weight=weight, type_weight=weight, anchors=24,
    )  # fmt: skip
    none = torch.zeros(6, dtype=torch.long)
    images = ImageAnchors(units(6, 12, seed=8), none, none)
    shapes = Shapes((8, 8), (16, 16), "softmax-first")
    trainer = NegationTrainer(adapters, [texts()], shapes, settings, folder, made_up(4, 1), images)
    inputs = made_up(12, 0)
    trainer.run(inputs, lambda: float(len(trainer.values)), lambda _: None)
    return trainer


def test_training_lowers_the_negation_error_and_says_so(tmp_path: Path) -> None:
    trainer = trained(tmp_path / "with", 6)
    log = [json.loads(line) for line in (tmp_path / "with" / "log.jsonl").read_text().splitlines()]
    assert [entry["epoch"] for entry in log] == [0, 1, 2, 3, 4, 5, 6]
    assert log[0]["negation_error"] > 0.3
    assert log[-1]["negation_error"] < 0.5 * log[0]["negation_error"]
    assert log[-1]["negation_error"] == pytest.approx(trainer.negation_error(), abs=1e-6)
    without = trained(tmp_path / "without", 6, with_terms=False)
    assert trainer.negation_error() < without.negation_error()
    for moved in (trainer.aligned.text, trainer.aligned.image):
        assert float(moved.weight.detach().abs().max()) > 0


def test_types_stay_apart(tmp_path: Path) -> None:
    held = made_up(8, 3)
    groups, ids, _ = held.batch(range(8))
    rows = cell_rows(ids, 3, (8, 8))
    right = {}
    for name in ("with", "without"):
        trainer = trained(tmp_path / name, 12, with_terms=name == "with")
        with torch.no_grad():
            named = trainer.aligned(groups, texts().rows)[0].argmax(-1)
        right[name] = float((named == rows)[rows > 0].float().mean())
    assert right["with"] > 0.75
    assert right["with"] >= right["without"]


def test_labelled_pictures_have_the_symmetric_term_at_image_level(tmp_path: Path) -> None:
    """L_img over good pictures, and over defective ones what keeps types alive."""
    trainer = trained(tmp_path / "run", 1)
    inputs, rows = units(6, 12, seed=9), torch.tensor([0, 1, 0, 2, 0, 1])
    trainer.images = ImageAnchors(inputs, torch.zeros(6, dtype=torch.long), rows)
    with torch.no_grad():
        bank, sentences = trainer._adapted(0)
        found = trainer._image_loss({0: (bank, sentences)}, 6, torch.Generator())
        seen, image = trainer.aligned.image(inputs), trainer.negation.image
        good = neg_pair(seen[rows == 0], bank[0], sentences, image)
        bad = type_pair(seen[rows > 0], rows[rows > 0], bank, sentences, texts().owners, image)
    assert float(bad) > 0.1
    assert float(found) == pytest.approx(float(good + bad), abs=1e-5)


def test_there_are_no_terms_before_the_warm_up_is_over(tmp_path: Path) -> None:
    """Three steps of warm-up are the three steps of the first epoch."""
    both = [trained(tmp_path / name, 1, with_terms=name == "with") for name in ("with", "without")]
    first, second = (dict(trainer.parameters) for trainer in both)
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_an_interrupted_training_goes_on_as_if_it_had_not_been(tmp_path: Path, monkeypatch) -> None:
    whole = trained(tmp_path / "whole", 4)
    original, epochs = AdapterTrainer._epoch, iter(range(4))

    def until_the_third(self, *arguments):
        if next(epochs) == 2:
            raise KeyboardInterrupt
        return original(self, *arguments)

    monkeypatch.setattr(NegationTrainer, "_epoch", until_the_third)
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "parts", 4)
    monkeypatch.undo()
    parts = trained(tmp_path / "parts", 4)
    for name, value in whole.parameters.items():
        assert torch.equal(value, parts.parameters[name]), name


def test_cells_are_good_or_of_a_type_or_neither() -> None:
    ids = torch.zeros(1, 8, 8, dtype=torch.long)
    ids[0, :4, :4], ids[0, 4:, 4:6] = 2, 1  # a whole cell, and half of another
    ids[0, 0, 4] = 1  # a sixteenth
    assert cell_rows(ids, 3, (2, 2)).tolist() == [[2, -1, 0, -1]]


class Alphabet:
    """An encoder that counts letters: unit rows, different for different sentences."""

    width = 26

    def encode(self, sentences):
        counts = [[text.count(chr(97 + i)) + 0.1 for i in range(26)] for text in sentences]
        return F.normalize(torch.tensor(counts), dim=-1)


def test_excluded_types_push_nothing_away() -> None:
    from edge.networks.text.bank import TextBank

    kinds = knowledge().type_list(["scratch", "hole", "crack"])
    bank = TextBank(Alphabet())
    plain = product_texts(bank, "something new", kinds)
    assert sorted(set(plain.owners.tolist())) == [1, 2, 3]
    assert plain.rows.shape == (4, 26)
    perforated = product_texts(bank, "grid", kinds)  # holes are what a grid is made of
    hole = 1 + [kind.name for kind in kinds].index("hole")
    assert sorted(set(perforated.owners.tolist())) == sorted({1, 2, 3} - {hole})
    assert len(perforated.sentences) == len(perforated.owners)


# Boxes


def test_boxes_of_a_map() -> None:
    level = np.zeros((20, 30), np.float32)
    level[2:5, 4:9] = 2.0
    level[10, 20] = 1.5  # single cells: above the high limit or not
    level[15, 2] = 3.5
    rois = select_rois(level, (1.0, 3.0))
    assert rois.boxes_xyxy.tolist() == [
        pytest.approx([3 / 30, 1 / 20, 10 / 30, 6 / 20]),
        pytest.approx([1 / 30, 14 / 20, 4 / 30, 17 / 20]),
    ]
    assert rois.scores.tolist() == pytest.approx([2 * 15**0.5, 3.5])
    assert rois.cells.sum((1, 2)).tolist() == [15, 1]


def test_overlapping_boxes_give_way_and_at_most_four_stay() -> None:
    ring = np.zeros((20, 20), np.float32)
    ring[4, 4:16] = ring[15, 4:16] = ring[4:16, 4] = ring[4:16, 15] = 1.0
    ring[6:14, 6:14] = 2.0  # inside the ring, not connected with it
    assert len(select_rois(ring, (0.5, 3.0)).boxes_xyxy) == 1
    many = np.zeros((20, 20), np.float32)
    for i in range(6):
        many[3 * i : 3 * i + 2, 2:4] = 1.0 + i
    rois = select_rois(many, (0.5, 9.0))
    assert len(rois.boxes_xyxy) == MAX_ROIS
    assert rois.scores.tolist() == sorted(rois.scores.tolist(), reverse=True)
    assert rois.scores[0] == pytest.approx(12)


def test_limits_are_quantiles_of_good_cells() -> None:
    maps = (
        np.random.default_rng(0)
        .permutation(np.arange(10_000, dtype=np.float32))
        .reshape(1, 100, 100)
    )
    low, high = roi_limits(maps)
    assert (low, high) == (pytest.approx(9949, abs=1), pytest.approx(9994, abs=1))


def test_the_selectors_recall_is_a_figure_of_its_own() -> None:
    rows = np.zeros((20, 20), np.uint8)
    rows[2:5, 2:5], rows[14:17, 14:17] = 1, 2
    level = np.zeros((10, 10), np.float32)
    level[1:3, 1:3] = 2
    assert roi_recall([select_rois(level, (1.0, 9.0))], [rows]) == pytest.approx(0.5)
    assert roi_recall([select_rois(level * 0, (1.0, 9.0))], [rows]) == 0
    assert np.isnan(roi_recall([select_rois(level, (1.0, 9.0))], [rows * 0]))


# The region stage (acceptance checks 3 to 5)

SMALL = RegionShape(tokens=24, text=16, width=32, queries=4, blocks=2, heads=4)


def stage(seed: int = 0) -> RegionStage:
    torch.manual_seed(seed)
    return RegionStage(SMALL).eval()


def scene(count: int = 2):
    generator = torch.Generator().manual_seed(1)
    tokens = torch.randn(count, 80, 24, generator=generator)
    anomaly = torch.rand(count, 8, 10, generator=generator)
    boxes = torch.tensor([[0.1, 0.1, 0.4, 0.5], [0.5, 0.25, 0.9, 0.75], [0.0, 0.0, 0.2, 0.25]])
    return tokens, anomaly, boxes.expand(count, -1, -1), units(5, 16)


def test_it_has_the_sizes_of_the_spec() -> None:
    published = RegionStage(RegionShape())
    count = sum(value.numel() for value in published.parameters())
    assert count == 2_602_753
    tokens, anomaly, boxes, types = scene()
    logits, vectors = stage()(tokens, anomaly, boxes, types)
    assert logits.shape == (2, 3, 6)
    assert vectors.shape == (2, 3, 16)
    assert torch.allclose(vectors.norm(dim=-1), torch.ones(2, 3), atol=1e-5)
    assert torch.allclose(logits[..., 1:], vectors @ types.T / 0.07, atol=1e-4)


def test_boxes_that_change_places_change_outputs() -> None:
    built, (tokens, anomaly, boxes, types) = stage(), scene()
    with torch.no_grad():
        logits, _ = built(tokens, anomaly, boxes, types)
        swapped, _ = built(tokens, anomaly, boxes[:, [1, 0, 2]], types)
        alone, _ = built(tokens[:1], anomaly[:1], boxes[:1, 1:2], types)
    assert torch.allclose(swapped, logits[:, [1, 0, 2]], atol=1e-5)
    assert torch.allclose(alone[0, 0], logits[0, 1], atol=1e-5)


def test_without_beta_the_map_does_not_guide() -> None:
    built, (tokens, anomaly, boxes, types) = stage(), scene()
    with torch.no_grad():
        guided, _ = built(tokens, anomaly, boxes, types)
        other_map, _ = built(tokens, 1 - anomaly, boxes, types)
        built.beta.zero_()
        plain, _ = built(tokens, anomaly, boxes, types)
        plain_too, _ = built(tokens, 1 - anomaly, boxes, types)
    assert guided.shape == plain.shape
    assert not torch.allclose(guided, plain, atol=1e-3)
    assert not torch.allclose(guided, other_map, atol=1e-3)
    assert torch.equal(plain, plain_too)


def test_a_region_sees_nothing_outside_its_box() -> None:
    built, (tokens, anomaly, boxes, types) = stage(), scene(1)
    cells = inside(boxes, (8, 10))[0, 0]
    changed = torch.where(cells[:, None], tokens[0], torch.randn(80, 24))[None]
    with torch.no_grad():
        before, _ = built(tokens, anomaly, boxes[:, :1], types)
        after, _ = built(changed, anomaly, boxes[:, :1], types)
        within, _ = built(tokens + cells[:, None], anomaly, boxes[:, :1], types)
    assert torch.allclose(before, after, atol=1e-5)
    assert not torch.allclose(before, within, atol=1e-3)


def test_a_picture_without_components_has_an_empty_report() -> None:
    rois = select_rois(np.zeros((8, 10), np.float32), (0.5, 1.0))
    assert rois.boxes_xyxy.shape == (0, 4)
    assert rois.cells.shape == (0, 8, 10)
    tokens, anomaly, _, types = scene(1)
    boxes = torch.from_numpy(rois.boxes_xyxy)[None]
    logits, vectors = stage()(tokens, anomaly, boxes, types)
    assert logits.shape == (1, 0, 6)
    assert vectors.shape == (1, 0, 16)
    assert torch.equal(gated_map(anomaly, boxes, logits[..., 0]), anomaly)


def test_boxes_on_the_grid_touch_exactly_their_cells() -> None:
    boxes = torch.tensor([[[0.3, 0.25, 0.6, 0.5], [0.95, 0.9, 1.0, 1.0], [0.5, 0.5, 0.5, 0.5]]])
    cells = inside(boxes, (8, 10)).view(3, 8, 10)
    assert cells[0].nonzero().tolist() == [[r, c] for r in (2, 3) for c in (3, 4, 5)]
    assert cells[1].nonzero().tolist() == [[7, 9]]
    assert cells[2].sum() == 1


def test_positions_tell_places_apart() -> None:
    assert fourier(torch.rand(2, 3, 4)).shape == (2, 3, 128)
    places = sine_places((8, 10), 32)
    assert places.shape == (80, 32)
    assert len(torch.unique(places, dim=0)) == 80


def test_a_false_alarm_lowers_the_map_in_its_box_by_half_at_most() -> None:
    anomaly = torch.ones(1, 8, 10)
    boxes = torch.tensor([[[0.0, 0.0, 0.5, 0.5], [0.4, 0.0, 0.6, 0.25]]])
    gated = gated_map(anomaly, boxes, torch.tensor([[1.0, 0.2]]))[0]
    assert float(gated[3, 0]) == pytest.approx(0.5)
    assert float(gated[0, 4]) == pytest.approx(0.9), "the box more likely to be a defect decides"
    assert float(gated[0, 5]) == pytest.approx(0.9)
    assert float(gated[7, 9]) == 1


# Stage B


def test_labels_of_boxes() -> None:
    rows = np.zeros((40, 40), np.uint8)
    rows[8:12, 8:12], rows[10:12, 10:20] = 1, 2
    assert truth_boxes(rows).tolist() == [pytest.approx([0.2, 0.2, 0.5, 0.3])]
    assert box_label(rows, np.array([0.2, 0.2, 0.3, 0.3], np.float32)) == 1
    assert box_label(rows, np.array([0.25, 0.25, 0.5, 0.3], np.float32)) == 2
    assert box_label(rows, np.array([0.0, 0.0, 1.0, 1.0], np.float32)) == 0
    moved = jittered(np.repeat(truth_boxes(rows), 200, 0), np.random.default_rng(0))
    assert np.abs(moved - truth_boxes(rows)).max(0) == pytest.approx([0.03, 0.01] * 2, rel=0.05)


def test_half_of_the_boxes_are_true_and_half_selected() -> None:
    rng = np.random.default_rng(0)
    rows = np.zeros((40, 40), np.uint8)
    for i in range(3):
        rows[12 * i + 2 : 12 * i + 8, 4:10] = 1
    level = np.zeros((10, 10), np.float32)
    for i in range(3):
        level[3 * i : 3 * i + 2, 7:9] = 2.0
    rois = select_rois(level, (1.0, 9.0))
    _, labels = training_set(rows, rois, rng)
    assert sorted(labels.tolist()) == [0, 0, 1, 1]
    boxes, labels = training_set(rows * 0, rois, rng)
    assert labels.tolist() == [0, 0, 0, NO_LABEL], "good parts teach false alarms"
    assert boxes[3].tolist() == [0, 0, 1, 1]


def test_false_alarms_are_pulled_to_the_normal_text_and_fillers_count_nothing() -> None:
    logits, vectors = torch.randn(1, 3, 4), units(1, 3, 16).requires_grad_()
    labels = torch.tensor([[0, 2, NO_LABEL]])
    normal, sentences = units(16, seed=3), units(5, 16, seed=4)
    loss = region_loss(logits, vectors, labels, normal, sentences, RegionTraining())
    entropy = F.cross_entropy(logits[0, :2], labels[0, :2])
    term = neg_pair(vectors[0, :1], normal, sentences, NPair())
    assert loss.item() == pytest.approx((entropy + 0.25 * term).item(), abs=1e-5)
    loss.backward()
    assert (vectors.grad.norm(dim=-1) > 0).tolist() == [[True, False, False]]


def test_the_stage_learns_types_and_false_alarms() -> None:
    generator = torch.Generator().manual_seed(0)
    pictures = []
    for index in range(24):
        label = index % 3
        tokens = 0.3 * torch.randn(80, 24, generator=generator)
        boxes = torch.tensor([[0.1, 0.0, 0.5, 0.5], *[[0.0, 0.0, 1.0, 1.0]] * 3])
        tokens[inside(boxes[None, :1], (8, 10))[0, 0], label] += 2
        labels = torch.tensor([label] + [NO_LABEL] * 3)
        pictures.append(
            RegionPicture(tokens, torch.rand(8, 10, generator=generator), boxes, labels)
        )
    built, bank, sentences = stage(), units(3, 16), units(6, 16, seed=1)
    settings = RegionTraining(epochs=12, lr=3e-3, batch=8)
    means = train_regions(built, pictures, bank, sentences, settings, lambda _: None)
    assert means[-1] < 0.5 * means[0]
    right = 0
    for picture in pictures:
        with torch.no_grad():
            logits, _ = built(
                picture.tokens[None], picture.anomaly[None], picture.boxes[None, :1], bank[1:]
            )
        right += int(logits[0, 0].argmax()) == int(picture.labels[0])
    assert right >= 22
    nothing = [
        RegionPicture(p.tokens, p.anomaly, p.boxes, p.labels * 0 + NO_LABEL) for p in pictures
    ]
    with pytest.raises(TrainingError, match="no picture has a box"):
        train_regions(built, nothing, bank, sentences, settings, lambda _: None)
