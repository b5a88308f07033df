"""A GigE Vision camera of its own process on this machine: Aravis's fake one."""

from __future__ import annotations

import fcntl
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

PROGRAM = "arv-fake-gv-camera-0.8"
# GigE Vision knows one port for cameras, so there is one camera per address at a time.
HOST, PORT = "127.0.0.1", 3956
_DISCOVERY = bytes([0x42, 0x11, 0x00, 0x02, 0x00, 0x00, 0x00, 0x01])
_SERIAL = slice(8 + 0xD8, 8 + 0xD8 + 16)
_READY_S = 20


@contextmanager
def camera_port() -> Iterator[None]:
    """Have the port of GigE Vision alone, also against tests in other processes."""
    with (Path(tempfile.gettempdir()) / "edge-gige-vision.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


class GigeCamera:
    """The camera; hold `camera_port` while it runs.

    Args:
        serial: its serial number.
        lost_per_mille: share of packets that it does not send.
    """

    def __init__(self, serial: str, lost_per_mille: int = 0):
        if shutil.which(PROGRAM) is None:
            pytest.skip(f"{PROGRAM} is not installed (Debian: aravis-tools)")
        self.serial = serial
        self._options = ["-i", HOST, "-s", serial, "-r", str(lost_per_mille)]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it answers."""
        self._process = subprocess.Popen(
            [PROGRAM, *self._options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + _READY_S
        while (answer := _answering()) != self.serial:
            if time.monotonic() > deadline:
                self.kill()
                pytest.fail(f"{PROGRAM} {self.serial} does not answer, found {answer}")

    def kill(self) -> None:
        """Take it off the network without a word."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        """Leave it there, but silent."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    @contextmanager
    def running(self) -> Iterator[GigeCamera]:
        """Run it for a while."""
        self.start()
        try:
            yield self
        finally:
            self.kill()


def _answering() -> str | None:
    """Return the serial number of the camera that answers, None when none does within 0.1 s."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.settimeout(0.1)
        sender.connect((HOST, PORT))
        try:
            sender.send(_DISCOVERY)
            answer = sender.recv(1024)
        except OSError:
            time.sleep(0.02)
            return None
    return answer[_SERIAL].rstrip(b"\0").decode(errors="replace")
