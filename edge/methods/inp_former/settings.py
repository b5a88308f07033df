"""What a model is, as data: enough to build the same network again."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from edge.config.reader import Settings

# Defect texts that a mask refiner reads; the product's other types are left out.
MOST_DEFECT_TEXTS = 8


class PyramidSettings(Settings):
    """EfficientNet-Lite0 stages on a common grid.

    Attributes:
        taps: stage indices, 0 to 6.
        stride: pixels of network input per grid cell.
    """

    name: Literal["efficientnet_lite0"]
    taps: tuple[int, ...]
    stride: int


class VitSettings(Settings):
    """DINOv2 with registers.

    Attributes:
        taps: block indices from 0; `groups` of equal size are averaged.
    """

    name: Literal["dinov2_registers"]
    width: int
    depth: int
    heads: int
    patch: int = 14
    registers: int = 4
    mlp_ratio: int = 4
    position_grid: int = 37
    taps: tuple[int, ...]
    groups: int

    @property
    def stride(self) -> int:
        """Pixels of network input per grid cell."""
        return self.patch


class InpFormerNet(Settings):
    """Shape of the INP-Former network; see edge.methods.inp_former.network.

    Attributes:
        judge_by: what a defect is measured by: the distance of a token to its `reconstruction`, or
            to the nearest of the picture's `prototypes` (zero-shot, for products not trained on).
        head: hidden channels of INP-Former++'s residual head; None builds none.
        centring: share of each distance map's mean over the frame that is taken off it. A frame
            that is rebuilt worse everywhere then counts less than a place that stands out of it.
            0 as published.
    """

    width: int
    depth: int
    heads: int
    mlp_ratio: int
    prototypes: int = Field(default=6, ge=1)
    norm_eps: float = Field(default=1e-6, gt=0)
    judge_by: Literal["reconstruction", "prototypes"] = "reconstruction"
    head: tuple[int, int] | None = None
    centring: float = Field(default=0, ge=0, le=1)


class RefinerNet(Settings):
    """PromptMAD's mask refiner behind a reconstruction; see edge.methods.promptmad.refiner.

    Attributes:
        text_width: length of the text rows; `types`: what the defect rows describe.
        upscaling: mask cells along one side of a grid cell.
        steps: of the refinement: 10 as published, 1 or 2 after distillation; 0 leaves the coarse
            mask as it is.
    """

    text_width: int
    types: tuple[str, ...] = Field(max_length=MOST_DEFECT_TEXTS)
    upscaling: int = Field(default=4, ge=1)
    steps: int = Field(default=10, ge=0, le=10)


class MapSettings(Settings):
    """From grid distances to the map and the score.

    Attributes:
        stride: pixels of network input per map pixel.
        top_ratio: share of the highest pixels, or cells, whose mean is the score.
        score_from: where the score is read: the finished `map`, or the fused `grid` before it is
            enlarged and smoothed, which costs a small defect nothing of its height.
        chain: `calibrated` brings branches to a common scale and keeps borders at full strength;
            `published` is INP-Former's own evaluation, see published_map.py: its map has
            256 pixels along the longer side, whatever the stride.
        beyond_rare: how much of a distance from good parts counts beyond the level that is rare for
            a good pixel. Below 1, places where several branches see something count more than one
            branch that sees a lot. What was taught defects (probe, heads) counts in full.
        score_beyond_rare: the same for the score where it is read from the grid; None: as the map.
        before: labelled defects were learned, and what stood out before counts where it is more:
            what nobody has labelled must not be overlooked for what somebody has.
        contrast: how much of what a cell is above the mean of its surroundings is added to it in
            the map: what a defect spreads through the fields of view around it is taken back.
    """

    chain: Literal["calibrated", "published"] = "calibrated"
    stride: int = Field(default=2, ge=1)
    top_ratio: float = Field(default=0.01, gt=0, le=1)
    score_from: Literal["map", "grid"] = "map"
    beyond_rare: float = Field(default=1, ge=0, le=1)
    score_beyond_rare: float | None = Field(default=None, ge=0, le=1)
    before: bool = False
    contrast: float = Field(default=0, ge=0, le=1)

    @model_validator(mode="after")
    def _fits(self) -> MapSettings:
        if self.score_beyond_rare is not None and self.score_from == "map":
            raise ValueError("score_beyond_rare: expected score_from: grid, maps have one limit")
        for name in ("contrast", "before"):
            if getattr(self, name) and self.chain == "published":
                raise ValueError(f"{name}: expected chain: calibrated, the published one has none")
        return self


class BranchSettings(Settings):
    """What judges beside INP-Former; 0 leaves a branch out.

    Attributes:
        memory: remembered tokens of good parts, searched in the graph.
        position_dims: principal components of the statistics per place of the frame.
        image_dims: principal components of the statistics of the frame as a whole.
        probe: kinds of defects that the probe was taught; 1 for all synthetic ones together.
        probe_before: the same of the probe that judged before labelled defects were learned; see
            `map.before`.
        memory_around: side in cells, odd, of the square whose mean is remembered for its middle;
            1: a token alone.
        probe_around: side in cells, odd, of the surroundings that the probe sees beside a token;
            1: none.
    """

    memory: int = Field(default=0, ge=0)
    position_dims: int = Field(default=0, ge=0)
    image_dims: int = Field(default=0, ge=0)
    probe: int = Field(default=0, ge=0)
    probe_before: int = Field(default=0, ge=0)
    memory_around: int = Field(default=1, ge=1, le=31)
    probe_around: int = Field(default=1, ge=1, le=31)

    @field_validator("memory_around", "probe_around")
    @classmethod
    def _has_a_middle(cls, side: int, field: ValidationInfo) -> int:
        if side % 2 == 0:
            raise ValueError(f"{field.field_name}: expected an odd number of cells")
        return side


class ModelSettings(Settings):
    """One detector: backbone, method, branches and map, at one network size.

    Attributes:
        types: defect types that regions are named by, in the order of their rows; empty for none.
        text_width: D of their text vectors.
        refiner: PromptMAD's mask as a branch of the map; takes the place of INP-Former++'s head.
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

    @model_validator(mode="after")
    def _fits(self) -> ModelSettings:
        if self.refiner is not None and self.inp_former.head is not None:
            raise ValueError("refiner: the residual head is in its place; expected one of the two")
        if self.refiner is not None and self.inp_former.judge_by == "prototypes":
            raise ValueError("refiner: expected judge_by: reconstruction, which it reads")
        step = self.backbone.stride
        if min(self.size_wh) < step or any(side % step for side in self.size_wh):
            raise ValueError(f"size_wh: expected positive multiples of {step}")
        return self
