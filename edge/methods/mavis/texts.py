"""The texts of each product that stage A aligns with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from edge.networks.text.bank import TextBank
from edge.networks.text.knowledge import DefectType
from edge.networks.text.negation import defect_sentences


@dataclass(frozen=True, slots=True, eq=False)
class ProductTexts:
    """Texts of one product, as encoded.

    Attributes:
        rows: (1 + K, D) bank over the training vocabulary, row 0 normal.
        sentences: (J, D) single texts of defects, not averaged: that would hide the hard ones.
        owners: (J,) bank row of each.
    """

    rows: Tensor
    sentences: Tensor
    owners: Tensor


def product_texts(bank: TextBank, product: str, vocabulary: Sequence[DefectType]) -> ProductTexts:
    """Encode the texts of a product.

    Sentences of types that the knowledge base excludes for it stay out: some words of defects
    describe what it is meant to look like.
    """
    known = bank.table.product(product)
    excluded = set() if known is None else {k.name for k in bank.table.type_list(known.excluded)}
    sentences, owners = defect_sentences(bank, product, vocabulary)
    kept = [row for row, kind in enumerate(vocabulary, 1) if kind.name not in excluded]
    chosen = torch.isin(owners, torch.tensor(kept or [*range(1, 1 + len(vocabulary))]))
    return ProductTexts(bank.rows(product, vocabulary), sentences[chosen], owners[chosen])
