"""MAVIS' region stage: boxes, network and training."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from edge.errors import TrainingError
from edge.methods.mavis.losses import (
    neg_pair,
)
from edge.methods.mavis.region_stage import (
    RegionShape,
    RegionStage,
    fourier,
    inside,
    sine_places,
)
from edge.methods.mavis.region_training import (
    NO_LABEL,
    RegionPicture,
    RegionTraining,
    box_label,
    jittered,
    region_loss,
    roi_recall,
    train_regions,
    training_set,
    truth_boxes,
)
from edge.methods.mavis.rois import MAX_ROIS, roi_limits, select_rois
from edge.methods.mavis.training_settings import NPair


def units(*shape: int, seed: int = 0) -> torch.Tensor:
    return F.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)), dim=-1)


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
