"""A dashboard that serves pages on a port of its own, a client of it, and a station to show."""

from __future__ import annotations

import http.client
import json
import re
import threading
from dataclasses import dataclass
from functools import cache
from http.cookies import SimpleCookie
from pathlib import Path
from urllib.parse import urlencode

import paho.mqtt.client as paho
import uvicorn
from argon2 import PasswordHasher

from edge.config.mqtt import MqttSettings
from edge.dashboard.accounts import FILE, ROLES
from edge.dashboard.dashboard import Dashboard
from edge.dashboard.settings import DashboardSettings, ListenSettings
from edge.dashboard.web.app import make_app
from edge.messages.command import Answer, ack_payload
from edge.messages.identity import Identity
from tests.support.brokers import free_port, wait_until

PASSWORD = "a long password"
TOP = Identity("box", "top", "boot-1")
ROOT = "edge-infer/v1"


@cache
def accounts_json() -> bytes:
    """The file of one account for each role, named as the role, with hashes that take no time."""
    quick = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    accounts = {role: {"role": role, "hash": quick.hash(PASSWORD)} for role in ROLES}
    return json.dumps({"accounts": accounts}).encode()


class ServedDashboard:
    """A dashboard in a thread; `stop` and `start` are a restart on the same port and folder."""

    def __init__(self, folder: Path, broker_port: int, **settings):
        self.port = free_port()
        self.folder = folder
        folder.mkdir(exist_ok=True)
        (folder / FILE).write_bytes(accounts_json())
        (folder / FILE).chmod(0o600)
        listen = ListenSettings(port=self.port, behind_proxy=settings.pop("behind_proxy", False))
        self.settings = DashboardSettings(
            folder=folder, mqtt=MqttSettings(port=broker_port), listen=listen, **settings
        )

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> ServedDashboard:
        self.dashboard = Dashboard(self.settings)
        config = uvicorn.Config(
            make_app(self.dashboard), port=self.port, log_config=None, access_log=False,
            proxy_headers=False, timeout_graceful_shutdown=1,
        )  # fmt: skip
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, daemon=True)
        self._thread.start()
        wait_until(lambda: self._server.started, 30, "the page being served")
        return self

    def wait_connected(self) -> ServedDashboard:
        wait_until(lambda: self.dashboard.listener.is_connected, 30, "the broker being there")
        return self

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join(20)


@dataclass
class Page:
    """What came back."""

    status: int
    headers: dict[str, str]
    cookies: list[str]
    text: str


class Visit:
    """A browser without a screen: keeps cookies and follows nothing."""

    def __init__(self, port: int):
        self.port = port
        self.cookies: dict[str, str] = {}

    def ask(self, method: str, path: str, body: bytes | None = None, /, **headers: str) -> Page:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        if self.cookies:
            headers["cookie"] = "; ".join(f"{name}={it}" for name, it in self.cookies.items())
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body, named)
        response = connection.getresponse()
        cookies = response.headers.get_all("set-cookie") or []
        for each in cookies:
            for name, morsel in SimpleCookie(each).items():
                self.cookies[name] = morsel.value
        page = Page(
            response.status, dict(response.headers.items()), cookies, response.read().decode()
        )
        connection.close()
        return page

    def get(self, path: str, **headers: str) -> Page:
        return self.ask("GET", path, **headers)

    def post(self, path: str, fields: dict[str, str], **headers: str) -> Page:
        headers.setdefault("content_type", "application/x-www-form-urlencoded")
        return self.ask("POST", path, urlencode(fields).encode(), **headers)

    def sign_in(self, name: str, password: str = PASSWORD, path: str = "/login") -> Page:
        return self.post(path, {"name": name, "password": password})

    def csrf(self) -> str:
        found = re.search(r'data-csrf="([^"]*)"', self.get("/").text)
        return found[1] if found else ""


class Station:
    """Publishes as a station does, and answers commands with `done`."""

    def __init__(self, port: int, identity: Identity = TOP):
        self.identity = identity
        self.commands: list[tuple[str, dict]] = []
        self._client = paho.Client(paho.CallbackAPIVersion.VERSION2)
        self._client.on_message = self._hear
        self._ready = threading.Event()
        self._client.on_subscribe = lambda *_: self._ready.set()
        self._client.connect("127.0.0.1", port)
        self._client.subscribe(f"{ROOT}/{identity.node}/{identity.station}/cmd/+", 1)
        self._client.loop_start()
        assert self._ready.wait(20), "the broker does not answer"

    def publish(self, topic: str, payload: dict, *, retain: bool = False) -> None:
        data = json.dumps(payload).encode()
        info = self._client.publish(f"{ROOT}/{self.identity.node}/{topic}", data, 1, retain)
        info.wait_for_publish(20)

    def stop(self) -> None:
        self._client.loop_stop()
        self._client.disconnect()

    def _hear(self, _client, _user, message) -> None:
        name, request = message.topic.rpartition("/")[2], json.loads(message.payload)
        self.commands.append((name, request))
        ack = ack_payload(
            self.identity, name, request["cmd_id"], Answer("done", message="so be it"), {}
        )
        topic = f"{ROOT}/{self.identity.node}/{self.identity.station}/ack"
        self._client.publish(topic, json.dumps(ack), 1)
