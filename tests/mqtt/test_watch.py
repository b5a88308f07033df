"""edge-watch as people run it: in a pipe, on a terminal, against brokers that go."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import paho.mqtt.client as paho
import pytest

from edge.cli.broker import broker_settings
from edge.cli.console import rich_console
from edge.cli.result_text import result_line
from edge.cli.watch import CtrlC
from edge.cli.watched_stations import Watched
from edge.errors import ConfigError
from edge.messages.message import Message
from edge.messages.payload import (
    alert_payload,
    alerts_payload,
    counters_payload,
    state_payload,
    status_payload,
)
from edge.messages.sequence_monitor import StationView
from edge.mqtt.topics import Topics
from edge.result import VERDICTS
from tests.mqtt.conftest import results
from tests.support.brokers import free_port, wait_until
from tests.support.mqtt_results import IDENTITY, make_payload

COMMAND = [sys.executable, "-c", "from edge.cli.watch import main; main()"]


class Watch:
    """A running edge-watch; its output is collected while it runs."""

    def __init__(self, port, *arguments, stdout=subprocess.PIPE):
        self.lines: list[str] = []
        self.process = subprocess.Popen(
            [*COMMAND, f"mqtt://127.0.0.1:{port}", "--prefix", "plant/v1", *arguments],
            stdout=stdout,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "TERM": "xterm", "COLUMNS": "160"},
        )
        if stdout == subprocess.PIPE:
            self._reader = threading.Thread(target=self._read, daemon=True)
            self._reader.start()

    def _read(self):
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))

    def end(self, timeout_s=10):
        """Return exit code and stderr."""
        try:
            code = self.process.wait(timeout_s)
        finally:
            self.process.kill()
        self._reader.join(2)
        self.process.stdout.close()
        with self.process.stderr as stderr:
            return code, stderr.read()


@pytest.fixture
def broker(request, make_broker):
    return make_broker(getattr(request, "param", "amqtt"))


@pytest.fixture
def watch(broker):
    made = []

    def _watch(*arguments, **options):
        made.append(Watch(broker.port, *arguments, **options))
        return made[-1]

    yield _watch
    for each in made:
        each.process.kill()
        each.process.wait()
        for stream in (each.process.stdout, each.process.stderr):
            if stream is not None:
                stream.close()


@pytest.fixture
def station(broker, make_station):
    made = make_station(broker).start()
    made.wait_connected()
    return made


def judge_until_seen(station, watch):
    """The watcher says nothing when it is ready, so let results show it."""
    wait_until(lambda: station.judge(1) or time.sleep(0.1) or watch.lines)


@pytest.mark.parametrize("broker", ["mosquitto", "amqtt"], indirect=True)
def test_json_lines_until_the_station_stops(watch, listen, broker, station):
    listener = listen(broker)
    seen = watch("--json", "--until-stopped")
    judge_until_seen(station, seen)
    station.judge(20)
    assert station.stop()
    code, errors = seen.end()
    assert code == 0
    printed = [json.loads(line) for line in seen.lines]
    assert printed == results(listener)[-len(printed) :]
    assert f"received={len(printed)} missing=0 duplicates=0" in errors


def test_an_old_stop_does_not_end_it(watch, broker, make_station):
    old = make_station(broker).start()
    old.wait_connected()
    assert old.stop()
    seen = watch("--until-stopped")
    time.sleep(1)
    assert seen.process.poll() is None
    new = make_station(broker, boot_id="boot-2").start()
    new.wait_connected()
    judge_until_seen(new, seen)
    assert new.stop()
    assert seen.end()[0] == 0


def test_a_number_of_results_as_lines_for_people(watch, station):
    seen = watch("--max-results", "5", "--station", "st3-top")
    judge_until_seen(station, seen)
    station.judge(10)
    assert seen.end()[0] == 0
    assert len(seen.lines) >= 5
    line = r"2026-11-21T10:15:02\.163Z st3-top FAIL +seq=\d+ score=0\.83/0\.61 types=scratch total"
    assert all(re.match(line, text) for text in seen.lines)


def test_it_comes_back_after_the_broker(watch, broker, station):
    seen = watch("--json", "--until-stopped")
    judge_until_seen(station, seen)
    broker.kill()
    wait_until(lambda: not station.publisher.connected)
    broker.start()
    wait_until(lambda: station.publisher.connected)
    before = len(seen.lines)
    wait_until(lambda: station.judge(1) or time.sleep(0.1) or len(seen.lines) > before + 3)
    assert station.stop()
    code, errors = seen.end()
    assert code == 0
    assert errors.count("waiting: ") in (1, 2)  # lost, and perhaps refused while it restarts


def test_ctrl_c_ends_it_quietly(watch, station):
    seen = watch()
    judge_until_seen(station, seen)
    seen.process.send_signal(signal.SIGINT)
    code, errors = seen.end()
    assert code == 130
    assert "Traceback" not in errors
    assert "received=" in errors


def test_ctrl_c_that_a_library_swallowed_still_ends_it():
    before = signal.getsignal(signal.SIGINT)
    try:
        ctrl_c = CtrlC()
        with suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        assert ctrl_c.was_pressed
        with pytest.raises(KeyboardInterrupt):
            ctrl_c.check()
    finally:
        signal.signal(signal.SIGINT, before)


def test_no_broker_is_code_6_after_the_timeout():
    began = time.monotonic()
    seen = Watch(free_port(), "--timeout", "1.2")
    code, errors = seen.end()
    assert code == 6
    assert "Connection refused" in errors.splitlines()[-1]
    assert "Traceback" not in errors
    assert time.monotonic() - began < 6


@pytest.mark.parametrize("address", ["http://x", "embedded", "none", "mqtt://u:pw@host", "mqtt://"])
def test_a_wrong_address_is_an_error_of_configuration(address):
    with pytest.raises(ConfigError, match=r"^BROKER: ") as caught:
        broker_settings(address, "BROKER", tls_ca_certs=None)
    assert caught.value.exit_code == 2


def test_a_certificate_needs_an_address_with_tls():
    with pytest.raises(ConfigError, match="--tls-ca: expected mqtts://"):
        broker_settings("mqtt://host", "BROKER", tls_ca_certs=Path("ca.pem"))


def test_the_examples_are_in_the_help():
    done = subprocess.run([*COMMAND, "--help"], capture_output=True, text=True, check=True)
    assert "edge-watch --station st3-top --json --until-stopped > results.jsonl" in done.stdout


def test_garbage_on_the_topics_is_counted_and_survived(watch, broker, station):
    seen = watch("--json", "--until-stopped")
    judge_until_seen(station, seen)
    client = paho.Client(paho.CallbackAPIVersion.VERSION2)
    client.connect("127.0.0.1", broker.port)
    client.loop_start()
    garbage = [b"", b"{", b"[]", b"\xff", b'{"seq":1}', b'{"state":"stopped"}', b"[" * 50_000]
    for kind in ("result", "counters", "state", "alert/active", "result/x"):
        for payload in garbage:
            client.publish(f"plant/v1/n/bad/{kind}", payload, 1).wait_for_publish(5)
    client.loop_stop()
    client.disconnect()
    assert station.stop()
    code, errors = seen.end()
    assert code == 0
    assert int(re.search(r"n/bad received=0 .*invalid=(\d+)", errors)[1]) > 20
    assert re.search(r"st3-top received=\d+ .*invalid=0", errors)


def test_a_terminal_shows_a_live_table(watch, station):
    controller, terminal = pty.openpty()
    seen = watch("--max-results", "3", stdout=terminal)
    os.close(terminal)
    shown = b""
    with suppress(OSError):  # the terminal is closed by its last user
        while True:
            station.judge(1)
            time.sleep(0.1)
            shown += os.read(controller, 65536)
    os.close(controller)
    assert seen.process.wait(5) == 0
    text = shown.decode()
    for word in ("station", "p50/p95 ms", "st3-top", "online ready", "0.83/0.61", "scratch"):
        assert word in text
    assert "\x1b[1;31mfail" in text


def test_the_table_that_stays_shows_what_came_last(capsys):
    watched = Watched(Topics("plant/v1", "+", "+"), None)
    result = json.dumps({**make_payload(), "seq": 1, "msg_id": "m"}).encode()
    with watched.shown():
        watched.draw()
        watched.take(Message("plant/v1/jx-0142/st3-top/result", result, is_stored=False))
        watched.draw()  # too soon after the first
    assert "FAIL" in capsys.readouterr().out


WEIRD = [None, True, -1, 1e308, "\x1b[2J\ud800", [], {}, [None], [[]], {"a": 1}]


def test_no_field_of_a_result_can_hurt_the_lines():
    base = {**make_payload(), "seq": 1, "msg_id": "m"}
    survived = 0
    for name in base:
        for value in WEIRD:
            view = StationView("n", "s")
            data = json.dumps({**base, name: value}).encode()
            payload = view.take("result", data, is_stored=False)
            if payload is not None:
                line = result_line(payload).plain
                assert "\x1b" not in line
                assert line.isprintable()
                survived += 1
    assert survived > 100


PAYLOADS = {
    "result": ("n/s/result", {**make_payload(), "seq": 1, "msg_id": "m"}),
    "status": ("n/status", status_payload(IDENTITY, "online", "1")),
    "state": ("n/s/state", state_payload(IDENTITY, "operational", mode="ready")),
    "counters": ("n/s/counters", counters_payload(
        IDENTITY, dict.fromkeys(VERDICTS, 1), last_seq=4, lost=0, pending=0)),
    "alerts": ("n/s/alert/active", alerts_payload(IDENTITY, [alert_payload(
        IDENTITY, code="c", severity="error", state="raised", since="-", detail="-", count=1)])),
}  # fmt: skip
HOSTILE = [
    *map(json.dumps, WEIRD), "NaN", "-Infinity", "1e999", "9" * 4000, "9" * 5000, "-1", "0",
    "[" * 5000 + "]" * 5000, '{"a":' * 900 + "1" + "}" * 900, '"' + "x" * 100_000 + '"',
    '"\\u0000\\ud800\\u202e[/]"', '[{"code":"[/]","severity":"\\u001b"}]',
    "[" + "{}," * 999 + "{}]",
]  # fmt: skip


def places(value, path=()):
    """Yield the place of everything in a payload."""
    yield path
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places(inner, (*path, key))


def with_hole(payload, path):
    """Return the JSON of a payload with `"HERE"` at a place."""
    if not path:
        return '"HERE"'
    altered = json.loads(json.dumps(payload))
    spot = altered
    for step in path[:-1]:
        spot = spot[step]
    spot[path[-1]] = "HERE"
    return json.dumps(altered)


@pytest.mark.parametrize("kind", PAYLOADS)
def test_no_payload_can_hurt_what_is_shown(kind, capsys):
    topic, payload = PAYLOADS[kind]
    written = []
    for path in places(payload):
        text = with_hole(payload, path)
        watched = Watched(Topics("plant/v1", "+", "+"), written.append)
        for value in HOSTILE:
            data = text.replace('"HERE"', value).encode("utf-8", "surrogatepass")
            watched.take(Message(f"plant/v1/{topic}", data, is_stored=False))
        rich_console().print(watched.table())
        watched.summarise()
    for each in written:
        json.dumps(each, allow_nan=False)
        assert result_line(each).plain.isprintable()
    out, err = capsys.readouterr()
    assert all(line.isprintable() for line in (out + err).splitlines())
    assert max(map(len, (out + err).splitlines())) < 2000


def test_no_flood_fills_the_memory(monkeypatch):
    for name, least in (("REMEMBERED", 50), ("MOST_GAPS", 50)):
        monkeypatch.setattr(f"edge.messages.sequence_monitor.{name}", least)
    monkeypatch.setattr("edge.cli.watched_stations.MOST_STATIONS", 20)
    watched = Watched(Topics("plant/v1", "+", "+"), lambda _: None)
    base = make_payload()
    for number in range(500):
        data = {**base, "seq": 3 * number + 1, "msg_id": f"m-{number}", "boot_id": f"b-{number}"}
        message = Message("plant/v1/n/s/result", json.dumps(data).encode(), is_stored=False)
        watched.take(message)
        watched.take(message._replace(topic=f"plant/v1/n{number}/s/result"))
    assert len(watched.views) == 20
    view = watched.views["n", "s"]
    assert (view.seqs.received, view.seqs.missing) == (500, 2 * 499)
    held = (view.seqs._seen, view.seqs._gaps, view.seqs._boot_ids, view._boots_alive)
    assert [len(each) for each in held] == [50] * 4


def test_text_from_the_net_is_shown_and_not_obeyed():
    hostile = "a\nb\x1b[2J\u202e [red]mqtt://u:geheim@h"
    payload = {
        "result": "pass", "seq": hostile, "station": hostile,
        "score": hostile, "threshold": hostile,
        "times": {"end": hostile, "total_ms": hostile}, "reason": hostile,
        "defects": [{"type": hostile}],
    }  # fmt: skip
    line = result_line(payload).plain
    assert line.isprintable()
    assert r"a\nb\x1b[2J\u202e [red]mqtt://***@h" in line
    assert "geheim" not in line
