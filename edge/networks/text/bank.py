"""TextBank: one vector per defect type of a product, from many sentences."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from edge.networks.text.encoder import TextEncoder
from edge.networks.text.knowledge import DefectType, Knowledge, knowledge


class TextBank:
    """Text vectors of normal and defective states (MultiADS section 3).

    Per state all sentences are encoded to unit length, averaged, and scaled to unit length again.
    What was encoded is kept in memory, keyed by the sentences themselves.

    Args:
        encoder: turns sentences into unit vectors.
        table: the knowledge base that words the sentences; None takes the packaged one.
    """

    def __init__(self, encoder: TextEncoder, table: Knowledge | None = None):
        self.encoder = encoder
        self.table = table or knowledge()
        self._encoded: dict[tuple[str, ...], Tensor] = {}

    @property
    def width(self) -> int:
        """D, length of a vector."""
        return self.encoder.width

    def rows(self, product: str, types: Sequence[DefectType | str]) -> Tensor:
        """Bank of a product: (K + 1, D) float32 unit rows, row 0 normal, row i + 1 `types[i]`.

        Args:
            product: the product's folder or its name in words.
            types: in the caller's order, as records or as names that the table resolves.
        """
        states = [self.normal_sentences(product)]
        states += [self.defect_sentences(product, kind) for kind in types]
        # State by state, so that a row does not depend on which others are asked for with it.
        means = [self.encode(sentences).mean(0) for sentences in states]
        return F.normalize(torch.stack(means), dim=-1)

    def encode(self, sentences: Sequence[str]) -> Tensor:
        """Single sentences: (n, D) float32 unit rows, for n >= 1; do not write into them."""
        key = tuple(sentences)
        if key not in self._encoded:
            self._encoded[key] = self.encoder.encode(key)
        return self._encoded[key]

    def normal_sentences(self, product: str) -> tuple[str, ...]:
        """Sentences behind row 0."""
        return self.table.normal_sentences(self.table.product_name(product))

    def defect_sentences(self, product: str, kind: DefectType | str) -> tuple[str, ...]:
        """Sentences behind a type's row."""
        record = self.table.type_of(kind) if isinstance(kind, str) else kind
        return self.table.defect_sentences(self.table.product_name(product), record)
