"""Another type for a finished run, from its word alone: one more text row, and nothing else.

No weight changes, so what the run says of its other types stays as it is, and so do map and score.
"""

from __future__ import annotations

from collections.abc import Sequence

from edge.errors import TrainingError
from edge.frame import GOOD
from edge.methods.method import Network
from edge.methods.registry import find_method
from edge.methods.run_record import RunRecord
from edge.networks.text.knowledge import words


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


def with_added(
    network: Network, record: RunRecord, added: Sequence[str], weights: str | None = None
) -> tuple[Network, RunRecord]:
    """The network and record of a run that also names `added`.

    Args:
        network: of the run; is not changed.
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
    larger = find_method(record.model.method).add_types(network, record, added, weights)
    return larger, record.model_copy(update={"model": larger.settings})
