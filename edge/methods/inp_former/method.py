"""INP-Former as one of the methods."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from edge.methods.inp_former.detector import Detector
from edge.methods.inp_former.fit import fit
from edge.methods.inp_former.instant import fit_instant
from edge.methods.inp_former.request import Request
from edge.methods.inp_former.settings import ModelSettings
from edge.methods.inp_former.training_settings import TrainingSettings
from edge.methods.run_record import RunRecord
from edge.methods.types.added import with_added_rows
from edge.training.progress import Progress


class InpFormerMethod:
    """Learns good parts; names types after `edge-train --method types`."""

    name = "inp-former"
    settings = ModelSettings
    training = TrainingSettings
    type_evidence: Literal["pooled", "summed"] = "pooled"

    def build(self, settings: ModelSettings) -> Detector:
        """See Method."""
        return Detector(settings)

    def fit(self, request: Request, folder: Path, progress: Progress) -> RunRecord:
        """See Method."""
        if request.instant:
            return fit_instant(request, folder, progress)
        return fit(request, folder, progress)

    def add_types(
        self,
        network: Detector,
        record: RunRecord,
        words: Sequence[str],
        weights: str | None,  # noqa: ARG002 - its text encoder is in the package
    ) -> Detector:
        """See Method."""
        return with_added_rows(network, record.data.name, words)


METHOD = InpFormerMethod()
