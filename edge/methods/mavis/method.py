"""MAVIS as one of the methods: its networks are MultiADS', only the training is its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edge.methods.mavis.fit import fit
from edge.methods.mavis.training_settings import NegationTraining
from edge.methods.multiads.method import MultiAdsMethod
from edge.methods.run_record import RunRecord
from edge.training.progress import Progress


class MavisMethod(MultiAdsMethod):
    """MultiADS with the N-pair loss."""

    name = "mavis"
    training = NegationTraining

    def fit(self, request: Any, folder: Path, progress: Progress) -> RunRecord:
        """See Method."""
        return fit(request, folder, progress)


METHOD = MavisMethod()
