"""The documents of a bundle: read with their hash verified, and strictly."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import Field, ValidationError

from edge.bundle.contents import MAX_DOCUMENT_BYTES, Contents
from edge.bundle.manifest import BUNDLE_SCHEMA, Recipe
from edge.bundle.strict_json import not_finite, parse_json
from edge.bundle.values import MAX_SCORES, Score
from edge.config.reader import Settings, parse_settings
from edge.errors import BundleCorrupt, BundleIncompatible, ConfigError

Document = TypeVar("Document", bound=Settings)


class GoodScores(Settings):
    """Calibration scores of good parts, ascending.

    `parts` numbers the part of each score; () where every score counts on its own.
    """

    scores: tuple[Score, ...] = Field(min_length=1, max_length=MAX_SCORES)
    parts: tuple[Annotated[int, Field(ge=0, lt=MAX_SCORES)], ...] = Field(
        default=(), max_length=MAX_SCORES
    )


def read_document(contents: Contents, name: str, model: type[Document]) -> Document:
    """Read a JSON document.

    Raises:
        BundleCorrupt: it is not listed, absent, altered, or no such document.
    """
    data = contents.read(name, MAX_DOCUMENT_BYTES)
    return parse_document(contents.folder / name, data, model)


def parse_document(path: Path, data: bytes, model: type[Document]) -> Document:
    """Parse a JSON document; `path` stands in front of every problem.

    Raises:
        BundleCorrupt: it is no such document, names a key twice or holds NaN or infinity.
    """
    try:
        parse_json(data)
        return model.model_validate_json(data)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        what = first["msg"].removeprefix("Value error, ")
        raise BundleCorrupt(f"{path}: {where}: {what}; rebuild the bundle") from None
    except ValueError as error:
        raise BundleCorrupt(f"{path}: {error}; rebuild the bundle") from None


def read_recipe(contents: Contents, name: str) -> Recipe:
    """Read recipe.yaml.

    Raises:
        BundleCorrupt: as `read_document`.
    """
    data, path = contents.read(name, MAX_DOCUMENT_BYTES), contents.folder / name
    try:
        recipe = parse_settings(data.decode("utf-8"), str(path), Recipe)
    except ConfigError as error:
        raise BundleCorrupt("; ".join(error.problems)) from error
    except UnicodeDecodeError as error:
        raise BundleCorrupt(f"{path}: cannot be read as text: {error}") from None
    if (where := next(not_finite(recipe.model_dump()), None)) is not None:
        raise BundleCorrupt(f"{path}: {where}: expected a finite number; rebuild the bundle")
    return recipe


def read_scores(contents: Contents, name: str) -> GoodScores:
    """Read calibration scores, which ascend, and their parts.

    Raises:
        BundleCorrupt: as `read_document`, they do not ascend, or not every score has a part.
    """
    found = read_document(contents, name, GoodScores)
    if list(found.scores) != sorted(found.scores):
        raise BundleCorrupt(
            f"{contents.folder / name}: expected ascending calibration scores; rebuild the bundle"
        )
    if found.parts and len(found.parts) != len(found.scores):
        raise BundleCorrupt(
            f"{contents.folder / name}: expected the part of each of {len(found.scores)} scores, "
            f"found {len(found.parts)}; rebuild the bundle"
        )
    return found


def check_schema(folder: Path, text: bytes) -> None:
    """Check that bundle.json is of the schema that is read here.

    Raises:
        BundleCorrupt: it is no JSON object.
        BundleIncompatible: it follows another schema.
    """
    try:
        schema = parse_json(text).get("schema")
    except AttributeError:
        raise BundleCorrupt(f"bundle {folder}: bundle.json is not a JSON object") from None
    except ValueError as error:
        raise BundleCorrupt(f"bundle {folder}: bundle.json is not a JSON object: {error}") from None
    if schema != BUNDLE_SCHEMA:
        raise BundleIncompatible(
            f"bundle {folder}: expected schema {BUNDLE_SCHEMA}, found {schema}; rebuild the bundle "
            "with this version of edge-inspection, or install the version that made it"
        )
