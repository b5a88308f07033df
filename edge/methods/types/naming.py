"""The branch that names types: regions aligned with the text of their names."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from edge.frame import GOOD
from edge.methods.inp_former.detector import Detector
from edge.methods.run_record import NegationRecord
from edge.methods.types.network import text_rows
from edge.methods.types.regions import Regions
from edge.methods.types.regression import Negation, solve, unseen
from edge.networks.text.bank import TextBank
from edge.networks.text.knowledge import DefectType, own_words, words
from edge.networks.text.minilm import MiniLm
from edge.networks.text.negation import defect_sentences, negated_rows


def name_regions(
    detector: Detector,
    product: str,
    regions: Regions,
    names: tuple[str, ...],
    advance: Callable[[int], None],
    *,
    with_negation: bool,
) -> tuple[Detector, float | None, NegationRecord | None]:
    """The detector with a branch that tells `names` apart, and how it does on unseen parts."""
    learned_names = vocabulary(regions)
    names = names or learned_names
    bank = TextBank(MiniLm())
    kinds = types_by_name(bank, {*learned_names, *names})
    learned = bank.rows(product, [kinds[name] for name in learned_names])
    text_centre = learned.mean(0)
    rows = text_rows(learned, text_centre)
    held = unseen(regions, learned_names, rows, advance)
    negation, change = None, None
    if with_negation:
        learned_kinds = [kinds[name] for name in learned_names]
        sentences, _ = defect_sentences(bank, product, learned_kinds)
        denials = negated_rows(bank, product, learned_kinds)
        negation = Negation(text_rows(sentences, text_centre), text_rows(denials, text_centre))
        before, held = held, unseen(regions, learned_names, rows, advance, negation)
        change = NegationRecord(
            error_before=before.negation_error(rows, negation),
            error_after=held.negation_error(rows, negation),
            denials_before=before.denial_error(rows, negation),
            denials_after=held.denial_error(rows, negation),
            accuracy_before=before.accuracy(rows),
        )
    weight, bias, centre, scale = solve(regions, learned_names, rows, negation)
    advance(1)
    named = with_types(detector, names, bank.width)
    assert named.types is not None  # noqa: S101 - narrowing only
    wanted = text_rows(bank.rows(product, [kinds[name] for name in names]), text_centre)
    named.types.load_state_dict(
        {
            "weight": weight, "bias": bias, "centre": centre, "scale": scale,
            "bank": wanted, "text_centre": text_centre,
        }
    )  # fmt: skip
    return named, held.accuracy(rows), change


def vocabulary(regions: Regions) -> tuple[str, ...]:
    """The types that regions show."""
    return tuple(sorted(set(regions.labels) - {GOOD}))


def types_by_name(bank: TextBank, names: Sequence[str] | set[str]) -> dict[str, DefectType]:
    """The record behind every name; names that the table takes for one type keep their own words.

    Two folders with the same sentences would have the same row, and could not be distinguished.
    """
    known = {name: bank.table.type_of(name, merge=False) for name in names}
    merged = [bank.table.type_of(name).name for name in names]
    return {
        name: own_words(words(name)) if merged.count(bank.table.type_of(name).name) > 1 else kind
        for name, kind in known.items()
    }


def with_types(detector: Detector, names: tuple[str, ...], text_width: int) -> Detector:
    """Rebuild a detector with an empty branch for these types; all else stays as it is."""
    settings = detector.settings.model_copy(update={"types": names, "text_width": text_width})
    named = Detector(settings).eval()
    state = {k: v for k, v in detector.state_dict().items() if not k.startswith("types.")}
    named.load_state_dict(named.state_dict() | state)
    return named.requires_grad_(False)
