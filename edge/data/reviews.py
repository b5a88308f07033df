"""What people said of verdicts on the dashboard, as labelled pictures that a run can learn from.

REVIEWS/<product>/<result>/ holds result.json, a file review-<name>.json for each person, and maybe
the picture. The frame itself is in the raw archive, found by the key of the result; else the
review's own raw picture stands for it. A thumbnail is too small to learn from.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edge.archive.layout import PICTURE, RECORD, list_days, list_frames, with_suffix
from edge.archive.record import MAX_BYTES, read_frame
from edge.data.masks import picture_size
from edge.data.picture_labels import UNNAMED
from edge.errors import DataError
from edge.frame import GOOD
from edge.picture_file import encode_picture, read_bytes

RESULT = "result.json"
JUDGEMENTS = ("right", "false_reject", "missed", "wrong_type")
# As the dashboard names a camera in a file.
_UNSAFE = re.compile(r"[^A-Za-z0-9_-]+")
Key = tuple[str, str, str, int]


@dataclass(frozen=True, slots=True)
class Reviewed:
    """One judged picture that people have looked at.

    Attributes:
        name: of the result's folder, for people.
        picture: the frame, or what is left of it.
        label: `good` or a defect type; UNNAMED where nobody named it.
        part: identity of the part, or the name.
        verdict: what the station said.
        was_right: what people said of the verdict; a wrong type counts as right.
        recipe: id and version that judged.
        polygon_xy: the defect, (n, 2) pixels of the frame; empty where nothing was drawn.
        frame_wh: size of the frame, which the picture may be a smaller copy of; None unknown.
    """

    name: str
    picture: Path
    label: str
    part: str
    verdict: str
    was_right: bool
    recipe: str
    polygon_xy: tuple[tuple[float, float], ...] = ()
    frame_wh: tuple[int, int] | None = None

    def write_mask(self, path: Path) -> Path | None:
        """Write the drawing as a mask of the picture's size; None where nothing was drawn."""
        if not self.polygon_xy or self.label == GOOD:
            return None
        width, height = picture_size(self.picture)
        mask = np.zeros((height, width), np.uint8)
        frame_wh = self.frame_wh or (width, height)
        points = np.asarray(self.polygon_xy) * (width / frame_wh[0], height / frame_wh[1])
        points = np.rint(points).astype(np.int32)
        cv2.fillPoly(mask, [points], 255)
        if not mask.any():
            return None
        path.write_bytes(encode_picture(mask))
        return path


@dataclass(frozen=True, slots=True)
class ReviewSet:
    """Reviewed pictures, and for each reason the results that are left out."""

    pictures: tuple[Reviewed, ...]
    left_out: Mapping[str, Sequence[str]] = field(default_factory=dict)


def read_reviews(folder: Path, products: Sequence[str], archive: Path | None = None) -> ReviewSet:
    """Read the reviews of some products.

    People who contradict each other count by majority; without one the result is left out.

    Args:
        folder: `reviews` of the dashboard, or the folder that holds it.
        products: names that the run was trained for.
        archive: raw archive of the station; None looks for pictures beside the reviews alone.

    Raises:
        DataError: the folder is missing, or holds no review of these products.
    """
    root = folder / "reviews" if (folder / "reviews").is_dir() else folder
    if not root.is_dir():
        raise DataError(f"--reviews {folder}: no such folder")
    if archive is not None and not archive.is_dir():
        raise DataError(f"--archive {archive}: no such folder")
    wanted = {_safe(name) for name in products}
    left_out: dict[str, list[str]] = {}
    found: list[tuple[Path, dict[str, Any], list[dict[str, Any]]]] = []
    for path in sorted(root.glob(f"*/*/{RESULT}")):
        name = f"{path.parent.parent.name}/{path.parent.name}"
        if path.parent.parent.name not in wanted:
            left_out.setdefault("of another product", []).append(name)
            continue
        result, reviews = _object(path), list(_reviews(path.parent))
        if result is None or not reviews or _key(result) is None:
            left_out.setdefault("damaged", []).append(name)
            continue
        found.append((path.parent, result, reviews))
    if not found and "damaged" not in left_out:
        others = sorted({path.parent.parent.name for path in root.glob(f"*/*/{RESULT}")})
        raise DataError(
            f"--reviews {folder}: expected reviews of {', '.join(products)}, found those of "
            f"{', '.join(others) or 'no product'}; give the folder of this product's station"
        )
    frames = _archived(archive, [result for _, result, _ in found]) if archive else {}
    pictures = []
    for place, result, reviews in found:
        one = _reviewed(place, result, reviews, frames)
        if isinstance(one, str):
            left_out.setdefault(one, []).append(place.name)
        else:
            pictures.append(one)
    return ReviewSet(tuple(pictures), left_out)


def _reviewed(
    place: Path,
    result: Mapping[str, Any],
    reviews: Sequence[Mapping[str, Any]],
    frames: Mapping[tuple[Key, str], Path],
) -> Reviewed | str:
    """The picture that the reviews of a result speak of, or why there is none."""
    votes = Counter(str(review["judgement"]) for review in reviews)
    judgement, most = votes.most_common(1)[0]
    if list(votes.values()).count(most) > 1:
        return "reviewers disagree"
    said = [review for review in reviews if review["judgement"] == judgement]
    types = Counter(review["type"] for review in said if review["type"])
    kind = types.most_common(1)[0][0] if types else ""
    if list(types.values()).count(types[kind]) > 1 and len(types) > 1:
        return "reviewers disagree"
    drawn = next((review for review in said if len(review["polygon"]) > 2), said[0])
    camera = drawn["camera"] or _first_camera(result)
    label = _label(judgement, kind, result)
    if label is None:
        return "verdict without a judgement of the part"
    key = _key(result)
    assert key is not None  # noqa: S101 - looked at by the caller
    picture = frames.get((key, camera)) or _own_picture(place, camera)
    if picture is None:
        return "without a picture"
    part, recipe = result.get("part"), result.get("recipe")
    return Reviewed(
        name=place.name,
        picture=picture,
        label=label,
        part=str(part["id"]) if isinstance(part, dict) and part.get("id") else place.name,
        verdict=str(result.get("result")),
        was_right=judgement in ("right", "wrong_type"),
        recipe=f"{recipe.get('id')} {recipe.get('version')}" if isinstance(recipe, dict) else "",
        polygon_xy=tuple((float(x), float(y)) for x, y in drawn["polygon"]),
        frame_wh=_frame_size(result, camera),
    )


def _label(judgement: str, kind: str, result: Mapping[str, Any]) -> str | None:
    """What the part is, by what people said of its verdict; None where that does not follow."""
    if judgement == "false_reject":
        return GOOD
    if judgement in ("missed", "wrong_type"):
        return _type_name(kind)
    verdict = result.get("result")
    if verdict == "pass":
        return GOOD
    if verdict != "fail":
        return None
    defects = result.get("defects")
    first = defects[0] if isinstance(defects, list) and defects else {}
    named = str(first.get("type", "")) if isinstance(first, dict) else ""
    return _type_name("" if named == "unknown" else named)


def _type_name(kind: str) -> str:
    name = kind.replace("/", "_").replace("\\", "_").strip()
    return UNNAMED if not name or name.casefold() == GOOD else name


def _own_picture(place: Path, camera: str) -> Path | None:
    names = (f"frame-{_safe(camera)}.png", f"frame-{_safe(camera)}-raw.jpg")
    return next((place / name for name in names if (place / name).is_file()), None)


def _archived(archive: Path, results: Sequence[Mapping[str, Any]]) -> dict[tuple[Key, str], Path]:
    """Pictures of the archive by result and camera, as far as their hashes are right."""
    keys = {key for result in results if (key := _key(result)) is not None}
    days = {day for result in results if (day := _day(result))}
    found: dict[tuple[Key, str], Path] = {}
    for folder in list_days(archive):
        if days and folder.name not in days:
            continue
        for frame in list_frames(folder):
            record = _object(with_suffix(frame, RECORD))
            result = record and record.get("result")
            camera = record and record.get("camera")
            if not isinstance(result, dict) or not isinstance(camera, dict):
                continue
            key = _key(result)
            if key in keys and key is not None:
                try:
                    read_frame(frame).picture_bytes()
                except ValueError:
                    continue  # damaged: the review's own picture may stand for it
                found[key, str(camera.get("name"))] = with_suffix(frame, PICTURE)
    return found


def _reviews(place: Path) -> Iterator[dict[str, Any]]:
    """Yield the reviews of a result that are sound."""
    for path in sorted(place.glob("review-*.json")):
        review = _object(path)
        if review is None or review.get("judgement") not in JUDGEMENTS:
            continue
        polygon = review.get("polygon")
        if not isinstance(polygon, list) or not all(_is_point(point) for point in polygon):
            continue
        texts = {name: review.get(name) for name in ("type", "camera")}
        if all(isinstance(text, str) for text in texts.values()):
            yield {"judgement": review["judgement"], "polygon": polygon, **texts}


def _is_point(point: object) -> bool:
    return (
        isinstance(point, list)
        and len(point) == 2
        and all(type(each) in (int, float) and 0 <= each < 1e6 for each in point)
    )


def _object(path: Path) -> dict[str, Any] | None:
    """A JSON object; None where the file is missing or something else."""
    try:
        value = json.loads(read_bytes(path, MAX_BYTES))
    except (OSError, ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _key(result: Mapping[str, Any]) -> Key | None:
    """What tells a result from every other one."""
    node, station, outbox, seq = (
        result.get(name) for name in ("node", "station", "outbox_id", "seq")
    )
    if type(seq) is not int or not isinstance(node, str) or not isinstance(station, str):
        return None
    return node, station, str(outbox or ""), seq


def _first_camera(result: Mapping[str, Any]) -> str:
    views = result.get("views")
    first = views[0] if isinstance(views, list) and views else {}
    return str(first.get("name", "")) if isinstance(first, dict) else ""


def _frame_size(result: Mapping[str, Any], camera: str) -> tuple[int, int] | None:
    views = result.get("views")
    for view in views if isinstance(views, list) else ():
        if isinstance(view, dict) and view.get("name") == camera:
            width, height = view.get("width"), view.get("height")
            if type(width) is int and type(height) is int and width > 0 and height > 0:
                return width, height
    return None


def _day(result: Mapping[str, Any]) -> str:
    times = result.get("times")
    return str(times.get("capture") or "")[:10] if isinstance(times, dict) else ""


def _safe(text: str) -> str:
    return _UNSAFE.sub("_", text)[:80] or "_"
