"""PromptMAD as one of the methods."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from edge.errors import TrainingError
from edge.methods.promptmad.fit import fit
from edge.methods.promptmad.network import PromptMadDetector
from edge.methods.promptmad.request import Request
from edge.methods.promptmad.settings import PromptMadSettings
from edge.methods.promptmad.training_settings import PromptTraining
from edge.methods.run_record import RunRecord
from edge.training.progress import Progress


class PromptMadMethod:
    """Learns good parts from pictures, one of them a prompt, and words; names no types."""

    name = "promptmad"
    settings = PromptMadSettings
    training = PromptTraining
    type_evidence: Literal["pooled", "summed"] = "pooled"

    def build(self, settings: PromptMadSettings) -> PromptMadDetector:
        """See Method."""
        return PromptMadDetector(settings)

    def fit(self, request: Request, folder: Path, progress: Progress) -> RunRecord:
        """See Method."""
        return fit(request, folder, progress)

    def add_types(
        self,
        network: PromptMadDetector,  # noqa: ARG002 - takes none
        record: RunRecord,
        words: Sequence[str],  # noqa: ARG002 - takes none
        weights: str | None,  # noqa: ARG002 - takes none
    ) -> PromptMadDetector:
        """Refuse; see Method."""
        raise TrainingError(f"run of {record.data.name}: {self.name} takes no new types")


METHOD = PromptMadMethod()
