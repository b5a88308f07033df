"""A small RTSP camera for tests: numbered JPEG pictures (RFC 2435) over interleaved TCP.

Enough of RTSP 1.0 for FFmpeg: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN, and Basic authentication.
"""

import base64
import contextlib
import socket
import struct
import threading
import time

import cv2
import numpy as np

_SDP = """v=0\r
o=- 0 0 IN IP4 127.0.0.1\r
s=test\r
t=0 0\r
m=video 0 RTP/AVP 26\r
a=framerate:{fps}\r
a=control:track0\r
"""


class RtspServer:
    """Serves on 127.0.0.1 until `kill`; `silent` keeps connections open and sends nothing."""

    def __init__(self, port=0, fps=60, size_wh=(160, 120), login=None):
        self.fps = fps
        self.silent = threading.Event()
        self.requests = []
        self.pictures_sent = 0
        self._login = login and base64.b64encode(login.encode()).decode()
        self._size_wh = size_wh
        self._dead = threading.Event()
        self._clients = []
        self._listener = socket.create_server(("127.0.0.1", port))
        self._listener.settimeout(0.1)
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, name="rtsp-server", daemon=True)
        self._thread.start()

    def url(self, user=""):
        return f"rtsp://{user}127.0.0.1:{self.port}/stream"

    def level(self, number):
        """Grey value of a picture's corner."""
        return 40 + number % 150

    def kill(self):
        self._dead.set()
        self._thread.join(5)
        self._listener.close()
        for client in self._clients:
            with contextlib.suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)
            client.close()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.kill()

    def _accept(self):
        while not self._dead.is_set():
            with contextlib.suppress(TimeoutError):
                client, _ = self._listener.accept()
                self._clients.append(client)
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client):
        with contextlib.suppress(OSError, ValueError, struct.error), client.makefile("rb") as lines:
            while not self._dead.is_set():
                method, headers = self._request(lines)
                client.sendall(self._answer(method, headers))
                if method == "PLAY":
                    threading.Thread(target=self._play, args=(client,), daemon=True).start()
                if method == "TEARDOWN":
                    return

    def _request(self, lines):
        first = lines.peek(1)[:1]
        while first == b"$":  # FFmpeg's receiver reports share the connection
            lines.read(struct.unpack(">xxH", lines.read(4))[0])
            first = lines.peek(1)[:1]
        method, url, _ = lines.readline().decode().split()
        self.requests.append(f"{method} {url}")
        headers = {}
        while line := lines.readline().decode().strip():
            key, _, value = line.partition(":")
            headers[key.lower()] = value.strip()
        return method, headers

    def _answer(self, method, headers):
        status, body, extra = "200 OK", "", ""
        if self._login and headers.get("authorization") != f"Basic {self._login}":
            status, extra = "401 Unauthorized", 'WWW-Authenticate: Basic realm="camera"\r\n'
        elif method == "OPTIONS":
            extra = "Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN\r\n"
        elif method == "DESCRIBE":
            body = _SDP.format(fps=self.fps)
            extra = "Content-Type: application/sdp\r\n"
        elif method == "SETUP" and "TCP" not in headers["transport"]:
            status = "461 Unsupported Transport"
        elif method == "SETUP":
            extra = "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n"
        return (
            f"RTSP/1.0 {status}\r\nCSeq: {headers['cseq']}\r\nSession: 1\r\n{extra}"
            f"Content-Length: {len(body)}\r\n\r\n{body}"
        ).encode()

    def _play(self, client):
        sequence = number = 0
        with contextlib.suppress(OSError):
            while not self._dead.is_set():
                if not self.silent.is_set():
                    for packet in _packets(self._picture(number), sequence, number, self.fps):
                        client.sendall(struct.pack(">BBH", 0x24, 0, len(packet)) + packet)
                        sequence += 1
                    number += 1
                    self.pictures_sent = number
                time.sleep(1 / self.fps)

    def _picture(self, number):
        pixels = np.full((self._size_wh[1], self._size_wh[0], 3), self.level(number), np.uint8)
        cv2.putText(pixels, str(number), (10, 60), cv2.FONT_HERSHEY_SIMPLEX, 1, (0, 200, 255), 2)
        return cv2.imencode(".jpg", pixels)[1].tobytes()


def _packets(jpeg, sequence, number, fps):
    """Split one baseline 4:2:0 JPEG into RTP packets."""
    tables, scan, (width, height) = _take_apart(jpeg)
    stamp = (number * 90000 // fps) & 0xFFFFFFFF
    offset, chunk = 0, 1200
    while offset < len(scan):
        piece = scan[offset : offset + chunk]
        is_last = offset + len(piece) >= len(scan)
        rtp = struct.pack(
            ">BBHII", 0x80, 26 | (0x80 if is_last else 0), sequence & 0xFFFF, stamp, 0x1234
        )
        head = struct.pack(">I", offset) + bytes((1, 255, width // 8, height // 8))
        if offset == 0:
            head += struct.pack(">BBH", 0, 0, len(tables)) + tables
        yield rtp + head + piece
        offset += len(piece)
        sequence += 1


def _take_apart(jpeg):
    """Return quantisation tables, scan data without its end marker, width and height."""
    tables, size, at = b"", (0, 0), 2
    while True:
        marker, length = struct.unpack_from(">HH", jpeg, at)
        body = jpeg[at + 4 : at + 2 + length]
        if marker == 0xFFDB:
            while body:
                tables, body = tables + body[1:65], body[65:]
        elif marker == 0xFFC0:
            size = struct.unpack_from(">HH", body, 1)[::-1]
        at += 2 + length
        if marker == 0xFFDA:
            return tables, jpeg[at:].removesuffix(b"\xff\xd9"), size
