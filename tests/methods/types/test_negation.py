"""The N-pair term in the types' regression: good regions leave the texts of defects behind."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from edge.methods.run import read_record
from edge.methods.types.fit import Request, fit_types
from edge.methods.types.regions import Regions
from edge.methods.types.regression import (
    LOGITS,
    Negation,
    Unseen,
    solve,
    unseen,
)
from edge.networks.text.bank import TextBank
from edge.networks.text.knowledge import knowledge
from edge.networks.text.minilm import MiniLm
from edge.networks.text.negation import NEGATED, defect_sentences, negated_rows, negated_sentences
from edge.toolchain.packing.pack import PackOptions, pack_bundle

TYPES = ("crack", "hole")


def ignore(_done: int) -> None: ...


def rows_of(count: int, seed: int) -> torch.Tensor:
    return F.normalize(
        torch.randn(count, 16, generator=torch.Generator().manual_seed(seed)), dim=-1
    )


def regions(parts: int = 30, noise: float = 1.0) -> Regions:
    """Good, crack, hole in turn, four regions of each part."""
    rng = np.random.default_rng(0)
    tokens, labels, groups = [], [], []
    for part in range(parts):
        label = ("good", *TYPES)[part % 3]
        for _ in range(4):
            tokens.append(3 * np.eye(30)[part % 3] + rng.normal(0, noise, 30))
            labels.append(label)
            groups.append(f"p/{part}")
    return Regions(np.array(tokens, np.float32), tuple(labels), tuple(groups))


def texts(rows: torch.Tensor) -> Negation:
    """Denials next to what they deny, sentences all over: as encoders have it."""
    denials = F.normalize(rows[1:] + 0.4 * rows_of(2, 5), dim=-1)
    sentences = F.normalize(rows[1:].repeat_interleave(6, 0) + 0.9 * rows_of(12, 6), dim=-1)
    return Negation(sentences, denials)


def test_the_term_lowers_both_errors_on_parts_not_seen_and_keeps_types() -> None:
    rows, data = rows_of(3, 0), regions(noise=1.5)
    negation = texts(rows)
    before, after = (unseen(data, TYPES, rows, ignore, term) for term in (None, negation))
    assert len(before.classes) == len(data.labels)
    assert before.negation_error(rows, negation) > 0.2
    assert after.negation_error(rows, negation) <= 0.5 * before.negation_error(rows, negation)
    assert after.denial_error(rows, negation) <= 0.5 * before.denial_error(rows, negation)
    assert after.accuracy(rows) >= before.accuracy(rows) - 0.05


def test_without_the_term_nothing_changes() -> None:
    rows, data = rows_of(3, 0), regions()
    plain, again = solve(data, TYPES, rows), solve(data, TYPES, rows, None)
    assert all(torch.equal(one, other) for one, other in zip(plain, again, strict=True))
    moved = solve(data, TYPES, rows, texts(rows))
    assert not torch.allclose(plain.weight, moved.weight, atol=1e-3)


def test_the_term_is_the_n_pair_loss_in_logits() -> None:
    rows = rows_of(3, 0)
    negation = texts(rows)
    outputs = 3 * torch.randn(2, 16, generator=torch.Generator().manual_seed(1))
    classes, share = torch.tensor([0, 2]), torch.tensor([0.2, 0.8])
    found = negation.loss(outputs, classes, rows, share)

    def one(positive, *negatives):
        gaps = torch.stack(negatives) - positive + LOGITS.margin
        return torch.log(1 + gaps.exp().sum())

    good, hole = outputs
    nearest = (negation.sentences @ good).sort(descending=True).values[: LOGITS.k]
    expected = one(good @ rows[0], *nearest)
    expected += (
        one(good @ negation.negated[0], good @ rows[1])
        + one(good @ negation.negated[1], good @ rows[2])
    ) / 2
    expected += one(hole @ rows[2], hole @ negation.negated[1])
    assert float(found) == pytest.approx(float(expected), abs=1e-4)


def test_the_term_is_convex() -> None:
    rows = rows_of(3, 0)
    negation, generator = texts(rows), torch.Generator().manual_seed(2)
    classes, share = torch.tensor([0, 0, 1, 2]), torch.full((4,), 0.25)
    for _ in range(50):
        a, b = (5 * torch.randn(4, 16, generator=generator) for _ in range(2))
        ends = [negation.loss(x, classes, rows, share) for x in (a, b)]
        middle = negation.loss((a + b) / 2, classes, rows, share)
        assert float(middle) <= float(sum(ends)) / 2 + 1e-4


def test_what_was_not_seen_says_nothing() -> None:
    rows = rows_of(3, 0)
    nothing = Unseen(torch.zeros(0, 16), torch.zeros(0, dtype=torch.long))
    assert nothing.accuracy(rows) is None
    assert nothing.negation_error(rows, texts(rows)) is None
    assert nothing.denial_error(rows, texts(rows)) is None


def test_denials_are_worded_for_the_product_and_lie_close_to_what_they_deny() -> None:
    bank = TextBank(MiniLm())
    kinds = [knowledge().type_of(name) for name in TYPES]
    said = negated_sentences(bank, "bottle", kinds[0])
    assert any("a glass bottle seen from above without crack" in text for text in said)
    assert len(said) == len(NEGATED) * (1 + len(kinds[0].nouns)) * len(bank.table.wording.photo)
    rows, denied = bank.rows("bottle", kinds), negated_rows(bank, "bottle", kinds)
    assert torch.allclose(denied.norm(dim=-1), torch.ones(2), atol=1e-5)
    # What the loss is for: a denial is nearer to the defect than to the good part.
    assert (denied * rows[1:]).sum(-1).min() > (denied @ rows[0]).max()
    sentences, owners = defect_sentences(bank, "bottle", kinds)
    assert sentences.shape == (len(owners), bank.width)
    mean = F.normalize(sentences[owners == 2].mean(0), dim=0)
    assert torch.allclose(mean, rows[2], atol=1e-5)


@pytest.mark.slow
def test_a_run_records_what_the_term_changed(run: Path, plates: Path, tmp_path: Path) -> None:
    request = Request(run=run, data=(plates,), labelled=2, negation=True)
    seen: dict[str, list[int]] = {}

    def bar(stage: str, total: int):
        seen[stage] = [total, 0]

        def advance(done: int) -> None:
            seen[stage][1] += done

        return advance

    fit_types(request, tmp_path / "run", bar)
    told = read_record(tmp_path / "run").types
    assert told is not None
    assert told.negation is not None
    assert told.negation.error_after <= told.negation.error_before
    assert told.negation.denials_after <= told.negation.denials_before
    assert all(total == done for total, done in seen.values()), seen
    options = PackOptions(veto_above=0.9, veto_passes=True)
    recipe = pack_bundle(tmp_path / "run", tmp_path / "bundle", options, lambda _: None).recipe
    assert (recipe.veto_above, recipe.veto_passes) == (0.9, True)
