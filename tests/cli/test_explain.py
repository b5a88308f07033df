"""edge-explain against an endpoint that really listens."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.support.mqtt_results import make_example

COMMAND = [sys.executable, "-c", "from edge.cli.explain import main; main()"]
ANSWER = {"choices": [{"message": {"content": " A scratch; check the gripper. \n"}}]}


class Endpoint(HTTPServer):
    """Answers chat completions as told and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, str], dict]] = []
        self.status, self.answer = 200, json.dumps(ANSWER)
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
        self.end_headers()
        self.wfile.write(self.server.answer.encode())

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
