"""Raw archives for tests: a sink on a folder, parts with verdicts, and the frames that it wrote."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import numpy as np

from edge.archive.layout import frames_between
from edge.cameras.source import frame_now
from edge.config.reader import parse_settings
from edge.config.station import StationConfig
from edge.drop_counts import DropCounts
from edge.messages.payload import Payload
from edge.messages.state_board import StateBoard
from edge.outputs.raw_archive import RawArchive
from edge.outputs.sink import Decided
from edge.result import Reason, Verdict
from tests.support.mqtt_results import IDENTITY, MODEL, SCRATCH, make_inspection
from tests.support.sinks import describe

BEGAN = datetime(2026, 11, 21, 10, 15, 2, 121_900, tzinfo=timezone.utc)
REASONS = {
    "pass": Reason.SCORE_BELOW_THRESHOLD,
    "fail": Reason.SCORE_ABOVE_THRESHOLD,
    "undecided": Reason.IN_UNCERTAINTY_BAND,
    "error": Reason.ENGINE_ERROR,
}


def station(
    folder: Path, raw: str = "{pass: all, min_free_bytes: 0}", camera: str = ""
) -> StationConfig:
    text = (
        f"node: n1\nstation: s1\nbundle: b\ncamera: {{name: top, source: 'file:///d'{camera}}}\n"
        f"archive: {{path: {folder}, raw: {raw}}}\n"
    )
    return parse_settings(text, "s.yaml", StationConfig, {"folder": Path("/")})


def part(
    number: int,
    verdict: str = "fail",
    *,
    at: datetime | None = None,
    pixels: np.ndarray | None = None,
    part_id: str | None = "",
    label: str | None = None,
    **changes,
) -> Decided:
    """A part with its verdict; `part_id` None for a part without identity."""
    at = at or BEGAN + timedelta(seconds=number)
    if pixels is None:
        pixels = np.random.default_rng(number).integers(0, 256, (48, 64, 3), np.uint8)
    values = {
        "verdict": Verdict(verdict),
        "reason": REASONS[verdict],
        "frame_id": number,
        "captured_at": at,
        "regions": (SCRATCH,) if verdict == "fail" else (),
    } | changes
    inspection = make_inspection(part_id or f"p-{number}", **values)
    assert inspection.part is not None
    known = None if part_id is None else replace(inspection.part, label=label)
    frame = replace(frame_now("top", number, pixels), captured_at=at, part=known)
    return Decided(replace(inspection, part=known), frame, None, MODEL)


class Archive:
    """A raw archive that is told of parts as a station tells it."""

    def __init__(self, config: StationConfig, **options):
        self.drops = DropCounts()
        self.states = StateBoard(IDENTITY)
        assert config.archive is not None
        self.sink = RawArchive(config, config.archive, self.drops, self.states, **options)
        self.seq = 0

    def judge(self, decided: Decided) -> Payload:
        """Tell of a verdict and of its commit."""
        self.sink.decided(decided)
        payload = self.numbered(decided)
        self.sink.committed(payload)
        return payload

    def numbered(self, decided: Decided) -> Payload:
        self.seq += 1
        return describe(decided) | {"seq": self.seq, "msg_id": f"m-{self.seq}", "outbox_id": "o-1"}

    def alerts(self) -> list[tuple[str, str]]:
        """Codes and states of the alerts so far."""
        found = []
        while (post := self.states.take()) is not None:
            if post.kind == "alert":
                found.append((post.payload["code"], post.payload["state"]))
        return found


def write_archive(folder: Path, parts: list[Decided], **options) -> Archive:
    """Archive parts one after the other and end."""
    archive = Archive(station(folder, **options))
    archive.sink.start()
    for decided in parts:
        assert archive.sink.wait_for_room(30)
        archive.judge(decided)
    assert archive.sink.stop(30)
    return archive


def names(folder: Path) -> list[str]:
    """The frames of an archive as DAY/VERDICT/frame id, in order."""
    return [
        f"{path.parent.parent.name}/{path.parent.name}/{int(path.name.split('-')[2])}"
        for path in frames_between(folder)
    ]


def record(path: Path) -> dict:
    return json.loads(path.with_name(path.name + ".json").read_text())
