"""One inspected picture of a labelled data set."""

from __future__ import annotations

from dataclasses import dataclass

from edge.data.image_set import Sample
from edge.evaluation.region_metrics import Overlap
from edge.evaluation.type_metrics import called
from edge.result import Inspection, Verdict


@dataclass(frozen=True, slots=True)
class EvaluatedPart:
    """One test picture: what it is, what the line says of it, and, with a mask, what it hit."""

    sample: Sample
    inspection: Inspection
    overlap: Overlap | None

    @property
    def score(self) -> float:
        """Score of the frame; NaN for one that is not judged."""
        return float("nan") if self.inspection.score is None else self.inspection.score

    @property
    def is_judged(self) -> bool:
        """The frame has a score: the line takes it, and finds the part in it."""
        return self.inspection.score is not None

    @property
    def is_rejected(self) -> bool:
        """The part does not pass."""
        return self.inspection.verdict is not Verdict.PASS

    @property
    def name(self) -> str:
        """Label and file of the picture."""
        return f"{self.sample.label}/{self.sample.path.name}"

    @property
    def called(self) -> str:
        """The type it was given, `unknown` or `missed`."""
        return called(self.inspection)
