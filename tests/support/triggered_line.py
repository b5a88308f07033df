"""A triggered station in a thread of its own, for tests."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from edge.config.station import StationConfig
from edge.station.station import Station
from edge.trigger import Trigger
from edge.triggers.source import NotTaken

LIMIT_S = 60


class Line:
    """A triggered station in a thread of its own."""

    def __init__(self, folder: Path, bundle: Path, source: str, trigger: dict, **changes):
        values = {
            "node": "n",
            "station": "s",
            "bundle": bundle,
            "camera": {"name": "top", "source": source},
            "trigger": trigger,
            "commands": {"allow": ["trigger"]},
            "mqtt": {"broker": "none"},
            **changes,
        }
        self.results: list[dict] = []
        self.station = Station(
            StationConfig.model_validate(values), folder, on_result=self.results.append
        )
        self.loop = self.station._loop
        self.jobs = self.station._jobs
        self.queue = self.station._triggers
        self.error: BaseException | None = None
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self) -> None:
        try:
            self.station.run()
        except BaseException as error:  # noqa: BLE001 - looked at by the test
            self.error = error

    def trigger(self, **arguments: str) -> Trigger | NotTaken:
        outcome = self.station._capture.request(arguments)
        assert outcome is not None
        return outcome

    def wait(self, count: int) -> None:
        self.until(lambda: len(self.results) >= count, f"{count} results")

    def until(self, condition: Callable[[], bool], what: str) -> None:
        end = time.monotonic() + LIMIT_S
        while not condition():
            assert time.monotonic() < end, f"never came: {what}"
            assert self.thread.is_alive(), f"the station ended before {what}: {self.error!r}"
            time.sleep(0.005)

    def stop(self) -> list[dict]:
        self.station.request_stop()
        self.thread.join(LIMIT_S)
        assert not self.thread.is_alive()
        return self.results

    @property
    def reasons(self) -> list[str]:
        return [result["reason"] for result in self.results]


def one_each(results: list[dict], triggers: list[Trigger]) -> None:
    assert Counter(result["trigger"]["id"] for result in results) == Counter(
        trigger.id for trigger in triggers
    )
