"""The types graph of a bundle: a run of MultiADS or DAPO names types for another run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from edge.errors import ToolchainError
from edge.methods.added_types import with_added
from edge.methods.multiads.network import MultiAdsDetector
from edge.methods.multiads.settings import AlignedSettings
from edge.methods.run import read_model, read_record
from edge.methods.run_record import RunRecord


class TypeNamer(nn.Module):
    """The part of a detector that names types, without map and score."""

    def __init__(self, detector: MultiAdsDetector):
        super().__init__()
        self.detector = detector

    @property
    def settings(self) -> AlignedSettings:
        """Of the detector."""
        return self.detector.settings

    def forward(self, frames: Tensor) -> tuple[Tensor]:
        """Type logits (B, 1 + types, h, w) of (B, H, W, 3) uint8 RGB frames at network size."""
        return (self.detector(frames).type_logits,)


@dataclass(frozen=True, slots=True)
class TypesRun:
    """A run of MultiADS or DAPO that names types for another run's bundle."""

    folder: Path
    record: RunRecord
    namer: TypeNamer

    @property
    def settings(self) -> AlignedSettings:
        """Of its detector."""
        return self.namer.settings

    def with_added(self, words: Sequence[str], weights: str | None = None) -> TypesRun:
        """The same run with more types; see edge.methods.added_types."""
        detector, record = with_added(self.namer.detector, self.record, words, weights)
        assert isinstance(detector, MultiAdsDetector)  # noqa: S101 - narrowing only
        return TypesRun(self.folder, record, TypeNamer(detector).eval())

    @torch.no_grad()
    def logits(self, frame: Tensor) -> Tensor:
        """Type logits (1 + types, h, w) of one (1, H, W, 3) uint8 RGB frame."""
        return self.namer(frame)[0][0]


def read_types_run(folder: Path, detecting: RunRecord) -> TypesRun:
    """Read the run that is to name types for the run `detecting`.

    Raises:
        TrainingError: `folder` is not a finished run.
        ToolchainError: it is neither of MultiADS nor of DAPO, or of another product, or `detecting`
            names types itself or cuts its frames into tiles.
    """
    if detecting.model.types:
        raise ToolchainError(
            f"--types {folder}: RUN ({detecting.model.method}) names types itself; leave --types "
            "out, or give a RUN that names none"
        )
    if detecting.tiles_wh != (1, 1):
        raise ToolchainError(
            f"--types {folder}: names types on whole frames, RUN cuts them into "
            f"{detecting.tiles_wh[0]}x{detecting.tiles_wh[1]} tiles; train RUN without --tiles"
        )
    record = read_record(folder)
    if not isinstance(record.model, AlignedSettings):
        raise ToolchainError(
            f"--types {folder}: expected a multiads or dapo run, found {record.model.method}; "
            "train one with edge-train --method multiads"
        )
    if record.data.name != detecting.data.name:
        raise ToolchainError(
            f"--types {folder}: expected types of {detecting.data.name} as RUN, found those of "
            f"{record.data.name}; train them with --target {detecting.data.name}"
        )
    if record.geometry != detecting.geometry:
        raise ToolchainError(
            f"--types {folder}: expected a run with the geometry of RUN, it has another; train it "
            "with the same --geometry"
        )
    detector = read_model(folder, record)
    assert isinstance(detector, MultiAdsDetector)  # noqa: S101 - narrowing only
    return TypesRun(folder, record, TypeNamer(detector).eval())
