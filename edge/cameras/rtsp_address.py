"""The parts of an `rtsp://` address, whoever decodes the stream: host, path, login, transport."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from edge.cameras.address import Address
from edge.cameras.query import Query
from edge.errors import CameraUnavailable
from edge.secret_file import read_secret

_OUR_KEYS = ("transport", "latency", "user_env", "password_env", "password_file")
# FFmpeg finds the codec out; GStreamer's elements may decode in hardware and are named by codec.
DECODERS = ("ffmpeg", "gst", "gst-h265", "gst-jpeg")


@dataclass(frozen=True, slots=True)
class Login:
    """Where user and password are found. Each open reads them again, so a new secret is used."""

    user: str | None = None
    user_env: str | None = None
    password_env: str | None = None
    password_file: Path | None = None

    def read(self) -> tuple[str | None, str | None]:
        """Return user and password.

        Raises:
            CameraUnavailable: a variable is not set.
            ConfigError: the file cannot be used, or others can read it.
        """
        user = _from_environment(self.user_env) if self.user_env else self.user
        if user is None:
            return None, None
        password = None
        if self.password_env:
            password = _from_environment(self.password_env)
        elif self.password_file:
            password = read_secret(self.password_file, "password_file")
        return user, password

    def userinfo(self) -> str:
        """Return `user:password@` percent-encoded, or nothing; raises as `read` does."""
        user, password = self.read()
        if user is None:
            return ""
        secret = f":{quote(password, safe='')}" if password is not None else ""
        return f"{quote(user, safe='')}{secret}@"


@dataclass(frozen=True, slots=True)
class RtspAddress:
    """Where a network camera is, and how it is asked.

    Attributes:
        host: name or number, and port.
        path: begins with `/` or is empty and keeps the camera's own query keys.
        login: where user and password are found.
        transport: tcp or udp.
        latency_ms: how long to wait for late packets; None: the decoder's own.
        decoder: one of DECODERS.
    """

    host: tuple[str, int]
    path: str
    login: Login
    transport: str
    latency_ms: int | None
    decoder: str

    @classmethod
    def read(cls, address: Address) -> RtspAddress:
        """Read our own keys; the others belong to the camera and are passed on.

        Raises:
            ConfigError: a key or the host is wrong.
        """
        query = address.query
        query.no_misspelling(*_OUR_KEYS)
        # Cameras have a key `encoder` of their own.
        query.no_misspelling("decoder", likeness=0.9)
        netloc, slash, path = address.place.partition("/")
        parts = urlsplit(f"rtsp://{netloc}")
        try:
            host, port = parts.hostname, parts.port or 554
        except ValueError:
            host, port = None, 0
        if not host:
            raise query.problem("expected rtsp://host[:port]/path")
        if "@" in f"{path}{parts.fragment}{query.rest()}":
            raise query.problem(
                "an @ behind the host may end a password: write %40 for it there, and %2F, %3F, "
                "%23 for / ? # in a user name"
            )
        rest = query.rest(*_OUR_KEYS, "decoder")
        return cls(
            (host, port),
            f"{slash}{path}{'?' if rest else ''}{rest}",
            _login(query, parts.username, parts.password),
            query.choice("transport", ("tcp", "udp")) or "tcp",
            query.whole("latency", 0),
            query.choice("decoder", DECODERS) or "ffmpeg",
        )

    @property
    def netloc(self) -> str:
        """Host and port as an address has them."""
        host, port = self.host
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def check_reachable(self, timeout_s: float) -> None:
        """Connect and hang up, because decoders report an absent host and a wrong path alike.

        Raises:
            CameraUnavailable: nobody listens there.
        """
        try:
            socket.create_connection(self.host, timeout_s).close()
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise CameraUnavailable(
                f"expected a camera at this address, got: {reason}; check power, network and port"
            ) from error


def _login(query: Query, user: str | None, password: str | None) -> Login:
    """Read the keys of the login; refuse contradictions and a password in the address."""
    if password is not None:
        raise query.problem(
            "a password does not belong into an address, which is logged and shown; name it with "
            "password_env=VARIABLE or password_file=/path"
        )
    user_env, password_env = query.text("user_env"), query.text("password_env")
    file = query.text("password_file")
    if user and user_env:
        raise query.problem("expected one of user@ and user_env, got both")
    if password_env and file:
        raise query.problem("expected one of password_env and password_file, got both")
    if (password_env or file) and not (user or user_env):
        raise query.problem("expected user@ or user_env beside the password, got none")
    if file and not file.startswith("/"):
        raise query.problem(f"password_file: expected an absolute path, got {file}")
    return Login(
        unquote(user) if user else None, user_env, password_env, Path(file) if file else None
    )


def _from_environment(name: str) -> str:
    value = os.environ.get(name)
    if not value:
        raise CameraUnavailable(f"expected a secret in the variable {name}, it is not set; set it")
    return value
