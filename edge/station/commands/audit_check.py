"""Whether an audit log is whole: no record altered, removed from the middle or cut off its end."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from edge.station.commands.audit_file import (
    Anchor,
    anchor_path,
    digest,
    numbered,
    parse_record,
    put_away,
    read_anchor,
    read_lines,
)


def audit_problems(path: Path, *, newest_only: bool = False) -> list[str]:
    """Return what is wrong with the audit log at `path`, a line for each place.

    Args:
        path: the newest file; older ones lie beside it.
        newest_only: read the newest two files alone.

    Raises:
        OSError: a file cannot be read.
    """
    anchor = read_anchor(path)
    older = put_away(path)[-1:] if newest_only else put_away(path)
    chain = _Chain(anchor.first - 1 if anchor is not None and not newest_only else None)
    for file in (*older, path):
        for position, line in enumerate(read_lines(file), 1):
            chain.add(line, f"{file.name} line {position}")
    return [*chain.problems, *_problems_at_end(chain, anchor, path)]


class _Chain:
    """The records seen so far: number and hash of the newest, and what was wrong."""

    def __init__(self, number: int | None):
        self.problems: list[str] = []
        self.number = number
        self.head: str | None = None
        self.has_numbers = False  # records of older versions have none

    def add(self, line: bytes, where: str) -> None:
        record = parse_record(line)
        if record is None:
            return  # half a line of a power cut; if it was a record, the next one shows it
        (own,) = numbered([record], self.number or 0)
        if self.number is not None and own > self.number + 1:
            self.problems.append(f"{_missing(self.number + 1, own - 1)}, before {where}")
        elif self.number is not None and own <= self.number:
            self.problems.append(f"record {own} comes again after record {self.number}, {where}")
        elif self.head is not None and record["prev"] != self.head:
            self.problems.append(f"record {own - 1} was altered, before {where}")
        self.number, self.head, self.has_numbers = own, digest(line), "n" in record


def _problems_at_end(chain: _Chain, anchor: Anchor | None, path: Path) -> Iterator[str]:
    if anchor is None:
        if chain.has_numbers:
            yield f"{anchor_path(path).name} is missing or damaged"
        return
    last = chain.number or 0
    if last < anchor.count:
        yield f"{_missing(last + 1, anchor.count)}, cut off the end of {path.name}"
    elif chain.head is not None and last == anchor.count and chain.head != anchor.head:
        yield f"record {last} was altered, the last of {path.name}"
    elif last > anchor.count + 1:
        yield f"{path.name} has records after {anchor.count}, which the station did not write"


def _missing(first: int, last: int) -> str:
    if first == last:
        return f"record {first} is missing"
    return f"records {first} to {last} are missing"
