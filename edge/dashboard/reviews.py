"""What people say of verdicts, in a folder that edge-train reads (docs/reviews.md).

FOLDER/reviews/<product>/<result>/ holds one result: result.json, frame.png or frame.jpg where the
picture could be had, and one file `review-<name>.json` for each person; the last word of a person
counts. Files are written whole, and nothing of a review is ever changed by a program.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from edge.atomic_file import write_bytes
from edge.dashboard import shown
from edge.dashboard.accounts import NAME
from edge.messages.identity import now
from edge.messages.payload import Payload

FOLDER = "reviews"
SCHEMA = "edge-infer.review/1"
JUDGEMENTS = ("right", "false_reject", "missed", "wrong_type")
RESULT = "result.json"
_UNSAFE = re.compile(r"[^A-Za-z0-9_-]+")
LONGEST_NOTE = 500
MOST_POINTS = 200


@dataclass(frozen=True, slots=True)
class Review:
    """What one person says of one result.

    Attributes:
        by: who.
        judgement: one of JUDGEMENTS.
        type: the right defect type, for `missed` and `wrong_type`; empty where it is not known.
        polygon_xy: the defect, in pixels of the frame; empty where nothing was drawn.
        camera: the view that it was drawn on.
        note: a line for people.
        at: RFC 3339.
    """

    by: str
    judgement: str
    type: str = ""
    polygon_xy: tuple[tuple[float, float], ...] = ()
    camera: str = ""
    note: str = ""
    at: str = ""


class Reviews:
    """The folder of reviews; safe in any thread.

    Args:
        folder: of the dashboard.
    """

    def __init__(self, folder: Path):
        self.folder = folder / FOLDER
        self._lock = threading.Lock()

    def add(self, result: Payload, review: Review) -> Path:
        """Keep a review, in place of an earlier one by the same person; return its folder.

        Raises:
            ValueError: what it says makes no sense.
            OSError: it cannot be written.
        """
        check_review(review)
        place = self.place_of(result)
        record = {
            "schema": SCHEMA,
            "by": review.by,
            "at": review.at or now(),
            "judgement": review.judgement,
            "type": review.type,
            "polygon": [[round(x, 1), round(y, 1)] for x, y in review.polygon_xy],
            "camera": review.camera,
            "note": review.note,
        }
        with self._lock:
            place.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not (place / RESULT).exists():
                write_bytes(place / RESULT, json.dumps(result, indent=1).encode())
            write_bytes(place / f"review-{review.by}.json", json.dumps(record, indent=1).encode())
        return place

    def add_frame(self, result: Payload, camera: str, data: bytes, suffix: str) -> None:
        """Keep the picture of a reviewed result; a lossless one is never replaced."""
        place = self.place_of(result)
        with self._lock:
            if place.is_dir() and not (place / f"frame-{_safe(camera)}.png").exists():
                write_bytes(place / f"frame-{_safe(camera)}{suffix}", data)

    def of(self, result: Payload) -> list[Review]:
        """Return what people said of a result, by name."""
        return read_reviews(self.place_of(result))

    def all(self) -> Iterator[tuple[Payload, list[Review]]]:
        """Yield every reviewed result with its reviews; damaged ones are left out."""
        if not self.folder.is_dir():
            return
        for path in sorted(self.folder.glob(f"*/*/{RESULT}"), reverse=True):
            try:
                result = json.loads(path.read_text(encoding="utf-8"))
            except (OSError, ValueError):
                continue
            if isinstance(result, dict):
                yield result, read_reviews(path.parent)

    def place_of(self, result: Payload) -> Path:
        """Return the folder of a result."""
        of = shown.shown(result, shown.RESULT)
        names = (of["node"], of["station"], of["outbox_id"][:8], f"{of['seq'] or 0:08d}")
        return self.folder / _safe(of["product_id"]) / "-".join(map(_safe, names))


def read_reviews(place: Path) -> list[Review]:
    """Return the reviews in the folder of a result, by name; damaged ones are left out."""
    found = []
    for path in sorted(place.glob("review-*.json")):
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            review = Review(
                by=record["by"],
                judgement=record["judgement"],
                type=record["type"],
                polygon_xy=tuple((float(x), float(y)) for x, y in record["polygon"]),
                camera=record["camera"],
                note=record["note"],
                at=record["at"],
            )
            check_review(review)
        except (OSError, ValueError, LookupError, TypeError):
            continue
        found.append(review)
    return found


def agreed(reviews: Sequence[Review]) -> bool:
    """Tell whether all say the same: judgement and, where they name one, type."""
    said = {review.judgement for review in reviews}
    types = {review.type for review in reviews if review.type}
    return len(said) <= 1 and len(types) <= 1


def check_review(review: Review) -> None:
    """Refuse what makes no sense.

    Raises:
        ValueError: in one line.
    """
    if review.judgement not in JUDGEMENTS:
        raise ValueError(f"expected one of {', '.join(JUDGEMENTS)}, got {review.judgement}")
    if len(review.note) > LONGEST_NOTE or len(review.type) > LONGEST_NOTE:
        raise ValueError(f"expected at most {LONGEST_NOTE} characters")
    if not NAME.fullmatch(review.by):
        raise ValueError("expected the name of an account")
    if len(review.polygon_xy) not in (0, *range(3, MOST_POINTS + 1)):
        raise ValueError(f"expected a drawing of 3 to {MOST_POINTS} points")
    if any(not 0 <= value < 1e6 for point in review.polygon_xy for value in point):
        raise ValueError("expected a drawing within the picture")


def _safe(text: str) -> str:
    """Return text as a file name."""
    return _UNSAFE.sub("_", text)[:80] or "_"
