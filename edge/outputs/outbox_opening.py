"""Opens an outbox: the file, its numbers, and whether the one belongs to the other."""

from __future__ import annotations

import logging
import sqlite3
import uuid
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from edge.outputs.continuity import Continuity, Found, judge
from edge.outputs.number_file import NumberFile, number_path
from edge.outputs.number_mark import NumberMark
from edge.outputs.numbers import Numbers
from edge.outputs.outbox_file import is_damage, log_path, set_aside
from edge.outputs.outbox_tables import OutboxTables

log = logging.getLogger(__name__)


class OpenOutbox(NamedTuple):
    """What is open now, and how numbering goes on."""

    tables: OutboxTables
    numbers: Numbers
    continuity: Continuity


def open_outbox(path: Path, memory_dir: Path) -> OpenOutbox:
    """Open an outbox, and bring file and numbers together.

    Raises:
        PublishError: the file belongs to something else.
        OSError, sqlite3.Error: the disk refuses.
    """
    with ExitStack() as cleanup:
        has_log = _has_content(log_path(path))
        file = NumberFile(number_path(path))
        cleanup.callback(file.close)
        tables, damage = _tables(path)
        cleanup.callback(tables.close)
        record, new_id = file.read(), uuid.uuid4().hex
        known_id = record.outbox_id if record else new_id
        mark = NumberMark(known_id, memory_dir)
        found = Found(tables.outbox_id, tables.totals["seq"], tables.is_new, has_log)
        going_on = judge(found, record, mark.read(), new_id)
        if damage:
            going_on = replace(going_on, broken="; ".join(filter(None, (damage, going_on.broken))))
        if going_on.outbox_id != known_id:
            mark.close(forget=True)
            mark = NumberMark(going_on.outbox_id, memory_dir)
        cleanup.callback(mark.close, forget=False)
        _take_over(tables, going_on)
        if str(going_on):
            log.error("outbox %s: %s", path, going_on)
        numbers = Numbers(
            file, mark, going_on.outbox_id, given=going_on.given, stored=tables.stored_seq
        )
        cleanup.pop_all()
        return OpenOutbox(tables, numbers, going_on)


def replace_tables(path: Path, former: OutboxTables) -> tuple[OutboxTables, str]:
    """Begin a new file in place of one that was damaged or removed while in use.

    Returns:
        The new tables, with what could be read of the former, and what happened, in one line.
    """
    happened = "the outbox was removed while in use"
    if path.exists():
        happened = f"the outbox was damaged and is now {set_aside(path).name}"
    tables = OutboxTables(path)
    try:
        tables.take_from(former)
        totals = dict(former.totals)
        totals["lost"] += max(0, former.rows - tables.rows)
        tables.begin(str(former.outbox_id), totals)
    except BaseException:
        tables.close()
        raise
    former.close()
    return tables, f"{happened}; {tables.rows} of {former.rows} results that waited were kept"


def _tables(path: Path) -> tuple[OutboxTables, str]:
    """Open the file; set a damaged one aside, and say so."""
    try:
        return OutboxTables(path), ""
    except sqlite3.Error as error:
        if not is_damage(error):
            raise
    other = set_aside(path)
    return OutboxTables(path), f"the outbox was damaged and is now {other.name}"


def _take_over(tables: OutboxTables, going_on: Continuity) -> None:
    """Take the numbers that are used into the totals."""
    totals = {**tables.totals, "seq": going_on.given}
    totals["unaccounted"] += going_on.given - tables.totals["seq"]
    totals["lost"] += going_on.lost
    tables.begin(going_on.outbox_id, totals)


def _has_content(path: Path) -> bool:
    try:
        return path.stat().st_size > 0
    except OSError:
        return False
