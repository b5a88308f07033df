"""How numbering goes on at a start: pure, from what outbox, number file and memory say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from edge.outputs.number_file import NumberRecord
from edge.outputs.number_mark import Marked


class Found(NamedTuple):
    """What the outbox itself says.

    Attributes:
        outbox_id: None in a file of a former version.
        last_seq: the highest number that it knows.
        is_new: it was just made, because there was none or a damaged one.
        has_log: its write-ahead log was there.
    """

    outbox_id: str | None
    last_seq: int
    is_new: bool
    has_log: bool


@dataclass(frozen=True, slots=True)
class Continuity:
    """How numbering goes on.

    Attributes:
        outbox_id: of the outbox from now on; a new one where nothing proves the numbers.
        given: the highest number that is taken as used.
        missing: first and last of the numbers that the outbox has no result of; None without any.
        lost: how many results were lost with them, at most.
        is_exact: `lost` is exact.
        broken: why the outbox is not the one that the numbers belong to; empty when it is.
    """

    outbox_id: str
    given: int
    missing: tuple[int, int] | None = None
    lost: int = 0
    is_exact: bool = True
    broken: str = ""

    def __str__(self) -> str:
        """One line for people, empty when everything is in order."""
        if self.missing is None or not self.lost:
            return self.broken
        first, last = self.missing
        lost = f"{'' if self.is_exact else 'at most '}{self.lost} results lost"
        if self.broken:
            return f"{self.broken}; {lost}"
        numbers = f"number {first} was" if first == last else f"numbers {first}..{last} were"
        return f"{numbers} not stored: {lost}"


def judge(
    found: Found, record: NumberRecord | None, marked: Marked | None, new_id: str
) -> Continuity:
    """Say how numbering goes on; numbers that may have been used are never given out again.

    Args:
        found: what the outbox says.
        record: of the number file, None where it is missing or damaged.
        marked: of the same outbox, in the machine's memory.
        new_id: for an outbox whose numbers nothing proves.
    """
    if record is None:
        return _without_record(found, new_id)
    given, is_exact = _given(record, marked)
    stored = max(record.stored, marked.stored if marked else 0)
    last, goes_on = found.last_seq, f"numbering goes on at {max(given, found.last_seq) + 1}"
    if found.outbox_id != record.outbox_id:
        if found.is_new:
            broken = f"the outbox was lost with what waited in it; {goes_on}"
            lost = given - min(given, max(record.safe, stored)) + record.waiting
            missing = (last + 1, given) if given > last else None
            is_exact = is_exact and not record.is_open
            return Continuity(record.outbox_id, given, missing, lost, is_exact, broken)
        broken = f"the outbox is not the one that the number file knows; {goes_on} in a new one"
        return Continuity(new_id, max(given, last), None, 0, is_exact, broken)
    broken = ""
    if last < stored:
        broken = f"the outbox is an older copy, or lost its write-ahead log; {goes_on}"
    elif record.is_open and not found.has_log and marked is None:
        broken = f"the outbox lost its write-ahead log; {goes_on}"
    elif last > given or (marked is not None and not record.is_open):
        broken = f"the number file is an older copy; {goes_on}"
    if given <= last:
        return Continuity(record.outbox_id, last, broken=broken)
    lost = given - max(last, record.safe) if record.is_open else record.lost
    if broken:
        lost, is_exact = given - last, False
    return Continuity(record.outbox_id, given, (last + 1, given), lost, is_exact, broken)


def _without_record(found: Found, new_id: str) -> Continuity:
    if found.last_seq == 0:
        return Continuity(found.outbox_id or new_id, 0)
    if found.outbox_id is None:  # of a former version, which kept no number file
        return Continuity(new_id, found.last_seq)
    broken = (
        f"the number file was lost or damaged, so the outbox may be an older copy; numbering goes "
        f"on at {found.last_seq + 1} in a new one"
    )
    return Continuity(new_id, found.last_seq, broken=broken)


def _given(record: NumberRecord, marked: Marked | None) -> tuple[int, bool]:
    """Return the highest number that may have been given out, and whether it was."""
    if marked is not None:
        return max(marked.given, record.given), True
    return (record.reserved, False) if record.is_open else (record.given, True)
