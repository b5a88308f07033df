"""Results as lines for people. Everything in a result is from the net and escaped."""

from __future__ import annotations

from typing import Any

from rich.text import Text

from edge.printable_text import escaped
from edge.redaction import redacted

STYLES = {"pass": "green", "fail": "bold red", "undecided": "yellow", "error": "magenta"}


def result_line(payload: dict[str, Any]) -> Text:
    """Write a result as one line for people; the payload is untrusted."""
    verdict = clean(payload["result"])
    defects = payload.get("defects")
    types = ",".join(type_names(defects)) or "-"
    text = Text(f"{clean(payload['times'].get('end', ''))} {clean(payload.get('station', ''))} ")
    text.append(f"{verdict.upper():9}", style=STYLES.get(verdict, ""))
    text.append(
        f" seq={clean(payload['seq'])} score={score_text(payload)} types={clean(types)} "
        f"total_ms={clean(payload['times']['total_ms'])} reason={clean(payload.get('reason', ''))}"
    )
    if payload.get("is_replayed") is True:
        text.append(" replayed")
    return text


def clean(value: object) -> str:
    """Make text from the net safe for a terminal: nothing invisible, no password, not endless."""
    return escaped(redacted(str(value)[:1000]))[:80]


def score_text(payload: dict[str, Any]) -> str:
    """Write score and threshold."""
    return f"{clean(payload.get('score', '-'))}/{clean(payload.get('threshold', '-'))}"


def type_names(defects: object) -> list[str]:
    """List the types of a result's defects."""
    if not isinstance(defects, list):
        return []
    return [str(defect.get("type")) for defect in defects if isinstance(defect, dict)]
