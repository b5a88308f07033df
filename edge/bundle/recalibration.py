"""How a bundle got its thresholds after it was built: of all parts or views, and of types.

Nothing on the line reads these files: they are evidence.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import Field

from edge.bundle.documents import read_document
from edge.bundle.store import Bundle
from edge.bundle.values import MAX_SCORES, Score, Sha256, Words
from edge.config.reader import Settings
from edge.config.views import MAX_CAMERAS

RECALIBRATION: Final = "calibration/recalibration.json"
RECALIBRATION_SCHEMA: Final = "edge-infer.recalibration/1"
TYPE_THRESHOLDS: Final = "calibration/type_thresholds.json"
TYPE_THRESHOLDS_SCHEMA: Final = "edge-infer.type_thresholds/1"
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]


class TestedGroups(Settings):
    """A factor whose groups were found exchangeable: parts of each, and p-value of the test."""

    factor: Words
    counts: dict[Words, int] = Field(max_length=MAX_SCORES)
    p_value: Share


class Misses(Settings):
    """Labelled defects that pass, with a 95 % interval (Clopper-Pearson).

    `in_band` of those that pass would be `undecided` by the suggested band.
    """

    defects: int = Field(ge=1)
    missed: int = Field(ge=0)
    low: Share
    high: Share
    in_band: int = Field(ge=0)


class Recalibration(Settings):
    """Who set the threshold, when, on what, and how sure it is.

    Attributes:
        source: folder, archive or camera.
        data_sha256: over the pixels of all pictures that were judged, in their order.
        product: whose threshold it is; None for all parts.
        not_judged: pictures that the line would not score; they set nothing.
        views: that have thresholds of their own; () where it is that of all parts.
        incomplete: good parts that were not seen in every view; they set nothing.
        before: id of the bundle it was made from, and its threshold of all parts.
        level: of the tests; `tested`: one for each factor that is known.
        suggested_undecided_p: for `decision.undecided_p` of a station file.
    """

    schema_: Literal["edge-infer.recalibration/1"] = Field(alias="schema")
    by: Words
    when: str
    source: Literal["folder", "archive", "camera"]
    data_sha256: Sha256
    product: str | None = None
    rate: float = Field(gt=0, lt=1)
    pictures: int = Field(ge=1)
    parts: int = Field(ge=1)
    not_judged: int = Field(ge=0)
    views: tuple[Words, ...] = Field(default=(), max_length=MAX_CAMERAS)
    incomplete: Count = 0
    before: Sha256
    threshold_before: Score
    level: float = Field(gt=0, lt=1)
    tested: tuple[TestedGroups, ...] = ()
    misses: Misses | None = None
    suggested_undecided_p: float = Field(gt=0, lt=1)


def read_recalibration(bundle: Bundle) -> Recalibration | None:
    """Read the record; None in a bundle with the threshold that it was built with.

    Raises:
        BundleCorrupt: the file is altered, or no such document.
    """
    if RECALIBRATION not in bundle.manifest.files:
        return None
    return read_document(bundle.contents, RECALIBRATION, Recalibration)


class Rejects(Settings):
    """Pictures of one kind, and how many reject before and after a type got its threshold."""

    pictures: Count
    before: Count
    after: Count


class PassedOthers(Settings):
    """Labelled defects of other names that pass only by the threshold of the type.

    With a 95 % interval (Clopper-Pearson) of their share.
    """

    defects: int = Field(ge=1)
    passed: Count
    low: Share
    high: Share


class TypeRecord(Settings):
    """Who set the threshold of a type, when, on what, and what it does.

    Attributes:
        share: of the type's parts that may reject.
        own: labelled pictures of the type; `unnamed` of them show regions of another name, or none,
            and are rejected whatever its threshold.
        good: good parts; a type can only lower their rejects.
        others: None without labelled defects of other names.
    """

    by: Words
    when: str
    source: Literal["folder", "archive", "camera"]
    data_sha256: Sha256
    share: float = Field(gt=0, lt=1)
    before: Sha256
    own: Rejects
    unnamed: Count
    good: Rejects
    others: PassedOthers | None = None


class TypeRecords(Settings):
    """calibration/type_thresholds.json, by type."""

    schema_: Literal["edge-infer.type_thresholds/1"] = Field(alias="schema")
    types: dict[Words, TypeRecord] = Field(max_length=1000)


def read_type_records(bundle: Bundle) -> dict[str, TypeRecord]:
    """Read the records of all types with thresholds of their own.

    Raises:
        BundleCorrupt: the file is altered, or no such document.
    """
    if TYPE_THRESHOLDS not in bundle.manifest.files:
        return {}
    return dict(read_document(bundle.contents, TYPE_THRESHOLDS, TypeRecords).types)
