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
import urllib.error
import urllib.request
from pathlib import Path
from typing import Annotated, Any

import typer

from edge.cli.console import make_app, run
from edge.errors import ConfigError, EdgeError

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
    if not url.startswith(("http://", "https://")):
        raise ConfigError(f"--url: expected http:// or https://, got {url}")
    key = None
    if key_env is not None:
        key = os.environ.get(key_env)
        if not key:
            raise ConfigError(f"--key-env: the variable {key_env} is not set; export it")
    body = request_body(model, _read_result(result), picture)
    print(ask(url, body, key, timeout_s))


def request_body(model: str, result: dict[str, Any], picture: Path) -> dict[str, Any]:
    """Put a result and its picture into one chat completion.

    Raises:
        ConfigError: the picture cannot be read or is of no known kind.
    """
    kind = mimetypes.guess_type(picture.name)[0] or ""
    if not kind.startswith("image/"):
        raise ConfigError(f"{picture}: expected a picture such as .png, .jpg or .webp")
    try:
        data = base64.b64encode(picture.read_bytes()).decode()
    except OSError as error:
        raise ConfigError(f"{picture}: cannot be read: {error.strerror}") from error
    content = [
        {"type": "text", "text": described(result)},
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


def ask(url: str, body: dict[str, Any], key: str | None, timeout_s: float) -> str:
    """Send a chat completion and return what the model says.

    Raises:
        EdgeError: the endpoint is away, refuses, or answers something else.
    """
    headers = {"Content-Type": "application/json"}
    if key is not None:
        headers["Authorization"] = f"Bearer {key}"
    address = f"{url.rstrip('/')}/chat/completions"
    request = urllib.request.Request(address, json.dumps(body).encode(), headers)  # noqa: S310 - checked
    try:
        with urllib.request.urlopen(request, timeout=timeout_s) as response:  # noqa: S310 - checked
            answer = json.load(response)
        return str(answer["choices"][0]["message"]["content"]).strip()
    except urllib.error.HTTPError as error:
        said = error.read(300).decode("utf-8", "replace").strip()
        raise EdgeError(f"{address}: refused with {error.code}: {said}") from error
    except (OSError, TimeoutError) as error:
        reason = getattr(error, "reason", error)
        raise EdgeError(f"{address}: no answer: {reason}; check --url and the server") from error
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise EdgeError(f"{address}: expected a chat completion, got something else") from error


def _read_result(path: Path) -> dict[str, Any]:
    try:
        text = sys.stdin.read() if str(path) == "-" else path.read_text(encoding="utf-8")
        result = json.loads(text)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: expected one result as JSON: {error}") from error
    if not isinstance(result, dict) or not str(result.get("schema")).startswith(
        "edge-infer.result/"
    ):
        raise ConfigError(f"{path}: expected one result of schema edge-infer.result/1")
    return result


def main() -> None:
    """Entry point."""
    run(app)
