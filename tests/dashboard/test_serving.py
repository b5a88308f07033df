"""What keeps the pages from being served is one line."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from edge.config.mqtt import MqttSettings
from edge.dashboard.settings import DashboardSettings, ListenSettings
from edge.dashboard.web.serving import serve
from edge.errors import ConfigError
from tests.support.brokers import free_port


def settings(folder: Path, **listen) -> DashboardSettings:
    mqtt = MqttSettings(port=free_port())
    return DashboardSettings(folder=folder, mqtt=mqtt, listen=ListenSettings(**listen))


def test_a_port_in_use_is_named(data: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"127.0.0.1:{port} cannot be used"):
            serve(settings(data, port=port))


def test_a_certificate_that_is_none_is_named(data: Path, tmp_path: Path) -> None:
    cert, key = tmp_path / "page.pem", tmp_path / "page.key"
    files = {"tls_cert": cert, "tls_key": key}
    with pytest.raises(ConfigError, match=r"page\.pem: no such file"):
        serve(settings(data, **files))
    cert.write_text("garbage")
    key.write_text("garbage")
    with pytest.raises(ConfigError, match=r"page\.key: expected a certificate and its key as PEM"):
        serve(settings(data, **files))


def test_beyond_this_machine_there_is_no_page_without_tls() -> None:
    with pytest.raises(ValueError, match="give tls_cert and tls_key"):
        ListenSettings(host="0.0.0.0")
