"""Gives every part its number at once, from a block that is reserved on the disk ahead.

A number that was given out is used, whatever happens to its result: no other part gets it, and
after a crash, a power cut or a stop with a full disk the next start finds out which ones have no
result.
"""

from __future__ import annotations

import logging
import threading

from edge.outputs.number_file import NumberFile, NumberRecord
from edge.outputs.number_mark import NumberMark

log = logging.getLogger(__name__)
BLOCK = 1000


class Numbers:
    """Numbers in ascending order; `take` may be called from any thread and waits for no disk.

    Args:
        file: where numbers are reserved.
        mark: where each number is noted in memory.
        outbox_id: of the outbox that the numbers belong to.
        given: the highest number used so far.
        stored: the highest that the outbox knows.

    Raises:
        OSError: no block can be reserved.
    """

    def __init__(
        self, file: NumberFile, mark: NumberMark, outbox_id: str, *, given: int, stored: int
    ):
        self._file = file
        self._mark = mark
        self._outbox_id = outbox_id
        self._lock = threading.Lock()
        self._given = given
        self._stored = self._safe = stored
        self._reserved = 0
        self.problem = ""  # why no block can be reserved
        mark.begin(given, stored)
        self._write(waiting=0)

    @property
    def given(self) -> int:
        """The highest number given out."""
        return self._given

    def take(self) -> int:
        """Give out the next number."""
        with self._lock:
            self._given += 1
            self._mark.give(self._given)
            return self._given

    def note(self, *, stored: int, safe: int, waiting: int) -> None:
        """Note how far results are stored and safe, and reserve the next block in time.

        A file that cannot be written is told in `problem` and tried again at the next call.
        """
        self._mark.store(stored)
        is_due = self._reserved - self._given < BLOCK // 2
        # A result that went out from memory is told nowhere else but here.
        is_news = safe > max(stored, self._safe)
        self._stored, self._safe = stored, safe
        if not (is_due or is_news or self.problem):
            return
        try:
            self._write(waiting=waiting)
        except OSError as error:
            if not self.problem:
                log.error(  # noqa: TRY400 - one line, not a traceback
                    "numbers cannot be reserved path=%s: %s", self._file.path, error.strerror
                )
            self.problem = error.strerror or str(error)
        else:
            self.problem = ""

    def close(self, *, stored: int, waiting: int, lost: int) -> None:
        """Give back what is left of the block and note the outcome; a failure leaves it reserved.

        Args:
            stored: the highest number that the outbox knows.
            waiting: results in it.
            lost: results beyond `stored` that were neither stored nor delivered.
        """
        record = NumberRecord(
            self._outbox_id, self._given, self._given, stored, self._given, waiting, lost,
            is_open=False,
        )  # fmt: skip
        is_noted = False
        try:
            self._file.write(record)
            is_noted = True
        except OSError as error:
            log.error("numbers not closed path=%s: %s", self._file.path, error)  # noqa: TRY400
        self._file.close()
        self._mark.close(forget=is_noted)

    def _write(self, *, waiting: int) -> None:
        reserved = self._given + BLOCK
        record = NumberRecord(
            self._outbox_id, reserved, self._given, self._stored, self._safe, waiting, 0,
            is_open=True,
        )  # fmt: skip
        self._file.write(record)
        self._reserved = reserved
