"""What a caller of INP-Former's training asks for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edge.geometry.geometry import Geometry
from edge.methods.inp_former.training_settings import TrainingSettings
from edge.methods.presets import Preset


@dataclass(frozen=True, slots=True)
class Request:
    """What the caller asks for; None means the preset's choice.

    `size_wh` None chooses by trial on synthetic defects when the preset has several sizes. Several
    folders in `data` make one model for several products; `head` gives the hidden channels of
    INP-Former++'s residual head, None leaves it out; `refine` tries PromptMAD's mask in its place;
    `branches` False uses INP-Former alone; `geometry` None learns whole frames; `instant` makes a
    run of few good parts without training.
    """

    data: Path | Sequence[Path]
    preset: Preset
    weights: str | None = None
    size_wh: tuple[int, int] | None = None
    tiles_wh: tuple[int, int] = (1, 1)
    overlap: float = 0.0
    training: TrainingSettings | None = None
    head: tuple[int, int] | None = None
    branches: bool = True
    refine: bool = False
    geometry: Geometry | None = None
    instant: bool = False

    @property
    def backbone_weights(self) -> str:
        """Source of the backbone's weights."""
        return self.weights or self.preset.weights

    @property
    def folders(self) -> tuple[Path, ...]:
        """Data folders, one per product."""
        return (self.data,) if isinstance(self.data, Path) else tuple(self.data)
