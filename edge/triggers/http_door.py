"""The HTTP door for software triggers: POST /trigger, from this device only."""

from __future__ import annotations

import json
import logging
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from edge.errors import ConfigError
from edge.triggers.software import SoftwareTriggers
from edge.triggers.source import Fire, NotTaken

log = logging.getLogger(__name__)
HOST = "127.0.0.1"
PATH = "/trigger"
MAX_BYTES = 4096
MAX_DIGITS = 9
# A client that sends nothing keeps a thread for so long.
PATIENCE_S = 5.0
_STATUS = {
    "not_ready": HTTPStatus.CONFLICT,
    "used": HTTPStatus.CONFLICT,
    "not_judging": HTTPStatus.SERVICE_UNAVAILABLE,
    "stopping": HTTPStatus.SERVICE_UNAVAILABLE,
}


class HttpDoor:
    """Answers 202 for a trigger that was taken, 409 not ready, 503 not judging, 400 a wrong body.

    The body is empty or a JSON object with trigger_id, part_id or barcode. The answer is a JSON
    object: `trigger_id`, or `error` and `detail`.

    Args:
        port: on 127.0.0.1; 0 takes a free one.
        triggers: makes triggers of requests.
    """

    def __init__(self, port: int, triggers: SoftwareTriggers):
        try:
            self._server = _Server(port, triggers)
        except OSError as error:
            raise ConfigError(
                f"trigger.http_port: expected a free port, {port} is not: {error.strerror}; "
                "choose another one"
            ) from None
        self._thread: threading.Thread | None = None

    @property
    def port(self) -> int:
        """The port in use."""
        return int(self._server.server_address[1])

    def start(self, _: Fire) -> None:
        """Begin to answer; the triggers know where they go."""
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.05,), name="http triggers", daemon=True
        )
        self._thread.start()

    def stop(self, timeout_s: float) -> bool:
        """Give the port back; False when the thread did not end in time."""
        if self._thread is not None:
            self._server.shutdown()
            self._thread.join(timeout_s)
        self._server.server_close()
        return self._thread is None or not self._thread.is_alive()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, port: int, triggers: SoftwareTriggers):
        self.triggers = triggers
        super().__init__((HOST, port), _Handler)


class _Handler(BaseHTTPRequestHandler):
    """Answers the requests of one connection."""

    server: _Server
    protocol_version = "HTTP/1.1"
    server_version = "edge-infer"
    sys_version = ""
    timeout = PATIENCE_S
    disable_nagle_algorithm = True
    wbufsize = -1  # headers and body leave in one packet

    def do_POST(self) -> None:
        if self.path != PATH:
            self._refuse(HTTPStatus.NOT_FOUND, f"expected {PATH}")
        elif self.headers.get("Origin") is not None:
            # A page in a browser on this device is not the line.
            self._refuse(HTTPStatus.FORBIDDEN, "pages of browsers may not trigger")
        else:
            self._take()

    def _take(self) -> None:
        length = self.headers.get("Content-Length") or "0"
        if not length.isdecimal() or self.headers.get("Transfer-Encoding"):
            self._refuse(HTTPStatus.BAD_REQUEST, "expected a Content-Length")
            return
        if len(length) > MAX_DIGITS or int(length) > MAX_BYTES:
            detail = f"expected at most {MAX_BYTES} bytes"
            self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, detail)
            return
        try:
            outcome = self.server.triggers.request(_arguments(self.rfile.read(int(length))))
        except ValueError as error:
            self._refuse(HTTPStatus.BAD_REQUEST, str(error))
            return
        if isinstance(outcome, NotTaken):
            answer = {"error": outcome.code, "detail": outcome.detail}
            self._send(_STATUS[outcome.code], answer)
        else:
            self._send(HTTPStatus.ACCEPTED, {"trigger_id": outcome.id})

    def _refuse(self, status: HTTPStatus, detail: str) -> None:
        # What stands unread in the connection would be taken for the next request.
        self.close_connection = True
        self._send(status, {"error": "invalid", "detail": detail})

    def _send(self, status: HTTPStatus, answer: dict[str, str]) -> None:
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        log.debug("http trigger %s", format % args)


def _arguments(body: bytes) -> dict[str, object]:
    if not body.strip():
        return {}
    try:
        arguments = json.loads(body)
    except (ValueError, RecursionError):
        raise ValueError("expected a JSON object, got something else") from None
    if not isinstance(arguments, dict):
        raise ValueError("expected a JSON object, got something else")  # noqa: TRY004
    return arguments
