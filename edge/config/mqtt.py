"""Where results go: the broker, how to log in to it, and the limits of the outbox."""

from __future__ import annotations

import ipaddress
import re
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from edge.config.reader import Settings
from edge.config.values import ByteSize, FilePath, Seconds
from edge.errors import ConfigError
from edge.redaction import redacted_address

# `+`, `#` and `$` have a meaning in MQTT topics; spaces break the tools that read them.
PREFIX = re.compile(r"[A-Za-z0-9_./-]+")


class SpoolSettings(Settings):
    """Limits of the outbox on disk. Beyond them the oldest results are dropped and counted."""

    max_rows: int = Field(default=200_000, ge=1)
    max_bytes: ByteSize = 512 * 2**20
    max_age_s: Seconds = 7 * 86400.0


class PictureSettings(Settings):
    """Small pictures of judged parts for those who watch, at most `max_per_s` passes a second.

    As many of the other verdicts are sent beside them. `longest_side_px` is of the small picture.
    Larger ones are sent on request, from the archive (the command `get_picture`).
    """

    thumbnails: Literal["all", "rejects", "none"] = "all"
    longest_side_px: int = Field(default=320, ge=64, le=1024)
    max_per_s: float = Field(default=2.0, gt=0, le=50)


class MqttSettings(Settings):
    """Where results go. Secrets are named by their variable or file; they never stand here."""

    broker: Literal["external", "embedded", "none"] = "external"
    host: str = "127.0.0.1"
    port: int = Field(default=1883, ge=1, le=65535)
    protocol: Literal["5", "3.1.1"] = "5"
    topic_prefix: str = "edge-infer/v1"
    client_id: str | None = None
    user: str | None = None
    user_env: str | None = None
    password_env: str | None = None
    password_file: FilePath | None = None
    signing_key_env: str | None = None
    signing_key_file: FilePath | None = None
    tls: bool = False
    tls_ca_certs: FilePath | None = None
    tls_client_cert: FilePath | None = None
    tls_client_key: FilePath | None = None
    tls_insecure: bool = False
    keepalive_s: int = Field(default=30, ge=5, le=3600)
    retain_last_result: bool = True
    result_expiry_s: Seconds = 7 * 86400.0
    # Without results the counters are published again so often, to hear them come back.
    probe_interval_s: Seconds = 60.0
    spool: SpoolSettings = SpoolSettings()
    pictures: PictureSettings = PictureSettings()

    @field_validator("host")
    @classmethod
    def _host_alone(cls, value: str) -> str:
        if not _is_host(value):
            raise ValueError("expected a name or IP address alone; port and user have their keys")
        return value

    @field_validator("protocol", mode="before")
    @classmethod
    def _protocol(cls, value: object) -> str:
        return str(value)

    @field_validator("topic_prefix")
    @classmethod
    def _prefix(cls, value: str) -> str:
        if not PREFIX.fullmatch(value) or value.startswith("/") or value.endswith("/"):
            raise ValueError("expected topic levels such as plant/line4/edge-infer/v1")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> MqttSettings:
        if self.user and self.user_env:
            raise ValueError("expected one of user and user_env")
        if self.password_env and self.password_file:
            raise ValueError("expected one of password_env and password_file")
        if self.signing_key_env and self.signing_key_file:
            raise ValueError("expected one of signing_key_env and signing_key_file")
        if (self.tls_client_cert is None) != (self.tls_client_key is None):
            raise ValueError("expected tls_client_cert and tls_client_key together")
        needs_tls = self.tls_ca_certs or self.tls_client_cert or self.tls_insecure
        if needs_tls and not self.tls:
            raise ValueError("tls_* keys are set but tls is false; set tls: true")
        return self


def _is_host(text: str) -> bool:
    """Tell whether `text` can be a name or IP address, with nothing around it."""
    if ":" not in text:
        return bool(text) and not re.search(r"[@/\\?#\s\0]|%40", text)
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True


def parse_broker(address: str, option: str) -> dict[str, object]:
    """Translate `embedded`, `none` or a broker address into MqttSettings fields."""
    if address in ("embedded", "none"):
        return {"broker": address}
    try:
        parts = urlsplit(address)
        port = parts.port
        is_broker = (
            parts.scheme in ("mqtt", "mqtts") and _is_host(parts.hostname or "") and port != 0
        )
        # Behind a / in a password, HOST would be the user and PORT the password's beginning.
        is_broker = is_broker and parts.path in ("", "/") and not (parts.query or parts.fragment)
    except ValueError:
        is_broker = False
    if not is_broker:
        raise ConfigError(
            f"{option}: expected mqtt://HOST:PORT, mqtts://HOST:PORT, embedded or none, "
            f"got {redacted_address(address)}"
        )
    if parts.username or parts.password:
        raise ConfigError(f"{option}: no user or password here; name them in the station file")
    tls = parts.scheme == "mqtts"
    return {
        "broker": "external",
        "host": parts.hostname,
        "port": port or (8883 if tls else 1883),
        "tls": tls,
    }
