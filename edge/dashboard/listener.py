"""The thread that hears the plant: MQTT in, history and live news out; commands the other way."""

from __future__ import annotations

import logging
import queue
import sqlite3
import threading
import time
from concurrent.futures import Future
from typing import NamedTuple

from edge.config.mqtt import MqttSettings
from edge.dashboard.history import WRONG_SHAPE, History
from edge.dashboard.live import LiveNews, News
from edge.dashboard.plant import Plant
from edge.errors import PublishError
from edge.messages.command import command_payload
from edge.messages.identity import uuid7
from edge.messages.message import Message
from edge.messages.payload import Payload, encode
from edge.messages.payload_reader import read_payload
from edge.mqtt.link import Link
from edge.mqtt.topics import COMMAND, Topics

log = logging.getLogger(__name__)
KINDS = ("result", "status", "info", "state", "counters", "alerts", "alert", "health", "picture",
         "ack")  # fmt: skip
RETRY_S = 1.0
POLL_S = 0.2
PRUNE_S = 60.0
RESEND_S = 3.0
LIFETIME_S = 20.0
OUTCOMES = ("done", "rejected", "failed", "expired")


class _Asked(NamedTuple):
    topic: str
    data: bytes
    cmd_id: str
    answer: Future[Payload]
    deadline_s: float


class Listener:
    """Subscribes to all stations below a prefix; an absent broker is awaited.

    Args:
        settings: the broker.
        history: keeps results, pictures and alerts.
        plant: knows the states.
        news: tells open pages.
    """

    def __init__(self, settings: MqttSettings, history: History, plant: Plant, news: LiveNews):
        self._prefix = settings.topic_prefix
        self._topics = Topics(settings.topic_prefix, "+", "+")
        self._history = history
        self._plant = plant
        self._news = news
        client_id = settings.client_id or f"edge-dashboard-{uuid7()[-12:]}"
        # Under a name of its own the broker keeps what it misses, for an hour.
        is_known = settings.client_id is not None
        self._link = Link(settings, client_id, on_message=self._hear, resume=is_known)
        self._asked: queue.SimpleQueue[_Asked] = queue.SimpleQueue()
        self._open: dict[str, tuple[_Asked, float]] = {}  # by cmd_id; when it is sent again
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="listener", daemon=True)
        self._told_invalid: set[tuple[str, str]] = set()
        self.problem = "not connected yet"
        self.invalid = 0

    @property
    def is_connected(self) -> bool:
        """The broker is there."""
        return not self.problem

    def start(self) -> None:
        """Begin to listen."""
        self._thread.start()

    def stop(self, timeout_s: float = 5.0) -> None:
        """Disconnect and end."""
        self._stop.set()
        self._link.wake()
        if self._thread.ident is None:
            self._link.close()
        else:
            self._thread.join(timeout_s)

    def ask(
        self, node: str, station: str, name: str, args: dict[str, str], by: str
    ) -> Future[Payload]:
        """Send a command; the future gets its last answer, or a TimeoutError.

        `by` is who asks, for the station's audit log.
        """
        request = command_payload(uuid7(), by, args, lifetime_s=LIFETIME_S)
        topic = Topics(self._prefix, node, station).command(name)
        asked = _Asked(
            topic, encode(request).encode(), request["cmd_id"], Future(),
            time.monotonic() + LIFETIME_S,
        )  # fmt: skip
        # From here on nobody can take the question back; an answer always has where to go.
        asked.answer.set_running_or_notify_cancel()
        self._asked.put(asked)
        self._link.wake()
        return asked.answer

    def _run(self) -> None:
        while not self._stop.is_set():
            self._use_connection()
            self._expire()
            self._stop.wait(RETRY_S)
        self._link.close()
        for asked, _ in self._open.values():
            asked.answer.set_exception(TimeoutError("the page is stopping"))

    def _use_connection(self) -> None:
        try:
            self._link.connect(5.0)
            self._link.subscribe([self._topics.of(kind) for kind in KINDS])
            log.info("broker connected broker=%s", self._link.address)
            self.problem = ""
            self._serve()
        except PublishError as error:
            if str(error) != self.problem:
                log.warning("no broker: %s", error)
            self.problem = str(error)

    def _serve(self) -> None:
        next_prune = 0.0
        while not self._stop.is_set():
            self._send()
            self._link.poll(POLL_S)
            self._expire()
            if time.monotonic() >= next_prune:
                self._prune()
                next_prune = time.monotonic() + PRUNE_S

    def _prune(self) -> None:
        try:
            self._history.prune(int(time.time() * 1000))
        except sqlite3.Error as error:
            log.warning("history: what is too old stays for now: %s", error)

    def _send(self) -> None:
        """Send what was asked, and again what was not answered."""
        while not self._asked.empty():
            asked = self._asked.get()
            self._open[asked.cmd_id] = (asked, 0.0)
        moment = time.monotonic()
        for cmd_id, (asked, due) in [*self._open.items()]:
            if moment >= due:
                self._link.publish(asked.topic, asked.data, COMMAND)
                self._open[cmd_id] = (asked, moment + RESEND_S)

    def _expire(self) -> None:
        while not self._asked.empty():
            asked = self._asked.get()
            self._open[asked.cmd_id] = (asked, 0.0)
        moment = time.monotonic()
        for cmd_id, (asked, _) in [*self._open.items()]:
            if moment >= asked.deadline_s:
                del self._open[cmd_id]
                asked.answer.set_exception(TimeoutError("the station did not answer"))

    def _hear(self, message: Message) -> None:
        names = self._topics.parse(message.topic)
        if names is None:
            return
        node, station, kind = names
        try:
            payload = read_payload(message.payload)
            station = station or str(payload["station"])
            if payload.get("node") != node or payload.get("station") != station:
                raise ValueError("names another station than its topic")
            self._take(node, station, kind, payload, is_stored=message.is_stored)
        except WRONG_SHAPE as error:
            self.invalid += 1
            if (message.topic, kind) not in self._told_invalid and len(self._told_invalid) < 1000:
                self._told_invalid.add((message.topic, kind))
                log.warning("invalid message topic=%r: %s", message.topic[:200], error)

    def _take(
        self, node: str, station: str, kind: str, payload: Payload, *, is_stored: bool
    ) -> None:
        if kind == "result":
            (kept,) = self._history.add_results([payload])
            if kept.is_new:
                self._plant.result(node, station, payload, kept.id)
                self._news.tell(News("result", node, station, {"id": kept.id, "result": payload}))
        elif kind == "picture":
            self._history.add_picture(payload)
            what = ("camera", "frame_id", "capture", "purpose", "cmd_id")
            data = {name: payload.get(name) for name in what}
            self._news.tell(News("picture", node, station, data))
        elif kind == "alert":
            if not is_stored:
                self._history.add_alert(payload)
        elif kind == "ack":
            self._answer(payload)
        elif self._plant.hear(node, station, kind, payload):
            self._news.tell(News(kind, node, station))

    def _answer(self, payload: Payload) -> None:
        cmd_id = payload["cmd_id"]
        if cmd_id in self._open and payload["status"] in OUTCOMES:
            asked, _ = self._open.pop(cmd_id)
            asked.answer.set_result(payload)
