"""edge-explain against an endpoint that really listens."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.support.mqtt_results import make_example

COMMAND = [sys.executable, "-c", "from edge.cli.explain import main; main()"]
ANSWER = {"choices": [{"message": {"content": " A scratch; check the gripper. \n"}}]}


class Endpoint(ThreadingHTTPServer):
    """Answers chat completions as told and keeps what it was asked."""

    block_on_close = False

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, str], dict]] = []
        self.status, self.answer = 200, json.dumps(ANSWER)
        self.headers: dict[str, str] = {}
        self.pieces = lambda: [self.answer.encode()]
        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"


class Handler(BaseHTTPRequestHandler):
    server: Endpoint

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append((self.path, dict(self.headers), body))
        self.send_response(self.server.status)
        for name, value in self.server.headers.items():
            self.send_header(name, value)
        self.end_headers()
        with suppress(OSError):  # who asked may have left
            for piece in self.server.pieces():
                self.wfile.write(piece)

    def do_GET(self) -> None:
        self.server.asked.append((self.path, dict(self.headers), {}))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(ANSWER).encode())

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    server = Endpoint()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    result, picture = tmp_path / "result.json", tmp_path / "part.png"
    result.write_text(json.dumps(make_example()))
    cv2.imwrite(str(picture), np.zeros((4, 6, 3), np.uint8))
    return [str(result), str(picture)]


def explain(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments], capture_output=True, text=True, timeout=60, check=False,
        env={"PATH": "", "PYTHONPATH": ".", **environment},
    )  # fmt: skip


def test_the_model_gets_findings_and_picture_and_is_quoted(
    endpoint: Endpoint, files: list[str]
) -> None:
    options = ["--url", endpoint.url + "/", "--model", "vl", "--key-env", "KEY"]
    done = explain(*files, *options, KEY="s3cret")
    assert (done.returncode, done.stdout) == (0, "A scratch; check the gripper.\n"), done.stderr
    ((path, headers, body),) = endpoint.asked
    assert path == "/v1/chat/completions"
    assert headers["Authorization"] == "Bearer s3cret"
    assert body["model"] == "vl"
    text, picture = body["messages"][1]["content"]
    assert "verdict: fail (score_above_threshold)" in text["text"]
    assert "finding: Scratch at the top left" in text["text"]
    assert "[412, 230, 61, 18]" in text["text"]
    kind, data = picture["image_url"]["url"].split(",")
    assert kind == "data:image/png;base64"
    assert base64.b64decode(data) == Path(files[1]).read_bytes()


@pytest.mark.parametrize(
    ("status", "answer", "problem"),
    [
        (401, "no such key", "refused with 401: no such key"),
        (200, "<html>", "expected a chat completion"),
        (200, '{"choices": []}', "expected a chat completion"),
        (200, "[" * 100_000, "expected a chat completion"),
        (200, "\0\xff", "expected a chat completion"),
    ],
)
def test_an_endpoint_that_does_not_answer_is_one_line(
    endpoint: Endpoint, files: list[str], status: int, answer: str, problem: str
) -> None:
    endpoint.status, endpoint.answer = status, answer
    done = explain(*files, "--url", endpoint.url, "--model", "vl")
    assert done.returncode == 1
    assert problem in done.stderr
    assert done.stderr.count("\n") == 1


def test_what_a_person_got_wrong_is_named(files: list[str], tmp_path: Path) -> None:
    wrong = tmp_path / "other.json"
    wrong.write_text("[]")
    usual = ["--url", "http://127.0.0.1:9/v1", "--model", "vl"]
    for arguments, problem in (
        ([*files, "--url", "file:///etc/passwd", "--model", "vl"], "expected http://"),
        ([str(wrong), files[1], *usual], "expected one result of schema"),
        ([files[0], files[0], *usual], "expected a picture"),
        ([*files, *usual, "--key-env", "NOT_THERE"], "NOT_THERE is not set"),
    ):
        done = explain(*arguments)
        assert done.returncode == 2, done.stderr
        assert problem in done.stderr
    away = explain(*files, *usual)
    assert away.returncode == 1
    assert "no answer" in away.stderr


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_the_key_follows_no_redirect(endpoint: Endpoint, files: list[str], status: int) -> None:
    other = Endpoint()
    thread = threading.Thread(target=other.serve_forever)
    thread.start()
    try:
        endpoint.status = status
        endpoint.headers = {"Location": f"http://u:geheim@127.0.0.1:{other.server_port}/x"}
        options = ["--url", endpoint.url, "--model", "vl", "--key-env", "KEY"]
        done = explain(*files, *options, KEY="s3cret")
    finally:
        other.shutdown()
        thread.join()
        other.server_close()
    assert done.returncode == 1
    assert other.asked == []
    assert len(endpoint.asked) == 1
    assert f"redirects to http://***@127.0.0.1:{other.server_port}/x" in done.stderr
    assert "geheim" not in done.stderr


def test_an_endless_answer_ends(endpoint: Endpoint, files: list[str]) -> None:
    def flood() -> Iterator[bytes]:
        while True:
            yield b"x" * 65536

    endpoint.pieces = flood
    done = explain(*files, "--url", endpoint.url, "--model", "vl")
    assert done.returncode == 1
    assert "expected an answer of at most 1048576 bytes, got more" in done.stderr


def test_a_slow_answer_ends_in_time(endpoint: Endpoint, files: list[str]) -> None:
    def drip() -> Iterator[bytes]:
        for _ in range(120):
            time.sleep(0.25)
            yield b" "

    endpoint.pieces = drip
    began = time.monotonic()
    done = explain(*files, "--url", endpoint.url, "--model", "vl", "--timeout-s", "1")
    assert done.returncode == 1
    assert "no answer: not within 1 s" in done.stderr
    assert time.monotonic() - began < 20, "thirty seconds of drops"


def test_what_the_model_says_cannot_steer_the_terminal_or_show_the_key(
    endpoint: Endpoint, files: list[str]
) -> None:
    said = "A scratch.\n\x1b]0;title\x07 \u202etpircs s3cret-key rtsp://u:geheim@host\r\x9b2J"
    endpoint.answer = json.dumps({"choices": [{"message": {"content": said}}]})
    options = ["--url", endpoint.url, "--model", "vl", "--key-env", "KEY"]
    done = explain(*files, *options, KEY="s3cret-key")
    assert done.returncode == 0
    assert done.stdout == (
        "A scratch.\n\\x1b]0;title\\x07 \\u202etpircs *** rtsp://***@host\\r\\x9b2J\n"
    )
    endpoint.status, endpoint.answer = 401, "no such key: s3cret-key\x1b[2J\nforged"
    done = explain(*files, *options, KEY="s3cret-key")
    assert done.stderr.endswith("refused with 401: no such key: ***\\x1b[2J\\nforged\n")


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("http://user:geheim@127.0.0.1:9/v1", "--url: no user or password here"),
        ("http://127.0.0.1:9/v1?key=geheim", "--url: expected an address without"),
        ("http://user:geheim/v1", "--url: expected http://"),
        ("http:/user:geheim@host", "--url: expected http://"),
        ("http://ho st/v1", "--url: expected http://"),
        ("http://[::1/v1", "--url: expected http://"),
        ("http://host\r\nX-Evil: 1/v1", "--url: expected http://"),
    ],
)
def test_an_address_that_cannot_be_used_is_one_line(
    files: list[str], url: str, problem: str
) -> None:
    done = explain(*files, "--url", url, "--model", "vl")
    assert done.returncode == 2
    assert problem in done.stderr
    assert done.stderr.count("\n") == 1
    assert "user:geheim@" not in done.stderr
    assert "key=geheim" not in done.stderr


def test_a_key_that_is_no_header_is_not_shown(files: list[str]) -> None:
    usual = ["--url", "http://127.0.0.1:9/v1", "--model", "vl", "--key-env", "KEY"]
    done = explain(*files, *usual, KEY="s3cret\nX-Evil: 1")
    assert done.returncode == 2
    assert "expected a key without spaces and line breaks in KEY" in done.stderr
    assert "s3cret" not in done.stderr


def test_a_result_that_lacks_a_field_is_one_line(files: list[str], tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.json"
    usual = ["--url", "http://127.0.0.1:9/v1", "--model", "vl"]
    for text in ('{"schema": "edge-infer.result/1"}', "[" * 100_000, "x" * (2**20 + 1)):
        wrong.write_text(text)
        done = explain(str(wrong), files[1], *usual)
        assert done.returncode == 2
        assert done.stderr.count("\n") == 1
