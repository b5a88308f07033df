"""What announces a part: nothing, a clock, a command, a line of the camera or an encoder."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from edge.config.reader import Settings
from edge.config.values import FilePath, Name

# Keys that only some kinds of triggers have.
_KEYS = {
    "period_s": ("interval",),
    "http_port": ("software",),
    "line": ("hardware",),
    "activation": ("hardware",),
    "delay_ms": ("software", "interval", "hardware", "encoder"),
    "strobe_line": ("software", "interval", "hardware", "encoder"),
    "every_mm": ("encoder",),
    "mm_per_count": ("encoder",),
    "counts": ("encoder",),
    "encoder_lines": ("encoder",),
    "deadline_ms": ("software", "interval", "hardware", "encoder"),
    "frame_timeout_ms": ("software", "interval", "hardware", "encoder"),
    "queue": ("software", "interval", "hardware", "encoder"),
}
_NEEDED = {"interval": ("period_s",), "encoder": ("every_mm", "mm_per_count")}
# A belt is inspected at the distance that was asked for, or not at all.
_INEXACT = 0.01


class TriggerSettings(Settings):
    """When a part is in front of the camera; the kind alone may stand for the whole.

    `by`: `free` takes every frame for a part; `interval` announces one each `period_s`; `software`
    takes the command `trigger` and, with `http_port`, POST /trigger on 127.0.0.1; `hardware` is an
    input of the camera, `line` and `activation` in the words of GenICam's naming convention;
    `encoder` announces a part each `every_mm` of the belt, counted by the camera (`encoder_lines`,
    its two inputs) or read from the file `counts`, such as a counter of Linux; the belt moves
    `mm_per_count` from one count to the next.

    `delay_ms`: from trigger to picture. `strobe_line`: output of the camera that is on during the
    exposure. `frame_timeout_ms`: a trigger without a frame by then gets an `error` result.
    `deadline_ms`: a result later than that is late. `queue`: triggers that may wait behind the one
    under way; a further one is refused.
    """

    by: Literal["free", "interval", "software", "hardware", "encoder"] = "free"
    period_s: float | None = Field(default=None, ge=0.001, le=86400)
    http_port: int | None = Field(default=None, ge=1, le=65535)
    line: Name = "Line0"
    activation: Literal["RisingEdge", "FallingEdge", "AnyEdge", "LevelHigh", "LevelLow"] = (
        "RisingEdge"
    )
    delay_ms: float = Field(default=0.0, ge=0, le=60_000)
    strobe_line: Name | None = None
    every_mm: float | None = Field(default=None, gt=0, le=1e6)
    mm_per_count: float | None = Field(default=None, gt=0, le=1e6)
    counts: FilePath | None = None
    encoder_lines: tuple[Name, Name] = ("Line0", "Line1")
    frame_timeout_ms: float = Field(default=1000.0, ge=1, le=600_000)
    deadline_ms: float | None = Field(default=None, gt=0, le=600_000)
    queue: int = Field(default=4, ge=0, le=1000)

    @model_validator(mode="before")
    @classmethod
    def _kind_alone(cls, value: object) -> object:
        return {"by": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _fits_the_kind(self) -> TriggerSettings:
        for key in sorted(self.model_fields_set - {"by"}):
            if self.by not in _KEYS[key]:
                raise ValueError(f"{key} goes with by: {' or '.join(_KEYS[key])}, not {self.by}")
        for key in _NEEDED.get(self.by, ()):
            if getattr(self, key) is None:
                raise ValueError(f"by: {self.by} needs {key}")
        if self.by == "encoder":
            exact, counts = self._counts_exactly, self.counts_per_trigger
            if counts < 1 or abs(counts - exact) > _INEXACT * exact:
                raise ValueError(
                    f"expected every_mm to be a multiple of mm_per_count, got {exact:.3f} counts; "
                    f"write every_mm: {max(1, counts) * (self.mm_per_count or 0):g}"
                )
        if self.counts is not None and "encoder_lines" in self.model_fields_set:
            raise ValueError("expected one of counts and encoder_lines, got both")
        return self

    @property
    def is_free(self) -> bool:
        """Every frame is a part."""
        return self.by == "free"

    @property
    def is_in_camera(self) -> bool:
        """The camera takes its picture by itself at the trigger, so each frame is a trigger."""
        return self.by == "hardware" or (self.by == "encoder" and self.counts is None)

    @property
    def counts_per_trigger(self) -> int:
        """Counts of the encoder from one trigger to the next."""
        return round(self._counts_exactly)

    @property
    def _counts_exactly(self) -> float:
        return (self.every_mm or 0.0) / (self.mm_per_count or 1.0)
