"""MultiADS as one of the methods, and what its kin share."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from edge.config.reader import Settings
from edge.methods.multiads.fit import fit
from edge.methods.multiads.network import MultiAdsDetector
from edge.methods.multiads.presets import text_encoder
from edge.methods.multiads.settings import MultiAdsSettings
from edge.methods.multiads.training_settings import AdapterTraining
from edge.methods.run_record import RunRecord
from edge.networks.text.bank import TextBank
from edge.training.progress import Progress


class MultiAdsMethod:
    """Aligns patches with texts of defect types; base of the methods whose network does so."""

    name = "multiads"
    settings: type[Settings] = MultiAdsSettings
    training: type[Settings] = AdapterTraining
    type_evidence: Literal["pooled", "summed"] = "summed"

    def build(self, settings: Any) -> MultiAdsDetector:
        """See Method."""
        return MultiAdsDetector(settings)

    def fit(self, request: Any, folder: Path, progress: Progress) -> RunRecord:
        """See Method."""
        return fit(request, folder, progress)

    @torch.no_grad()
    def add_types(
        self, network: Any, record: RunRecord, words: Sequence[str], weights: str | None
    ) -> MultiAdsDetector:
        """See Method. One more row in the network's own bank would change its map."""
        before = network.settings
        rows = self.text_rows(network, record, words, weights or record.weights)
        settings = before.model_copy(
            update={"types": (*before.types, *words), "added": before.added + len(words)}
        )
        larger = self.build(settings).eval()
        state = network.state_dict()
        state["added"] = torch.cat([state["added"], rows]) if before.added else rows
        larger.load_state_dict(state)
        larger.requires_grad_(False)
        return larger

    def text_rows(
        self, network: Any, record: RunRecord, words: Sequence[str], weights: str
    ) -> Tensor:
        """Text rows of the words, (n, D), from the encoder that made the run's own."""
        bank = TextBank(text_encoder(record.preset, weights))
        rows = bank.rows(record.data.name, words)[1:]
        return rows if network.text_adapter is None else network.text_adapter(rows)


METHOD = MultiAdsMethod()
