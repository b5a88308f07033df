"""One question to an endpoint with OpenAI's chat completions, which is trusted with nothing else.

The key goes to the address that was given and nowhere else: redirects are refused. The answer is
bounded in bytes and in time, whatever the endpoint does.
"""

from __future__ import annotations

import http.client
import json
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import IO, Any
from urllib.parse import urlsplit

from edge.errors import ConfigError, EdgeError
from edge.redaction import HIDDEN, redacted, redacted_address

MAX_ANSWER_BYTES = 2**20
MAX_ERROR_BYTES = 300
# What 300 tokens can be at most; the rest is not an explanation.
MAX_TEXT = 8000


def find_endpoint(url: str) -> str:
    """Return the address of chat completions below `url`.

    Raises:
        ConfigError: `url` is not http:// or https:// with a host, or holds a user or password.
    """
    shown = redacted_address(url)
    try:
        parts = urlsplit(url)
        is_usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_usable = False
    if not is_usable or not (url.isascii() and url.isprintable()) or " " in url:
        raise ConfigError(f"--url: expected http:// or https:// with a host, got {shown}")
    if "@" in url:
        raise ConfigError(f"--url: no user or password here, got {shown}; name a key by --key-env")
    if parts.query or parts.fragment:
        raise ConfigError(f"--url: expected an address without ? and #, got {shown}")
    return f"{url.rstrip('/')}/chat/completions"


def ask(address: str, body: dict[str, Any], key: str | None, timeout_s: float) -> str:
    """Send a chat completion and return what the model says, of 8000 characters at most.

    Raises:
        EdgeError: the endpoint is away, refuses, redirects, or answers too much, too slowly or
            something else. The key is in no message.
    """
    headers = {"Content-Type": "application/json"}
    if key is not None:
        headers["Authorization"] = f"Bearer {key}"
    request = urllib.request.Request(address, json.dumps(body).encode(), headers)  # noqa: S310 - http
    try:
        data = _within(timeout_s, lambda: _send(request, timeout_s))
        content = json.loads(data)["choices"][0]["message"]["content"]
    except _Refused as error:
        problem = f"{address}: {_without(key, str(error))}"
    except (OSError, http.client.HTTPException) as error:
        reason = _without(key, redacted(str(getattr(error, "reason", error))))
        problem = f"{address}: no answer: {reason}; check --url and the server"
    except (ValueError, LookupError, TypeError, RecursionError):
        problem = f"{address}: expected a chat completion, got something else"
    else:
        return _without(key, str(content).strip()[:MAX_TEXT])
    raise EdgeError(problem)


class _Refused(Exception):
    """The endpoint answered, but not with a completion."""


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Makes an error of a redirect: urllib would send the key along, also to another host."""

    def redirect_request(self, *_: object) -> None:
        """Return no further request."""


def _send(request: urllib.request.Request, timeout_s: float) -> bytes:
    opener = urllib.request.build_opener(_NoRedirects)
    try:
        with opener.open(request, timeout=timeout_s) as response:
            data = _read(response, MAX_ANSWER_BYTES + 1)
    except urllib.error.HTTPError as error:
        with error:
            if error.code // 100 == 3:
                where = redacted_address(str(error.headers.get("Location", "nowhere")))
                what = f"redirects to {where[:200]}, which is not followed; give --url that address"
                raise _Refused(what) from None
            said = redacted(_read(error, MAX_ERROR_BYTES).decode("utf-8", "replace").strip())
            raise _Refused(f"refused with {error.code}: {said}") from None
    if len(data) > MAX_ANSWER_BYTES:
        raise _Refused(f"expected an answer of at most {MAX_ANSWER_BYTES} bytes, got more")
    return data


def _read(response: IO[bytes], limit: int) -> bytes:
    data = b""
    while len(data) < limit and (piece := response.read(min(65536, limit - len(data)))):
        data += piece
    return data


def _within(seconds: float, work: Callable[[], bytes]) -> bytes:
    """Run `work` in a thread and wait; a socket's own time limit starts anew with every byte."""
    result: list[bytes] = []
    failure: list[BaseException] = []

    def run() -> None:
        try:
            result.append(work())
        except BaseException as error:  # noqa: BLE001 - raised below, in the caller's thread
            failure.append(error)

    thread = threading.Thread(target=run, name="endpoint", daemon=True)
    thread.start()
    thread.join(seconds)
    if failure:
        raise failure[0]
    if not result:
        raise TimeoutError(f"not within {seconds:g} s")
    return result[0]


def _without(key: str | None, text: str) -> str:
    return text.replace(key, HIDDEN) if key else text
