"""MAVIS against its spec: N-pair loss, monitor and training; region stage and its boxes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from edge.methods.mavis.losses import (
    choose_anchors,
    n_pair,
    neg_pair,
    negation_error,
    type_pair,
)
from edge.methods.mavis.network import AlignedAdapters, folded
from edge.methods.mavis.texts import ProductTexts, product_texts
from edge.methods.mavis.trainer import ImageAnchors, NegationTrainer, cell_rows
from edge.methods.mavis.training_settings import NegationTraining, NPair
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


def trained(
    folder: Path, epochs: int, *, with_terms: bool = True, sign: int = 1
) -> NegationTrainer:
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
    trainer.run(inputs, lambda: float(sign * len(trainer.values)), lambda _: None)
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
    """Three steps of warm-up are the three steps of the first epoch, which is the best here."""
    both = [
        trained(tmp_path / name, 2, with_terms=name == "with", sign=-1)
        for name in ("with", "without")
    ]
    first, second = (dict(trainer.parameters) for trainer in both)
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_training_as_short_as_its_warm_up_has_terms_and_says_when(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    both = [trained(tmp_path / name, 1, with_terms=name == "with") for name in ("with", "without")]
    first, second = (dict(trainer.parameters) for trainer in both)
    assert any(not torch.equal(first[name], second[name]) for name in first)
    assert "3 steps are few: N-pair terms begin after 1 of them" in caplog.text


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
