"""calibration/recalibration.json: how a bundle got its threshold after it was built.

Nothing on the line reads it: it is evidence.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import Field

from edge.bundle.documents import read_document
from edge.bundle.store import Bundle
from edge.bundle.values import MAX_SCORES, Score, Sha256, Words
from edge.config.reader import Settings

RECALIBRATION: Final = "calibration/recalibration.json"
RECALIBRATION_SCHEMA: Final = "edge-infer.recalibration/1"
Share = Annotated[float, Field(ge=0, le=1)]


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
        before: id of the bundle it was made from, and its threshold.
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
