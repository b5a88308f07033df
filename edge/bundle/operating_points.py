"""operating_points.json: what other false-reject rates would cost and find, and what parts buy.

Nothing on the line reads it: it is for whoever chooses the rate.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import Field

from edge.bundle.documents import read_document
from edge.bundle.store import Bundle
from edge.bundle.values import Score
from edge.config.reader import Settings
from edge.config.values import Name

OPERATING_POINTS: Final = "operating_points.json"
OPERATING_POINTS_SCHEMA: Final = "edge-infer.operating-points/1"

Share = Annotated[float, Field(ge=0, le=1)]


class OperatingPoint(Settings):
    """One false-reject rate.

    Attributes:
        alpha: the rate; `bound95`: see Threshold.
        threshold: None where the good parts cannot support the rate; so is all below.
        recall_synthetic: share of synthetic defects on good parts that would be found.
        recall_labelled: the same of labelled defects, each judged without its own part.
    """

    alpha: float = Field(gt=0, lt=1)
    threshold: Score | None = None
    bound95: Share | None = None
    recall_synthetic: Share | None = None
    recall_labelled: Share | None = None


class MoreParts(Settings):
    """The smallest rate that so many good parts support, and the bound of it."""

    parts: int = Field(ge=1)
    alpha: float = Field(gt=0, lt=1)
    bound95: Share


class OtherShift(Settings):
    """Good parts as another shift would take them, by the threshold of the bundle.

    Attributes:
        change: of light or place; see edge.data.augmentation.
        pictures: that were changed so; `rejected`: those of them over the threshold.
    """

    change: Name
    pictures: int = Field(ge=1)
    rejected: int = Field(ge=0)

    @property
    def share(self) -> float:
        """Rejected, of all; 0..1."""
        return self.rejected / self.pictures


class OperatingPoints(Settings):
    """Recall against false rejects, by models that had not learned from the parts that they judge.

    Attributes:
        synthetic, labelled: how many defects the recalls are of.
        suggested: the rate whose recall is worth its false rejects most; None where there are no
            defects to tell it by.
        more_parts: first the parts that there are.
        other_shifts: what other light and another place cost; empty where it was not tried.
    """

    schema_: Literal["edge-infer.operating-points/1"] = Field(alias="schema")
    points: tuple[OperatingPoint, ...] = Field(min_length=1, max_length=100)
    synthetic: int = Field(ge=0)
    labelled: int = Field(ge=0)
    suggested: float | None = Field(default=None, gt=0, lt=1)
    more_parts: tuple[MoreParts, ...] = Field(max_length=100)
    other_shifts: tuple[OtherShift, ...] = Field(default=(), max_length=100)


def read_operating_points(bundle: Bundle) -> OperatingPoints | None:
    """Read the operating points of a bundle; None in bundles from before them.

    Raises:
        BundleCorrupt: the file is altered, or no such document.
    """
    if OPERATING_POINTS not in bundle.manifest.files:
        return None
    return read_document(bundle.contents, OPERATING_POINTS, OperatingPoints)
