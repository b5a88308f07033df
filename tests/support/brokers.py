"""Real brokers as processes that tests may kill and start again on the same port."""

from __future__ import annotations

import contextlib
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import paho.mqtt.client as paho

MOSQUITTO = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")
NO_MOSQUITTO = "mosquitto is not installed"
_AMQTT = """
import signal, sys
from edge.mqtt.embedded_broker import EmbeddedBroker
broker = EmbeddedBroker(port=int(sys.argv[1]))
broker.start()
signal.sigwait([signal.SIGTERM])
broker.stop()
"""


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def wait_until(condition, timeout_s=10.0, what="the condition"):
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not come true in {timeout_s:g} s"
        time.sleep(0.01)


class BrokerProcess:
    """A broker on a port of its own; `kind` is mosquitto or amqtt."""

    def __init__(self, kind: str, folder: Path, options: str = ""):
        self.kind = kind
        self.protocol = {"mosquitto": "5", "amqtt": "3.1.1"}[kind]  # the newest it speaks
        self.port = free_port()
        self.log = folder / f"{kind}-{self.port}.log"
        self._config = folder / f"mosquitto-{self.port}.conf"
        # Started by root it would become another user, who may not read a test's files.
        listener = f"user root\nlistener {self.port} 127.0.0.1\n"
        self._config.write_text(listener + (options or "allow_anonymous true") + "\n")
        self._process: subprocess.Popen | None = None

    def start(self) -> BrokerProcess:
        command = [sys.executable, "-c", _AMQTT, str(self.port)]
        if self.kind == "mosquitto":
            command = [MOSQUITTO, "-c", str(self._config)]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        wait_until(self._listens, what=f"{self.kind} listening ({self.log})")
        return self

    def kill(self) -> None:
        """End it as a power cut would."""
        self._process.kill()
        self._process.wait(5)

    def freeze(self) -> None:
        """Stop it from reading and answering, with every connection open."""
        self._process.send_signal(signal.SIGSTOP)
        stat = Path(f"/proc/{self._process.pid}/stat")
        # On a busy machine it may run on for a moment, and answer.
        wait_until(lambda: stat.read_text().rpartition(")")[2].split()[0] == "T", 10, "the stop")

    def thaw(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self.thaw()
            self._process.terminate()
            try:
                self._process.wait(5)
            except subprocess.TimeoutExpired:
                self.kill()

    def _listens(self) -> bool:
        assert self._process.poll() is None, f"{self.kind} ended: {self.log.read_text()}"
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
            return True
        return False


class Listener:
    """A subscriber that keeps everything it gets and comes back after every broker restart.

    It subscribes at QoS 0: a broker that is killed then owes it nothing that was acknowledged to
    the publisher, because Mosquitto writes to subscribers before it acknowledges.
    """

    def __init__(self, port: int, topic: str = "#", *, v5: bool = False, **login):
        self.messages: list[paho.MQTTMessage] = []
        self._topic = topic
        self._connected = threading.Event()
        self._client = paho.Client(
            paho.CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5 if v5 else paho.MQTTv311
        )
        if login:
            self._client.username_pw_set(**login)
        self._client.on_connect = lambda *_: self._client.subscribe(self._topic)
        self._client.on_subscribe = lambda *_: self._connected.set()
        self._client.on_message = lambda _c, _u, message: self.messages.append(message)
        self._client.reconnect_delay_set(0.05, 0.1)
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        self.wait_connected()

    def expect_return(self) -> None:
        """Make `wait_connected` wait for the next subscription."""
        self._connected.clear()

    def wait_connected(self) -> None:
        assert self._connected.wait(10), "the listener did not come back"

    def of(self, suffix: str) -> list[paho.MQTTMessage]:
        """Messages whose topic ends with `/suffix`, in the order they came."""
        return [m for m in list(self.messages) if m.topic.endswith(f"/{suffix}")]

    def wait_status(self, state: str, timeout_s: float = 10.0) -> None:
        """Wait until the newest status is `state`; nothing follows a `stopped`."""
        word = f'"state":"{state}"'.encode()
        wait_until(
            lambda: self.of("status") and word in self.of("status")[-1].payload,
            timeout_s,
            f"status {state}",
        )

    def stop(self) -> None:
        self._client.loop_stop()
        self._client.disconnect()
