"""DAPO as one of the methods."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from edge.methods.dapo.fit import fit
from edge.methods.dapo.network import DapoDetector
from edge.methods.dapo.presets import text_tower
from edge.methods.dapo.settings import DapoSettings
from edge.methods.dapo.training_settings import DapoTraining
from edge.methods.multiads.method import MultiAdsMethod
from edge.methods.run_record import RunRecord
from edge.training.progress import Progress


class DapoMethod(MultiAdsMethod):
    """Learns prompts inside the text encoder."""

    name = "dapo"
    settings = DapoSettings
    training = DapoTraining

    def build(self, settings: Any) -> DapoDetector:
        """See Method."""
        return DapoDetector(settings)

    def fit(self, request: Any, folder: Path, progress: Progress) -> RunRecord:
        """See Method."""
        return fit(request, folder, progress)

    def text_rows(
        self, network: Any, record: RunRecord, words: Sequence[str], weights: str
    ) -> Tensor:
        """Text rows of the words, (n, D), from the learned prompts."""
        legacy = network.settings.prompts.legacy_text_path
        tower = text_tower(record.preset, weights, legacy=legacy)
        rows: Tensor = network.prompts.rows(tower, words)
        return rows[1:]


METHOD = DapoMethod()
