"""More types for an INP-Former run that names some: rows for the bank of its type branch."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from edge.methods.inp_former.detector import Detector
from edge.methods.types.naming import types_by_name, with_types
from edge.methods.types.network import text_rows
from edge.networks.text.bank import TextBank
from edge.networks.text.minilm import MiniLm


@torch.no_grad()
def with_added_rows(detector: Detector, product: str, words: Sequence[str]) -> Detector:
    """Append a row for each word to the bank of the type branch, centred as the others were."""
    assert detector.types is not None  # noqa: S101 - the caller's record names types
    bank, types = TextBank(MiniLm()), detector.settings.types
    # Each beside those before it only: a later word must not change an earlier one's sentences.
    kinds = [types_by_name(bank, {*types, *words[: n + 1]})[word] for n, word in enumerate(words)]
    rows = bank.rows(product, kinds)[1:]
    larger = with_types(detector, (*types, *words), detector.settings.text_width)
    assert larger.types is not None  # noqa: S101 - just built with types
    state = detector.types.state_dict()
    state["bank"] = torch.cat([state["bank"], text_rows(rows, detector.types.text_centre)])
    larger.types.load_state_dict(state)
    return larger
