"""The station file: one camera at one place, its bundle, its broker."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, ValidationInfo, field_validator, model_validator

from edge.config.reader import Settings, read_settings
from edge.errors import ConfigError

NAME = re.compile(r"[A-Za-z0-9_-]+")
# `+`, `#` and `$` have a meaning in MQTT topics; spaces break the tools that read them.
PREFIX = re.compile(r"[A-Za-z0-9_./-]+")
_UNITS = {"B": 1, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "KB": 10**3, "MB": 10**6, "GB": 10**9}
_SECONDS = {"s": 1, "min": 60, "h": 3600, "d": 86400}


def _name(value: str) -> str:
    if not NAME.fullmatch(value):
        raise ValueError("expected letters, digits, _ and - only")
    return value


def parse_bytes(value: object) -> int:
    """Read a size such as `512MiB`, `2 GB` or a number of bytes."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*", str(value))
    unit = (match.group(2).upper() or "B") if match else ""
    if match is None or unit not in _UNITS:
        raise ValueError("expected a size such as 512MiB or 2GB")
    return int(float(match.group(1)) * _UNITS[unit])


def parse_seconds(value: object) -> float:
    """Read a duration such as `7d`, `12h`, `90s` or a number of seconds."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(s|min|h|d)?\s*", str(value))
    if match is None:
        raise ValueError("expected a duration such as 7d, 12h, 30min or 90s")
    return float(match.group(1)) * _SECONDS[match.group(2) or "s"]


def resolve_path(value: Path | None, info: ValidationInfo) -> Path | None:
    """Make a relative path absolute from the folder of the file it stands in."""
    if value is None:
        return None
    folder = (info.context or {}).get("folder", Path.cwd())
    return Path(os.path.normpath(folder / value.expanduser()))


Name = Annotated[str, AfterValidator(_name)]


class CameraSettings(Settings):
    """Where frames come from.

    `source` is an address: file://, v4l2://, rtsp:// or test:// (see docs/cameras.md). `buffer`
    says what happens when frames come faster than they are judged: `latest` drops the older one,
    `every` makes the source wait or, for a full queue, refuses with a result; `auto` takes `latest`
    for live cameras and `every` for files.
    """

    name: Name = "cam0"
    source: str
    buffer: Literal["auto", "latest", "every"] = "auto"
    queue_size: int = Field(default=8, ge=1, le=1024)
    stall_timeout_s: float = Field(default=5.0, gt=0)
    retry_interval_s: float = Field(default=1.0, gt=0, le=60)
    retry_max_s: float = Field(default=30.0, gt=0, le=600)

    @field_validator("source")
    @classmethod
    def _is_address(cls, value: str, info: ValidationInfo) -> str:
        if "://" not in value:
            raise ValueError(
                "expected an address such as file:///data/parts, v4l2:///dev/video0, "
                "rtsp://host/path or test://conveyor"
            )
        scheme, _, rest = value.partition("://")
        if scheme == "file" and rest and not rest.startswith(("/", "~")):
            return f"file://{resolve_path(Path(rest), info)}"
        return value


class DecisionSettings(Settings):
    """How scores become verdicts at this place.

    `undecided_p`: parts whose p-value lies between the bundle's alpha and this value become
    `undecided`; off when empty. `max_engine_failures`: so many failed inferences in a row stop the
    process, so that its supervisor restarts it.
    """

    undecided_p: float | None = Field(default=None, gt=0, lt=1)
    max_engine_failures: int = Field(default=5, ge=1)


class EngineSettings(Settings):
    """Which engine runs the bundle's graph."""

    backend: Literal["onnxruntime"] = "onnxruntime"
    threads: int = Field(default=0, ge=0, description="0 = physical cores")


class SpoolSettings(Settings):
    """Limits of the outbox on disk; what exceeds them is dropped oldest first and counted."""

    max_rows: int = Field(default=200_000, ge=1)
    max_bytes: int = 512 * 2**20
    max_age_s: float = 7 * 86400.0

    @field_validator("max_bytes", mode="before")
    @classmethod
    def _bytes(cls, value: object) -> int:
        return parse_bytes(value)

    @field_validator("max_age_s", mode="before")
    @classmethod
    def _seconds(cls, value: object) -> float:
        return parse_seconds(value)


class MqttSettings(Settings):
    """Where results go. Secrets are named here (a variable, a file), never written down."""

    broker: Literal["external", "embedded", "none"] = "external"
    host: str = "127.0.0.1"
    port: int = Field(default=1883, ge=1, le=65535)
    protocol: Literal["5", "3.1.1"] = "5"
    topic_prefix: str = "edge-infer/v1"
    client_id: str | None = None
    user: str | None = None
    user_env: str | None = None
    password_env: str | None = None
    password_file: Path | None = None
    tls: bool = False
    tls_ca_certs: Path | None = None
    tls_client_cert: Path | None = None
    tls_client_key: Path | None = None
    tls_insecure: bool = False
    keepalive_s: int = Field(default=30, ge=5, le=3600)
    retain_last_result: bool = True
    result_expiry_s: float = 7 * 86400.0
    spool: SpoolSettings = SpoolSettings()

    @field_validator("protocol", mode="before")
    @classmethod
    def _protocol(cls, value: object) -> str:
        return str(value)

    @field_validator("result_expiry_s", mode="before")
    @classmethod
    def _seconds(cls, value: object) -> float:
        return parse_seconds(value)

    @field_validator("topic_prefix")
    @classmethod
    def _prefix(cls, value: str) -> str:
        if not PREFIX.fullmatch(value) or value.startswith("/") or value.endswith("/"):
            raise ValueError("expected topic levels such as plant/line4/edge-infer/v1")
        return value

    @field_validator("password_file", "tls_ca_certs", "tls_client_cert", "tls_client_key")
    @classmethod
    def _beside_the_file(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        return resolve_path(value, info)

    @model_validator(mode="after")
    def _consistent(self) -> MqttSettings:
        if self.user and self.user_env:
            raise ValueError("expected one of user and user_env")
        if self.password_env and self.password_file:
            raise ValueError("expected one of password_env and password_file")
        if (self.tls_client_cert is None) != (self.tls_client_key is None):
            raise ValueError("expected tls_client_cert and tls_client_key together")
        needs_tls = self.tls_ca_certs or self.tls_client_cert or self.tls_insecure
        if needs_tls and not self.tls:
            raise ValueError("tls_* keys are set but tls is false; set tls: true")
        return self


class ArchiveSettings(Settings):
    """Annotated pictures on disk: heat map, boxes, verdict."""

    path: Path
    keep: Literal["all", "rejects"] = "rejects"
    max_bytes: int = 2 * 2**30

    @field_validator("max_bytes", mode="before")
    @classmethod
    def _bytes(cls, value: object) -> int:
        return parse_bytes(value)

    @field_validator("path")
    @classmethod
    def _beside_the_file(cls, value: Path, info: ValidationInfo) -> Path:
        resolved = resolve_path(value, info)
        assert resolved is not None  # noqa: S101 - narrowing only, the key is required
        return resolved


class StationConfig(Settings):
    """One station; relative paths are relative to the file they stand in."""

    node: Name
    station: Name
    bundle: Path
    camera: CameraSettings
    decision: DecisionSettings = DecisionSettings()
    engine: EngineSettings = EngineSettings()
    mqtt: MqttSettings = MqttSettings()
    archive: ArchiveSettings | None = None
    health_interval_s: float = Field(default=30.0, gt=0)

    @field_validator("bundle")
    @classmethod
    def _beside_the_file(cls, value: Path, info: ValidationInfo) -> Path:
        resolved = resolve_path(value, info)
        assert resolved is not None  # noqa: S101 - narrowing only, the key is required
        return resolved


def read_station(path: Path) -> StationConfig:
    """Read and check a station file.

    Raises:
        ConfigError: listing every problem of the file.
    """
    return read_settings(path, StationConfig, {"folder": path.resolve().parent})


def with_overrides(
    config: StationConfig,
    *,
    camera: str | None = None,
    bundle: Path | None = None,
    mqtt: str | None = None,
) -> StationConfig:
    """Apply command-line overrides; `mqtt` is a broker address, `embedded` or `none`.

    Raises:
        ConfigError: when an override is not a valid value.
    """
    changes: dict[str, object] = {}
    if camera is not None:
        if "://" not in camera:
            raise ConfigError(f"--camera: expected an address such as file:///data, got {camera}")
        changes["camera"] = config.camera.model_copy(update={"source": camera})
    if bundle is not None:
        changes["bundle"] = bundle.resolve()
    if mqtt is not None:
        changes["mqtt"] = config.mqtt.model_copy(update=parse_broker(mqtt, "--mqtt"))
    return config.model_copy(update=changes)


def parse_broker(address: str, option: str) -> dict[str, object]:
    """Translate `embedded`, `none` or a broker address into MqttSettings fields."""
    if address in ("embedded", "none"):
        return {"broker": address}
    parts = urlsplit(address)
    try:
        port = parts.port
    except ValueError:
        port = -1
    if parts.scheme not in ("mqtt", "mqtts") or not parts.hostname or port in (-1, 0):
        raise ConfigError(
            f"{option}: expected mqtt://HOST:PORT, mqtts://HOST:PORT, embedded or none, "
            f"got {address}"
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
