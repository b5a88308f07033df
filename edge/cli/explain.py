"""edge-explain: ask a vision-language model about one finished result, off the line.

Any endpoint with OpenAI's chat completions serves, such as one on a server in the plant. It never
sees a part before the verdict is out, and nothing it says goes back.
"""

from __future__ import annotations

import base64
import json
import mimetypes
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from edge.cli.chat_completion import ask, find_endpoint
from edge.cli.console import make_app, run
from edge.errors import ConfigError
from edge.printable_text import escaped_lines
from edge.redaction import redacted

EPILOG = """Examples:\n
  edge-explain result.json part.png --url http://server:8000/v1 --model qwen2.5-vl-7b\n
  edge-explain - part.png --url https://host/v1 --model NAME --key-env API_KEY < result.json
"""
TASK = (
    "You help the operator of an inspection line. The inspection has already decided, and you do "
    "not judge the part again. Say in at most five short sentences what can be seen in the picture "
    "at the places named, what may have caused it, and what to check first. Say so where the "
    "picture does not show what a finding claims. Answer in the language of the findings."
)
MAX_PICTURE_BYTES = 20 * 2**20
MAX_RESULT_BYTES = 2**20
app = make_app()


@app.command(epilog=EPILOG)
def explain(
    result: Annotated[
        Path, typer.Argument(help="file with one result as published (JSON), - for standard input")
    ],
    picture: Annotated[Path, typer.Argument(help="picture of the part, such as an archived one")],
    url: Annotated[str, typer.Option(help="endpoint up to its version, such as http://host/v1")],
    model: Annotated[str, typer.Option(help="the endpoint's name of a model that sees pictures")],
    key_env: Annotated[
        str | None, typer.Option(help="environment variable that holds the endpoint's key")
    ] = None,
    timeout_s: Annotated[float, typer.Option(min=1, help="seconds to wait for the answer")] = 60.0,
) -> None:
    """Print what a vision-language model says of one result and its picture."""
    endpoint = find_endpoint(url)
    key = None if key_env is None else _key(key_env)
    body = request_body(model, _read_result(result), picture)
    answer = ask(endpoint, body, key, timeout_s)
    print(escaped_lines(redacted(answer)), flush=True)


def request_body(model: str, result: dict[str, Any], picture: Path) -> dict[str, Any]:
    """Put a result and its picture into one chat completion.

    Raises:
        ConfigError: the picture cannot be read or is of no known kind, or the result lacks a field.
    """
    kind = mimetypes.guess_type(picture.name)[0] or ""
    if not kind.startswith("image/"):
        raise ConfigError(f"{picture}: expected a picture such as .png, .jpg or .webp")
    data = base64.b64encode(_read(picture, MAX_PICTURE_BYTES)).decode()
    try:
        text = described(result)
    except (LookupError, TypeError, AttributeError) as error:
        raise ConfigError(f"the result lacks a field or has a wrong one: {error}") from error
    content = [
        {"type": "text", "text": text},
        {"type": "image_url", "image_url": {"url": f"data:{kind};base64,{data}"}},
    ]
    return {
        "model": model,
        "temperature": 0,
        "max_tokens": 300,
        "messages": [
            {"role": "system", "content": TASK},
            {"role": "user", "content": content},
        ],
    }


def described(result: dict[str, Any]) -> str:
    """Say a result in lines: verdict, reason, and every region's finding with its box."""
    lines = [f"verdict: {result['result']} ({result['reason']})"]
    if result.get("product_id"):
        lines.append(f"product: {result['product_id']}")
    for defect in result.get("defects", ()):
        for region in defect["regions"]:
            said = region.get("finding", defect["type"])
            lines.append(f"finding: {said}; box x, y, width, height: {region['bbox']}")
    return "\n".join(lines)


def _read_result(path: Path) -> dict[str, Any]:
    try:
        if str(path) == "-":
            data = sys.stdin.buffer.read(MAX_RESULT_BYTES + 1)
            if len(data) > MAX_RESULT_BYTES:
                raise ConfigError(f"-: expected one result, got more than {MAX_RESULT_BYTES} bytes")
        else:
            data = _read(path, MAX_RESULT_BYTES)
        result = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: expected one result as JSON: {error}") from error
    if not isinstance(result, dict) or not str(result.get("schema")).startswith(
        "edge-infer.result/"
    ):
        raise ConfigError(f"{path}: expected one result of schema edge-infer.result/1")
    return result


def _read(path: Path, limit: int) -> bytes:
    try:
        if path.exists() and not path.is_file():
            raise ConfigError(f"{path}: expected a regular file")
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    if len(data) > limit:
        raise ConfigError(f"{path}: expected at most {limit} bytes; give a smaller file")
    return data


def _key(variable: str) -> str:
    key = os.environ.get(variable)
    if not key:
        raise ConfigError(f"--key-env: the variable {variable} is not set; export it")
    if not (key.isascii() and key.isprintable()):
        raise ConfigError(f"--key-env: expected a key without spaces and line breaks in {variable}")
    return key


def main() -> None:
    """Entry point."""
    run(app)
