"""Settings of a detector: enough to build the same network again."""

from __future__ import annotations

import logging
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from edge.config.reader import Settings
from edge.methods.promptmad.settings import RefinerNet
from edge.networks.backbones.settings import PyramidSettings, VitSettings

log = logging.getLogger(__name__)

# Keys of run.yaml that have had another name, by section: old name -> name now.
RENAMED_KEYS = {
    "inp_former": {"centring": "map_centring"},
    "map": {
        "beyond_rare": "tail_slope",
        "score_beyond_rare": "score_tail_slope",
        "before": "keep_prelabel_map",
        "contrast": "local_contrast",
    },
    "branches": {
        "probe_before": "prelabel_probe",
        "memory_around": "memory_neighbourhood",
        "probe_around": "probe_neighbourhood",
    },
}


class InpFormerNet(Settings):
    """Shape of the INP-Former network; see edge.methods.inp_former.network.

    Attributes:
        judge_by: a token's anomaly value is its distance to its `reconstruction`, or to the nearest
            of the picture's `prototypes` (zero-shot, for products that nothing was trained on).
            `nothing` leaves INP-Former out of the graph: the other branches judge alone.
        head: hidden channels of INP-Former++'s residual head; None builds none.
        map_centring: share, 0..1, of a distance map's mean over the frame that is subtracted from
            it. A frame that is reconstructed worse everywhere then scores lower than a frame with
            one anomalous place. 0 as published.
    """

    width: int
    depth: int
    heads: int
    mlp_ratio: int
    prototypes: int = Field(default=6, ge=1)
    norm_eps: float = Field(default=1e-6, gt=0)
    judge_by: Literal["reconstruction", "prototypes", "nothing"] = "reconstruction"
    head: tuple[int, int] | None = None
    map_centring: float = Field(default=0, ge=0, le=1)


class MapSettings(Settings):
    """From branch maps to the anomaly map and the image score.

    Attributes:
        stride: pixels of network input per map pixel.
        top_ratio: share of the highest pixels, or cells, whose mean is the image score.
        score_from: where the image score is read: from the finished `map`, or from the fused
            `grid` before upsampling and smoothing, which lower the peak of a small defect.
        chain: `calibrated` brings branches to a common scale and keeps borders at full strength;
            `published` is INP-Former's own evaluation, see published_map.py: its map has
            256 pixels along the longer side, whatever the stride.
        tail_slope: slope, 0..1, of an unsupervised branch's normalized values above 1, the
            99.9 % quantile of good pixels. Below 1, a place where several branches are high scores
            more than a place where one branch is very high. Values of supervised branches (probe,
            head) are not compressed.
        score_tail_slope: the same for the image score where it is read from the grid; None: as in
            the map.
        keep_prelabel_map: the run was fitted to labelled defects, and the map of before is kept:
            the larger of the two counts at every place, so that defects of types that nobody
            labelled stay visible.
        local_contrast: share of a cell's difference to the mean of its neighbourhood that is added
            to it in the map, 0..1. It sharpens what neighbourhood aggregation and receptive fields
            spread.
    """

    chain: Literal["calibrated", "published"] = "calibrated"
    stride: int = Field(default=2, ge=1)
    top_ratio: float = Field(default=0.01, gt=0, le=1)
    score_from: Literal["map", "grid"] = "map"
    tail_slope: float = Field(default=1, ge=0, le=1)
    score_tail_slope: float | None = Field(default=None, ge=0, le=1)
    keep_prelabel_map: bool = False
    local_contrast: float = Field(default=0, ge=0, le=1)

    @model_validator(mode="after")
    def _fits(self) -> MapSettings:
        if self.score_tail_slope is not None and self.score_from == "map":
            raise ValueError("score_tail_slope: expected score_from: grid; maps have one slope")
        for name in ("local_contrast", "keep_prelabel_map"):
            if getattr(self, name) and self.chain == "published":
                raise ValueError(f"{name}: expected chain: calibrated, the published one has none")
        return self


class BranchSettings(Settings):
    """Branches beside INP-Former; 0 leaves a branch out.

    Attributes:
        memory: vectors in the memory bank, searched in the graph.
        memory_rejects: how many of them, the last ones, are of false rejects.
        position_dims: principal components of the statistics at each position of the grid.
        image_dims: principal components of the statistics of the frame as a whole.
        probe: kinds of defects that the probe was fitted to; 1 for all synthetic ones together.
        prelabel_probe: the same for the probe of before the run was fitted to labelled defects; see
            `map.keep_prelabel_map`.
        memory_neighbourhood: side in cells, odd, of the neighbourhood over which tokens are
            averaged before the bank is searched; 1: single tokens.
        probe_neighbourhood: side in cells, odd, of the neighbourhood whose mean the probe reads
            beside the token; 1: the token alone.
    """

    memory: int = Field(default=0, ge=0)
    memory_rejects: int = Field(default=0, ge=0)
    position_dims: int = Field(default=0, ge=0)
    image_dims: int = Field(default=0, ge=0)
    probe: int = Field(default=0, ge=0)
    prelabel_probe: int = Field(default=0, ge=0)
    memory_neighbourhood: int = Field(default=1, ge=1, le=31)
    probe_neighbourhood: int = Field(default=1, ge=1, le=31)

    @field_validator("memory_neighbourhood", "probe_neighbourhood")
    @classmethod
    def _has_a_centre(cls, side: int, field: ValidationInfo) -> int:
        if side % 2 == 0:
            raise ValueError(f"{field.field_name}: expected an odd number of cells")
        return side


class ModelSettings(Settings):
    """One detector: backbone, method, branches and map, at one network size.

    Keys of earlier versions (RENAMED_KEYS) are read too, with one warning in the log.

    Attributes:
        types: defect types that regions are named by, in the order of their rows; empty for none.
        text_width: D of their text vectors.
        refiner: PromptMAD's mask as a branch of the map; it replaces INP-Former++'s head.
    """

    method: Literal["inp-former"] = "inp-former"
    size_wh: tuple[int, int]
    backbone: Annotated[PyramidSettings | VitSettings, Field(discriminator="name")]
    inp_former: InpFormerNet
    branches: BranchSettings = BranchSettings()
    map: MapSettings = MapSettings()
    types: tuple[str, ...] = ()
    text_width: int = Field(default=0, ge=0)
    refiner: RefinerNet | None = None

    @model_validator(mode="before")
    @classmethod
    def _with_new_keys(cls, data: Any) -> Any:
        return _renamed(data) if isinstance(data, dict) else data

    @model_validator(mode="after")
    def _fits(self) -> ModelSettings:
        if self.refiner is not None and self.inp_former.head is not None:
            raise ValueError("refiner: expected a refiner or a residual head, found both")
        judge_by = self.inp_former.judge_by
        if judge_by == "nothing" and not (self.branches.memory or self.branches.position_dims):
            raise ValueError("judge_by: nothing: expected branches.memory or position_dims")
        if self.refiner is not None and judge_by != "reconstruction":
            raise ValueError("refiner: expected judge_by: reconstruction, which it reads")
        step = self.backbone.stride
        if min(self.size_wh) < step or any(side % step for side in self.size_wh):
            raise ValueError(f"size_wh: expected positive multiples of {step}")
        return self


def _renamed(data: dict[str, Any]) -> dict[str, Any]:
    """Replace the keys of earlier versions; a key that is given twice is left for its refusal."""
    found, changed = [], dict(data)
    for section, names in RENAMED_KEYS.items():
        values = data.get(section)
        if not isinstance(values, dict):
            continue
        old = {key: new for key, new in names.items() if key in values and new not in values}
        changed[section] = {old.get(key, key): value for key, value in values.items()}
        found += [f"{section}.{key} is now {new}" for key, new in old.items()]
    if found:
        log.warning("run.yaml: keys of an earlier version are read: %s", ", ".join(found))
    return changed
