"""Whether an audit log is whole: no record altered, removed from the middle or cut off its end."""

from __future__ import annotations

from pathlib import Path

from edge.station.commands.audit_file import (
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
    problems = []
    anchor = read_anchor(path)
    older = put_away(path)[-1:] if newest_only else put_away(path)
    number = anchor.first - 1 if anchor is not None and not newest_only else None
    before: str | None = None  # hash of the record before
    is_old = True  # as before records had numbers
    for file in (*older, path):
        for position, line in enumerate(read_lines(file), 1):
            record = parse_record(line)
            if record is None:
                continue  # half a line of a power cut; if it was a record, the next one shows it
            (own,) = numbered([record], number or 0)
            where = f"{file.name} line {position}"
            if number is not None and own > number + 1:
                problems.append(f"{_missing(number + 1, own - 1)}, before {where}")
            elif number is not None and own <= number:
                problems.append(f"record {own} comes again after record {number}, {where}")
            elif before is not None and record["prev"] != before:
                problems.append(f"record {own - 1} was altered, before {where}")
            number, before, is_old = own, digest(line), "n" not in record
    if anchor is None:
        return problems if is_old else [*problems, f"{anchor_path(path).name} is missing"]
    last = number or 0
    if last < anchor.count:
        problems.append(f"{_missing(last + 1, anchor.count)}, cut off the end of {path.name}")
    elif before is not None and last == anchor.count and before != anchor.head:
        problems.append(f"record {last} was altered, the last of {path.name}")
    elif last > anchor.count + 1:
        problems.append(
            f"{path.name} has records beyond {anchor.count} that the station never wrote"
        )
    return problems


def _missing(first: int, last: int) -> str:
    return (
        f"record {first} is missing" if first == last else f"records {first} to {last} are missing"
    )
