"""`rtsp://`: a network camera, decoded by OpenCV's FFmpeg."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

import cv2

from edge.cameras.address import Address
from edge.cameras.opencv import VideoHandle
from edge.cameras.query import Query
from edge.cameras.source import frame_now
from edge.config.camera import CameraSettings
from edge.errors import CameraTimeout, CameraUnavailable, ConfigError
from edge.frame import Frame
from edge.secret_file import read_secret

_OUR_KEYS = ("transport", "latency", "user_env", "password_env", "password_file")
# The stream starts with a full picture, which a camera may send only every few seconds.
_OPEN_PATIENCE = 2
# FFmpeg's own timeout comes before the supervisor's: it gives the connection back, while a thread
# that has to be abandoned keeps it.
_READ_PATIENCE = 0.8


@dataclass(frozen=True, slots=True)
class Login:
    """Where user and password are found. Each open reads them again, so a new secret is used."""

    user: str | None = None
    user_env: str | None = None
    password_env: str | None = None
    password_file: Path | None = None

    def userinfo(self) -> str:
        """Return `user:password@` percent-encoded, or nothing.

        Raises:
            CameraUnavailable: a variable is not set.
            ConfigError: the file cannot be used, or others can read it.
        """
        user = _from_environment(self.user_env) if self.user_env else self.user
        if user is None:
            return ""
        password = None
        if self.password_env:
            password = _from_environment(self.password_env)
        elif self.password_file:
            password = read_secret(self.password_file, "password_file")
        secret = f":{quote(password, safe='')}" if password is not None else ""
        return f"{quote(user, safe='')}{secret}@"


class RtspSource:
    """A network camera. Losing it is an error at once; the capture thread reopens."""

    def __init__(
        self,
        camera: str,
        host: tuple[str, int],
        path: str,
        *,
        login: Login,
        options: str,
        stall_timeout_s: float,
    ):
        """`path` begins with `/` or is empty and keeps the camera's own query keys."""
        self._camera = camera
        self._host, self._port = host
        self._path = path
        self._login = login
        self._options = options
        self._stall_timeout_s = stall_timeout_s
        self._handle = VideoHandle()
        self._frame_id = 0

    @classmethod
    def from_address(cls, address: Address, settings: CameraSettings) -> RtspSource:
        """Read our own keys; the others belong to the camera and are passed on."""
        query = address.query
        query.no_misspelling(*_OUR_KEYS)
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
        rest = query.rest(*_OUR_KEYS)
        return cls(
            settings.name,
            (host, port),
            f"{slash}{path}{'?' if rest else ''}{rest}",
            login=_login(query, parts.username, parts.password),
            options=_ffmpeg_options(query),
            stall_timeout_s=settings.stall_timeout_s,
        )

    def open(self) -> None:
        """Connect and wait for the stream."""
        userinfo = self._login_or_unavailable()
        self._check_reachable()
        open_s = _OPEN_PATIENCE * self._stall_timeout_s
        timeouts_ms = [
            *(cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, int(open_s * 1000)),
            *(cv2.CAP_PROP_READ_TIMEOUT_MSEC, int(_READ_PATIENCE * self._stall_timeout_s * 1000)),
        ]
        url = f"rtsp://{userinfo}{self._netloc}{self._path}"
        if not self._handle.open(url, cv2.CAP_FFMPEG, timeouts_ms, self._options):
            raise self._unavailable(
                f"expected a video stream within {open_s:g} s, got none; check the path, the "
                f"credentials and the transport"
            )

    def read(self) -> Frame | None:
        """Return the next frame."""
        pixels = self._handle.read()
        if pixels is None:
            raise CameraTimeout(
                f"{self._camera}: rtsp://{self._netloc}: the stream ended or was silent for "
                f"{_READ_PATIENCE * self._stall_timeout_s:g} s; check the camera and the network"
            )
        self._frame_id += 1
        return frame_now(self._camera, self._frame_id - 1, pixels)

    def close(self) -> None:
        """Disconnect."""
        self._handle.close()

    @property
    def _netloc(self) -> str:
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"{host}:{self._port}"

    def _login_or_unavailable(self) -> str:
        try:
            return self._login.userinfo()
        except (CameraUnavailable, ConfigError) as error:
            raise self._unavailable(str(error)) from error

    def _check_reachable(self) -> None:
        """Connect and hang up, because FFmpeg reports an absent host and a wrong path alike."""
        try:
            socket.create_connection((self._host, self._port), self._stall_timeout_s / 2).close()
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise self._unavailable(
                f"expected a camera at this address, got: {reason}; check power, network and port"
            ) from error

    def _unavailable(self, what: str) -> CameraUnavailable:
        return CameraUnavailable(f"{self._camera}: rtsp://{self._netloc}: {what}")


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


def _ffmpeg_options(query: Query) -> str:
    options = {
        "rtsp_transport": query.choice("transport", ("tcp", "udp")) or "tcp",
        "allowed_media_types": "video",
        # Smallest buffer: a frame that waits in FFmpeg is an old frame.
        "fflags": "nobuffer",
    }
    latency_ms = query.whole("latency", 0)
    if latency_ms is not None:
        options["max_delay"] = str(latency_ms * 1000)
    return "|".join(f"{key};{value}" for key, value in options.items())


def _from_environment(name: str) -> str:
    value = os.environ.get(name)
    if not value:
        raise CameraUnavailable(f"expected a secret in the variable {name}, it is not set; set it")
    return value
