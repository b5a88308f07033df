"""The dashboard file: which broker, where to listen, what to keep."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from edge.config.mqtt import MqttSettings
from edge.config.reader import Settings
from edge.config.values import ByteSize, FilePath, Seconds

Language = Literal["en", "de", "fr"]
LOOPBACK = ("127.0.0.1", "::1", "localhost")


class ListenSettings(Settings):
    """Where the pages are served. Beyond loopback they need TLS, here or by a proxy in front.

    `behind_proxy`: a reverse proxy on this device ends TLS and sets X-Forwarded-For.
    """

    host: str = "127.0.0.1"
    port: int = Field(default=8480, ge=1, le=65535)
    tls_cert: FilePath | None = None
    tls_key: FilePath | None = None
    behind_proxy: bool = False

    @model_validator(mode="after")
    def _consistent(self) -> ListenSettings:
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError("expected tls_cert and tls_key together")
        if self.host not in LOOPBACK and self.tls_cert is None:
            raise ValueError(
                f"host {self.host} is open to the network: give tls_cert and tls_key, or listen on "
                "127.0.0.1 behind a reverse proxy"
            )
        return self


class RetentionSettings(Settings):
    """How much history is kept. Beyond each limit the oldest goes first."""

    max_age_s: Seconds = Field(default=90 * 86400.0, ge=3600)
    max_results: int = Field(default=2_000_000, ge=1000)
    max_picture_bytes: ByteSize = 4 * 2**30


class DashboardSettings(Settings):
    """One dashboard. Relative paths start from the folder of the file.

    `folder` holds the history, the accounts and the reviews; nobody else may read it.
    `sign_in: false` shows everything to everybody who reaches the port, and takes no command.
    `language` is that of people who have not chosen one.
    """

    folder: FilePath
    mqtt: MqttSettings = MqttSettings()
    listen: ListenSettings = ListenSettings()
    retention: RetentionSettings = RetentionSettings()
    sign_in: bool = True
    language: Language = "en"
    session_s: Seconds = Field(default=12 * 3600.0, ge=60)

    @model_validator(mode="after")
    def _consistent(self) -> DashboardSettings:
        if self.mqtt.broker != "external":
            raise ValueError("mqtt.broker: expected external; the page is a client of a broker")
        return self
