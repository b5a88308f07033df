"""Results that the disk does not take: they go out from memory while the broker is there."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import NamedTuple

from edge.messages.payload import Payload, encode


class Row(NamedTuple):
    """A result to deliver; `payload` is its JSON text, `age_s` how long it has been waiting."""

    seq: int
    payload: str
    age_s: float = 0.0


class HeldResults:
    """Numbered results in memory, in order; methods wait for no disk and any thread may call them.

    Who holds a result decides how many there may be: `hold` replaces what was held before, except
    that results which were delivered do not come back.

    Attributes:
        settled: results delivered or given up since the outbox last took some.
        refused: those of them that can never be delivered.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rows: dict[int, Row] = {}
        self._settled: set[int] = set()
        self.settled = self.refused = 0
        self.last_seq = 0

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def bytes(self) -> int:
        """Bytes of the payloads."""
        with self._lock:
            return sum(len(row.payload) for row in self._rows.values())

    @property
    def gone(self) -> int:
        """Settled results that nobody holds any more."""
        return self.settled - len(self._settled)

    def hold(self, numbered: Sequence[Payload]) -> None:
        """Keep these results for delivery, and only these."""
        with self._lock:
            rows = {}
            for payload in numbered:
                seq = payload["seq"]
                if seq not in self._settled:
                    rows[seq] = self._rows.get(seq) or Row(seq, encode(payload))
            self._rows = rows
            self._settled &= {payload["seq"] for payload in numbered}
            self.last_seq = max((self.last_seq, *rows))

    def after(self, seq: int, limit: int) -> list[Row]:
        """Return up to `limit` results beyond `seq`, in order."""
        with self._lock:
            return [row for row in self._rows.values() if row.seq > seq][:limit]

    def settle(self, seqs: Sequence[int], *, lost: bool) -> list[int]:
        """Forget those that are held, delivered or (`lost`) undeliverable; return the others."""
        with self._lock:
            ours = [seq for seq in seqs if self._rows.pop(seq, None) is not None]
            self._settled.update(ours)
            self.settled += len(ours)
            self.refused += len(ours) if lost else 0
            return [seq for seq in seqs if seq not in self._settled]

    def is_settled(self, seq: int) -> bool:
        """Tell whether a result was delivered from memory or given up."""
        return seq in self._settled

    def clear(self) -> None:
        """Forget everything: the outbox has taken it."""
        with self._lock:
            self._rows.clear()
            self._settled.clear()
            self.settled = self.refused = 0
