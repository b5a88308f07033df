"""The documents inside a bundle: bundle.json, recipe.yaml, thresholds.json."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field, model_validator

from edge.config.reader import Settings

BUNDLE_SCHEMA: Final = "edge-infer.bundle/1"
THRESHOLDS_SCHEMA: Final = "edge-infer.thresholds/1"
GOLDEN_SCHEMA: Final = "edge-infer.golden/1"


def _inside(value: str) -> str:
    path = PurePosixPath(value)
    if path.is_absolute() or ".." in path.parts or not path.parts or "\\" in value:
        raise ValueError("expected a relative path inside the bundle")
    return value


InsidePath = Annotated[str, AfterValidator(_inside)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
ProductName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$")]


class TensorSpec(Settings):
    """Name, static shape and dtype of one graph input or output."""

    name: str
    shape: tuple[int, ...]
    dtype: Literal["uint8", "float32"]


class GraphFile(Settings):
    """One ONNX file with everything needed to load it without opening it."""

    file: InsidePath
    precision: Literal["fp32"]
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


class ParityRecord(Settings):
    """Outcome of comparing the graph on one engine with the trained model, on the golden set.

    Differences are maxima over all golden images; `map_correlation` is the lowest.
    """

    reference: str
    backend: str
    backend_version: str
    images: int
    score_difference: float
    map_difference: float
    map_correlation: float
    verdict_flips: int
    passed: bool


class Manifest(Settings):
    """bundle.json: identity, graphs and the hash of every file."""

    schema_: Literal["edge-infer.bundle/1"] = Field(alias="schema")
    name: str
    version: str
    created_at: str
    created_by: str
    method: str
    licence: str
    graphs: tuple[GraphFile, ...]
    parity: tuple[ParityRecord, ...]
    files: dict[InsidePath, Sha256]

    @model_validator(mode="after")
    def _graphs_are_hashed(self) -> Manifest:
        missing = [graph.file for graph in self.graphs if graph.file not in self.files]
        if missing:
            raise ValueError(f"graphs without a hash: {missing}")
        return self


class FrameQuality(Settings):
    """Range of brightness and contrast that good frames had, widened; grey levels 0..255.

    A frame outside shows the camera or the lamp, not a part: it may not pass.
    """

    mean: tuple[float, float]
    std: tuple[float, float]


class Recipe(Settings):
    """recipe.yaml: how frames of this product become network inputs, and in what units to report.

    Attributes:
        product: what is inspected.
        size_wh: network input, pixels; a frame (or tile) is resized to it as a whole.
        tiles_wh: columns and rows that a frame is cut into.
        overlap: share of a tile common with its neighbour.
        colour_order: channel order of the network input.
        mm_per_px: scale of the source frame; areas are in mm2 only when it is known.
        defect_types: names a region may get.
        frame_quality: see FrameQuality.
    """

    product: str
    size_wh: tuple[int, int]
    tiles_wh: tuple[int, int] = (1, 1)
    overlap: float = Field(default=0.0, ge=0, lt=1)
    colour_order: Literal["rgb"] = "rgb"
    mm_per_px: float | None = Field(default=None, gt=0)
    defect_types: tuple[str, ...] = ()
    frame_quality: FrameQuality | None = None


class Threshold(Settings):
    """Score from which a part fails, with its evidence; fails when score > value.

    Attributes:
        value: the rank-th smallest calibration score.
        alpha: false-reject rate the threshold stands for.
        n: calibration scores; `groups`: independent parts they come from.
        bound95: with 95 % confidence over the draw of the calibration parts, the false-reject rate
            is at most this, counting groups as the independent units.
    """

    method: Literal["split-conformal"]
    value: float
    alpha: float
    n: int
    groups: int
    rank: int
    bound95: float


class ProductThresholds(Settings):
    """What one product is judged by, in a bundle whose graph serves several.

    Attributes:
        score: threshold from this product's good parts alone.
        scores_file: their scores, ascending, as in calibration/scores.json.
        frame_quality: takes the place of the recipe's; None keeps it.
    """

    score: Threshold
    scores_file: InsidePath
    frame_quality: FrameQuality | None = None


class Thresholds(Settings):
    """thresholds.json: the score threshold; calibration scores are in calibration/scores.json.

    `score` holds for every part; `products` holds those of single products, by name.
    """

    schema_: Literal["edge-infer.thresholds/1"] = Field(alias="schema")
    score: Threshold
    scores_file: InsidePath
    created_at: str
    products: dict[ProductName, ProductThresholds] = Field(default_factory=dict)


class GoldenImage(Settings):
    """One golden picture and what the trained model said of it."""

    file: InsidePath
    label: str
    score: float
    verdict: Literal["pass", "fail"]


class Golden(Settings):
    """golden/golden.json; maps stand in one array file in the order of `images`."""

    schema_: Literal["edge-infer.golden/1"] = Field(alias="schema")
    images: tuple[GoldenImage, ...]
    maps_file: InsidePath
    score_tolerance: float
    map_tolerance: float
