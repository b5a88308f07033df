"""What a caller of PromptMAD's training asks for."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from edge.geometry.geometry import Geometry
from edge.methods.presets import Preset
from edge.methods.promptmad.settings import PromptNet
from edge.methods.promptmad.training_settings import PromptTraining


@dataclass(frozen=True, slots=True)
class Request:
    """What the caller asks for.

    Attributes:
        types: words for the defects that the product may show; empty takes the table's.
        net: of the reconstruction; the default is the published one.
        geometry: None learns whole frames.
    """

    data: Path
    preset: Preset
    weights: str | None = None
    size_wh: tuple[int, int] | None = None
    types: tuple[str, ...] = ()
    training: PromptTraining = field(default_factory=PromptTraining)
    net: PromptNet = field(default_factory=PromptNet)
    geometry: Geometry | None = None
