"""What a station keeps on its own disk: annotated views, and raw frames to judge or learn from."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from edge.config.reader import Settings
from edge.config.values import ByteSize, FilePath, Seconds, Share


class RawSettings(Settings):
    """Which raw frames are kept, and for how long.

    `fail`, `undecided`, `error`, `pass`: the share of the parts with this verdict. A part is chosen
    by a hash of its id, so that all stations that see it choose alike. A pass with regions that a
    veto set aside counts as a fail. The oldest frames go beyond `max_bytes` and `max_age_s`. While
    the disk has less than `min_free_bytes` left, nothing is written.
    """

    fail: Share = Field(default=1.0, validate_default=False)
    undecided: Share = Field(default=1.0, validate_default=False)
    error: Share = Field(default=1.0, validate_default=False)
    pass_: Share = Field(default=0.01, validate_default=False, alias="pass")
    max_bytes: ByteSize = 20 * 2**30
    max_age_s: Seconds = Field(default=90 * 86400.0, ge=60)
    min_free_bytes: ByteSize = 512 * 2**20

    def share_of(self, verdict: str) -> float:
        """Return the share of a verdict, from 0 to 1."""
        shares = {
            "fail": self.fail,
            "undecided": self.undecided,
            "error": self.error,
            "pass": self.pass_,
        }
        return shares[verdict]


class ArchiveSettings(Settings):
    """Annotated views on disk (heat map, boxes, verdict) and, with `raw`, the frames as taken."""

    path: FilePath
    keep: Literal["all", "rejects", "none"] = "rejects"
    max_bytes: ByteSize = 2 * 2**30
    raw: RawSettings | None = None
