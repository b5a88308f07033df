"""Texts that deny a defect: "a bottle without scratch".

CLIP and sentence encoders put them near the defect that they deny. They are positives of a test per
type, and stay out of the normal row: there their nouns would pull it towards the defects.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from edge.networks.text.bank import TextBank
from edge.networks.text.knowledge import DefectType, with_article

# {part} is the product with its article, {defect} a type's name or what the table calls it.
NEGATED = (
    "{part} without {defect}",
    "{part} free of {defect}",
    "{part} on which {defect} does not occur",
)


def negated_sentences(bank: TextBank, product: str, kind: DefectType) -> tuple[str, ...]:
    """Sentences that deny a type of defect of a product."""
    part = with_article(bank.table.product_name(product))
    states = [
        frame.format(part=part, defect=defect)
        for frame in NEGATED
        for defect in (kind.name, *kind.nouns)
    ]
    return tuple(photo.format(s=state) for state in states for photo in bank.table.wording.photo)


def negated_rows(bank: TextBank, product: str, kinds: Sequence[DefectType]) -> Tensor:
    """(K, D) unit rows, row i denies `kinds[i]`."""
    means = [bank.encode(negated_sentences(bank, product, kind)).mean(0) for kind in kinds]
    return F.normalize(torch.stack(means), dim=-1)


def defect_sentences(
    bank: TextBank, product: str, kinds: Sequence[DefectType]
) -> tuple[Tensor, Tensor]:
    """Single sentences (J, D) of all types, unit, and the bank row of each, (J,) int64 from 1."""
    encoded = [bank.encode(bank.defect_sentences(product, kind)) for kind in kinds]
    owners = [torch.full((len(rows),), row) for row, rows in enumerate(encoded, 1)]
    return torch.cat(encoded), torch.cat(owners)
