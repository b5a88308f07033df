"""Another type for a finished run, from its word alone: one more text row, and nothing else.

No weight changes, so what the run says of its other types stays as it is, and so do map and score.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from edge.errors import TrainingError
from edge.frame import GOOD
from edge.methods.dapo.network import DapoDetector
from edge.methods.dapo.presets import text_tower
from edge.methods.inp_former.detector import Detector
from edge.methods.multiads.network import MultiAdsDetector
from edge.methods.multiads.presets import text_encoder
from edge.methods.run import Network
from edge.methods.run_record import RunRecord
from edge.methods.types.fit import with_types, worded
from edge.methods.types.network import text_rows
from edge.networks.text.bank import TextBank
from edge.networks.text.knowledge import words
from edge.networks.text.minilm import MiniLm


def check_word(word: str, types: Sequence[str]) -> None:
    """Refuse what cannot become a type beside `types`.

    Raises:
        TrainingError: it is empty, means a good part, or has been named before.
    """
    taken = {words(name): name for name in types}
    if words(word) in ("", GOOD):
        raise TrainingError(f"type {word!r}: expected a word for a defect")
    if words(word) in taken:
        raise TrainingError(
            f"type {word!r}: expected a new one, {taken[words(word)]!r} is there already"
        )


@torch.no_grad()
def with_added(
    detector: Network, record: RunRecord, added: Sequence[str], weights: str | None = None
) -> tuple[Network, RunRecord]:
    """The detector and record of a run that also names `added`.

    Args:
        detector: of the run; is not changed.
        record: of the run.
        added: words, in the order of their rows.
        weights: where CLIP lies now, if not where the run found it.

    Raises:
        TrainingError: the run names no types, a word is not usable, or the text encoder cannot be
            read.
    """
    types = record.model.types
    if not types:
        raise TrainingError(
            f"run of {record.data.name}: names no types; teach it some with edge-train --method "
            "types"
        )
    for place, word in enumerate(added):
        check_word(word, (*types, *added[:place]))
    larger: Network
    if isinstance(detector, Detector):
        larger = _longer_bank(detector, record, added)
    elif isinstance(detector, MultiAdsDetector):
        larger = _second_bank(detector, _rows(detector, record, added, weights), added)
    else:
        raise TrainingError(f"run of {record.data.name}: {record.model.method} takes no new types")
    return larger, record.model_copy(update={"model": larger.settings})


def _longer_bank(detector: Detector, record: RunRecord, added: Sequence[str]) -> Detector:
    """Append rows to the bank of the type branch, centred as the others were."""
    assert detector.types is not None  # noqa: S101 - the record names types
    bank, types = TextBank(MiniLm()), detector.settings.types
    # Each beside those before it only: a later word must not change an earlier one's sentences.
    kinds = [worded(bank, {*types, *added[: n + 1]})[word] for n, word in enumerate(added)]
    rows = bank.rows(record.data.name, kinds)[1:]
    larger = with_types(detector, (*types, *added), detector.settings.text_width)
    assert larger.types is not None  # noqa: S101 - just built with types
    state = detector.types.state_dict()
    state["bank"] = torch.cat([state["bank"], text_rows(rows, detector.types.text_centre)])
    larger.types.load_state_dict(state)
    return larger


def _rows(
    detector: MultiAdsDetector, record: RunRecord, added: Sequence[str], weights: str | None
) -> Tensor:
    """Text rows of the words, (n, D), from the encoder that made the run's own."""
    source = weights or record.weights
    if isinstance(detector, DapoDetector):
        legacy = detector.settings.prompts.legacy_text_path
        tower = text_tower(record.preset, source, legacy=legacy)
        return detector.prompts.rows(tower, added)[1:]
    rows = TextBank(text_encoder(record.preset, source)).rows(record.data.name, added)[1:]
    return rows if detector.text_adapter is None else detector.text_adapter(rows)


def _second_bank(
    detector: MultiAdsDetector, rows: Tensor, added: Sequence[str]
) -> MultiAdsDetector:
    """Give the detector a bank of added types; one more row in its own would change the map."""
    before = detector.settings
    settings = before.model_copy(
        update={"types": (*before.types, *added), "added": before.added + len(added)}
    )
    larger = type(detector)(settings).eval()
    state = detector.state_dict()
    state["added"] = torch.cat([state["added"], rows]) if before.added else rows
    larger.load_state_dict(state)
    larger.requires_grad_(False)
    return larger
