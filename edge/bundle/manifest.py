"""The documents inside a bundle: bundle.json, recipe.yaml, golden.json."""

from __future__ import annotations

import math
from typing import Annotated, Final, Literal

from pydantic import Field, field_validator, model_validator

from edge.bundle.frame_limits import FrameFormat, FrameQuality
from edge.bundle.openvino_ir_file import IR, values_beside
from edge.bundle.values import (
    MAX_VALUES,
    InsidePath,
    Score,
    Sha256,
    Side,
    Tiles,
    Words,
    one_each,
)
from edge.config.reader import Settings
from edge.geometry.geometry import Geometry
from edge.result import TypeEvidence

BUNDLE_SCHEMA: Final = "edge-infer.bundle/1"
GOLDEN_SCHEMA: Final = "edge-infer.golden/1"
# Files that bundle.json cannot list: itself, and the signature that is made over it.
MANIFEST: Final = "bundle.json"
SIGNATURE: Final = "signature.json"


class TensorSpec(Settings):
    """Name, static shape and dtype of one graph input or output."""

    name: Words
    shape: tuple[Annotated[int, Field(ge=1)], ...] = Field(min_length=1, max_length=6)
    dtype: Literal["uint8", "float32"]

    @field_validator("shape")
    @classmethod
    def _is_bounded(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if math.prod(value) > MAX_VALUES:
            raise ValueError(f"expected at most {MAX_VALUES} values")
        return value


class GraphFile(Settings):
    """One graph with everything needed to load it without opening it.

    A graph of role `detect` gives map and score, and may name types itself; one of role `types`
    gives `type_logits` (1, 1 + types, h, w) alone, row 0 normal, for parts that need a name. `form`
    says for which runtimes an INT8 graph is made: no single one serves CPUs and TensorRT. Every
    engine runs `format` onnx; OpenVINO alone runs `openvino_ir`, an .xml with its .bin beside it.
    """

    file: InsidePath
    format: Literal["onnx", "openvino_ir"] = "onnx"
    role: Literal["detect", "types"] = "detect"
    form: Literal["any", "cpu", "trt"] = "any"
    precision: Literal["fp32", "fp16", "int8"]
    inputs: tuple[TensorSpec, ...] = Field(min_length=1, max_length=16)
    outputs: tuple[TensorSpec, ...] = Field(min_length=1, max_length=16)

    @property
    def files(self) -> tuple[str, ...]:
        """All files of the graph: `file`, and that of its values where they lie beside it."""
        return (self.file,) if self.format == "onnx" else (self.file, values_beside(self.file))

    @model_validator(mode="after")
    def _names_differ(self) -> GraphFile:
        one_each([spec.name for spec in (*self.inputs, *self.outputs)])
        if self.format == "openvino_ir" and not self.file.endswith(IR):
            raise ValueError(f"file: expected {IR} for an OpenVINO IR, found {self.file}")
        return self


class ParityRecord(Settings):
    """Outcome of comparing the graph on one engine with the trained model, on the golden set.

    Differences are maxima over all golden images; `map_correlation` is the lowest. Types differ by
    their probabilities; None where the bundle names none.
    """

    reference: str
    backend: str
    backend_version: str
    images: int
    score_difference: float
    map_difference: float
    map_correlation: float
    type_difference: float | None = None
    verdict_flips: int
    passed: bool


class Manifest(Settings):
    """bundle.json: identity, graphs and the hash of every file."""

    schema_: Literal["edge-infer.bundle/1"] = Field(alias="schema")
    name: Words
    version: Words
    created_at: str
    created_by: str
    method: str
    licence: str
    graphs: tuple[GraphFile, ...] = Field(max_length=32)
    parity: tuple[ParityRecord, ...] = Field(min_length=1, max_length=32)
    files: dict[InsidePath, Sha256] = Field(max_length=10_000)

    @field_validator("parity")
    @classmethod
    def _has_passed(cls, value: tuple[ParityRecord, ...]) -> tuple[ParityRecord, ...]:
        for record in value:
            differences = (record.score_difference, record.map_difference)
            is_sound = (
                record.passed
                and record.verdict_flips == 0
                and record.images > 0
                and all(0 <= each < math.inf for each in differences)
                and -1 <= record.map_correlation <= 1.000001
                and 0 <= (record.type_difference or 0.0) <= 1
            )
            if not is_sound:
                raise ValueError(f"expected a parity check that {record.backend} has passed")
        return value

    @field_validator("files")
    @classmethod
    def _files_differ(cls, value: dict[str, str]) -> dict[str, str]:
        one_each([*value, MANIFEST, SIGNATURE])
        return value

    @model_validator(mode="after")
    def _graphs_are_hashed(self) -> Manifest:
        missing = [f for graph in self.graphs for f in graph.files if f not in self.files]
        if missing:
            raise ValueError(f"graphs without a hash: {missing}")
        roles = [graph.role for graph in self.graphs if graph.precision == "fp32"]
        if roles.count("detect") != 1 or roles.count("types") > 1:
            raise ValueError(
                f"expected one FP32 graph of role detect and at most one of role types, found "
                f"{', '.join(roles) or 'none'}"
            )
        return self


class Recipe(Settings):
    """recipe.yaml: how frames of this product become network inputs, and in what units to report.

    Attributes:
        product: what is inspected.
        size_wh: network input, pixels; a view (or tile) is resized to it as a whole.
        tiles_wh: columns and rows that a frame is cut into.
        overlap: share of a tile common with its neighbour.
        colour_order: channel order of the network input.
        geometry: from the camera's frame to the view that is cut into tiles; None takes the whole
            frame.
        mm_per_px: scale of the view; areas are in mm2 only when it is known.
        defect_types: names a region may get.
        type_evidence: how a region gets one, see edge.inspection.type_naming.
        types_size_wh: network input of the types graph, which takes the frame as a whole; None
            when there is no such graph.
        veto_above: a region whose types call it normal with a higher probability is vetoed, see
            edge.inspection.veto; None vetoes none.
        veto_passes: a part passes if every region of it is vetoed.
        frames: size and colour of views; None in bundles from before it.
        frame_quality: see FrameQuality.
    """

    product: Words
    size_wh: tuple[Side, Side]
    tiles_wh: tuple[Tiles, Tiles] = (1, 1)
    overlap: float = Field(default=0.0, ge=0, lt=1)
    colour_order: Literal["rgb"] = "rgb"
    geometry: Geometry | None = None
    mm_per_px: float | None = Field(default=None, gt=0, le=1e4)
    defect_types: tuple[Words, ...] = Field(default=(), max_length=1000)
    type_evidence: TypeEvidence = "summed"
    types_size_wh: tuple[Side, Side] | None = None
    veto_above: float | None = Field(default=None, gt=0, lt=1)
    veto_passes: bool = False
    frames: FrameFormat | None = None
    frame_quality: FrameQuality | None = None

    @field_validator("defect_types")
    @classmethod
    def _types_differ(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        one_each(value)
        return value

    @model_validator(mode="after")
    def _can_veto(self) -> Recipe:
        if self.veto_above is not None and not self.defect_types:
            raise ValueError("veto_above: a recipe without defect_types has nothing to veto with")
        if self.veto_passes and self.veto_above is None:
            raise ValueError("veto_passes: goes with veto_above; set both or neither")
        return self


class GoldenImage(Settings):
    """One golden picture and what the trained model said of it.

    `type` is what it called the part, `unknown` when no type convinced; None for a part that passes
    or a bundle that names no types.
    """

    file: InsidePath
    label: Words
    score: Score
    verdict: Literal["pass", "fail"]
    type: Words | None = None


class OwnPictures(Settings):
    """Labelled pictures of the product itself that the types were learned from: they test nothing.

    Named relative to the data folder, such as `test/open/012.png`.
    """

    pictures: tuple[str, ...]


class Golden(Settings):
    """golden/golden.json; maps stand in one array file in the order of `images`."""

    schema_: Literal["edge-infer.golden/1"] = Field(alias="schema")
    images: tuple[GoldenImage, ...] = Field(min_length=1, max_length=1000)
    maps_file: InsidePath
    score_tolerance: float = Field(gt=0, allow_inf_nan=False)
    map_tolerance: float = Field(gt=0, allow_inf_nan=False)

    @field_validator("images")
    @classmethod
    def _images_differ(cls, value: tuple[GoldenImage, ...]) -> tuple[GoldenImage, ...]:
        one_each([image.file for image in value])
        return value
