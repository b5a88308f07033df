"""The protocol that every output of results follows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edge.frame import Frame
from edge.messages.identity import ModelInfo
from edge.messages.payload import Payload
from edge.result import Inspection


@dataclass(frozen=True, slots=True, eq=False)
class Decided:
    """One part with its verdict, before it has a number or a place on the disk.

    Attributes:
        inspection: verdict, score, regions and times.
        frame: the capture, with the part's identity; pixels are shared and read-only.
        anomaly_map: (H, W) float32; None for a part that was not scored. The engine overwrites it
            with the next part: what is used after `decided` has returned comes from `kept`.
        model: the recipe, the bundle and the engine that gave the verdict.
        job_id: `cmd_id` of the command that began the job, None for the run of the process itself.
        triggered_at: when a trigger or a command announced this part, UTC; None without one.
        is_late: the verdict came after the deadline of its trigger: what moves parts rejects it.
        views: each view by itself, in the order of the station file; empty for a station with one
            camera. The fields above are those of the view that decides.
    """

    inspection: Inspection
    frame: Frame
    anomaly_map: NDArray[np.float32] | None
    model: ModelInfo
    job_id: str | None = None
    triggered_at: datetime | None = None
    is_late: bool = False
    views: tuple[Decided, ...] = ()

    def kept(self) -> Decided:
        """Return a copy that stays valid while the next parts are inspected."""
        if self.anomaly_map is None or self.views:  # the maps of several views are copies already
            return self
        return replace(self, anomaly_map=self.anomaly_map.copy())


class ResultSink(Protocol):
    """An output that hears of every result at two moments; subclasses override what they need.

    The results of aborted jobs reach no sink. A sink that raises is counted and logged by the
    `ResultDispatcher`, and hears of the next result all the same.

    Attributes:
        name: of the output, in the log and in the drop counts.
    """

    name: str

    def start(self) -> None:
        """Begin to work.

        Raises:
            EdgeError: the output cannot be used.
        """
        return

    def decided(self, decided: Decided) -> None:  # noqa: ARG002
        """Take a verdict at once, for whatever moves the part.

        Called in the thread that inspects, in the order of the verdicts; an abort waits for it. It
        must not wait for a disk or a network: sinks that do are `QueuedSink`s. A frame that found
        the queue full is refused in the capture thread, so two calls may overlap.
        """
        return

    def committed(self, payload: Payload) -> None:  # noqa: ARG002
        """Take a result that is stored safely, with its `seq` and `msg_id`.

        Called in the thread that stores results, in the order of `seq`. It must not wait for long
        either: the next results are stored after it has returned.
        """
        return

    def wait_for_room(self, timeout_s: float) -> bool:  # noqa: ARG002
        """Wait until another result can be taken without loss; False when it cannot by then."""
        return True

    def stop(self, timeout_s: float) -> bool:  # noqa: ARG002
        """Deliver what waits and end, started or not; False when a thread did not end in time."""
        return True
