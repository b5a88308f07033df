"""What the rest of the package needs of a method, whichever it is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from torch import nn

if TYPE_CHECKING:
    from edge.config.reader import Settings
    from edge.methods.run_record import RunRecord
    from edge.training.progress import Progress


class Network(nn.Module):
    """What a method trains: (B, H, W, 3) uint8 RGB frames in; map, score and maybe types out.

    Attributes:
        settings: of the model, as in run.yaml; they and the weights make up the network.
    """

    settings: Any


class Method(Protocol):
    """One method. `edge.methods.registry` finds it by its name.

    Attributes:
        name: as `edge-train --method` and, for the methods that build networks, `model.method` in
            run.yaml have it.
        settings: of its network.
        training: of its training.
        type_evidence: how a region's type follows from type logits, see Recipe.type_evidence.
    """

    name: str
    settings: type[Settings]
    training: type[Settings]
    type_evidence: Literal["pooled", "summed"]

    def build(self, settings: Any) -> Network:
        """Build the network of `settings`, with weights still to be loaded."""
        ...

    def fit(self, request: Any, folder: Path, progress: Progress) -> RunRecord:
        """Train a run into `folder`; called again on an unfinished run, go on where it stopped.

        Raises:
            ConfigError: an option does not fit the method.
            DataError: a data folder cannot be used.
            TrainingError: the folder holds another or a finished run, or training fails.
        """
        ...

    def add_types(
        self, network: Any, record: RunRecord, words: Sequence[str], weights: str | None
    ) -> Network:
        """The network of a finished run with a text row more for each word; nothing else changes.

        Args:
            network: of the run; is not changed.
            record: of the run; names types.
            words: of the added types, checked beforehand.
            weights: where CLIP lies now, if not where the run found it.

        Raises:
            TrainingError: the method takes no new types, or the text encoder cannot be read.
        """
        ...
