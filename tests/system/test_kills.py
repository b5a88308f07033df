"""Broker and station are killed in the middle of a run; no stored part may be missing."""

from __future__ import annotations

import json
import signal
import subprocess
import threading
from pathlib import Path

from edge.messages.payload import Payload
from tests.support.brokers import BrokerProcess, Listener, wait_until
from tests.system.conftest import DEMO_BUNDLE, DEMO_IMAGES, Station


class Printed:
    """The results that a running `edge-infer --json` has printed so far."""

    def __init__(self, process: subprocess.Popen[str]):
        self.payloads: list[Payload] = []
        self._thread = threading.Thread(target=self._read, args=(process.stdout,))
        self._thread.start()

    def _read(self, lines) -> None:
        for line in lines:
            if line.endswith("\n"):  # a killed process may have left half a line
                self.payloads.append(json.loads(line))

    def all(self) -> list[Payload]:
        self._thread.join(10)
        return self.payloads


def test_no_part_is_lost_when_broker_and_line_are_killed(
    tmp_path: Path, broker: BrokerProcess
) -> None:
    station = Station(
        tmp_path,
        f"node: n1\nstation: s1\nbundle: {DEMO_BUNDLE}\n"
        f"camera: {{source: 'file://{DEMO_IMAGES}?fps=40'}}\n"
        f"mqtt: {{host: 127.0.0.1, port: {broker.port}, protocol: '3.1.1'}}\n",
    )
    listener = Listener(broker.port)

    with station.start("--json") as first:
        before = Printed(first)
        wait_until(lambda: len(before.payloads) >= 20, what="20 parts judged")
        broker.kill()
        count = len(before.payloads)
        wait_until(lambda: len(before.payloads) >= count + 10, what="10 parts without a broker")
        first.kill()
        judged = before.all()

    with station.start("--json") as second:
        after = Printed(second)
        wait_until(lambda: len(after.payloads) >= 20, what="20 parts after the restart")
        # A restarted broker knows no subscriber: the listener has to be back before the station is.
        second.send_signal(signal.SIGSTOP)
        listener.expect_return()
        broker.start()
        listener.wait_connected()
        second.send_signal(signal.SIGCONT)
        assert second.wait(60) == 0, second.stderr.read()
        judged += after.all()

    assert len(after.payloads) == 108
    received: dict[int, set[str]] = {}
    for message in listener.of("result"):
        payload = json.loads(message.payload)
        received.setdefault(payload["seq"], set()).add(payload["msg_id"])
    told = [json.loads(message.payload)["outbox"] for message in listener.of("state")]
    listener.stop()
    # What was judged in the last milliseconds is lost with the process, and the next one says so.
    missing = {tuple(outbox["missing"]) for outbox in told if outbox and outbox["missing"]}
    lost = {seq for first, last in missing for seq in range(first, last + 1)}
    assert len(lost) <= 2
    assert sorted({*received, *lost}) == list(range(1, max(received) + 1))
    assert not lost & set(received)
    assert {len(ids) for ids in received.values()} == {1}
    assert {(p["seq"], p["msg_id"]) for p in judged} <= {
        (seq, next(iter(ids))) for seq, ids in received.items()
    }
