"""A bundle on disk: open it verified, or not at all."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from edge.bundle.manifest import (
    BUNDLE_SCHEMA,
    Golden,
    GoldenImage,
    GraphFile,
    Manifest,
    OwnPictures,
    Recipe,
    Thresholds,
)
from edge.config.reader import Settings, read_settings
from edge.errors import BundleCorrupt, BundleError, BundleIncompatible, ConfigError
from edge.picture_file import read_picture

MANIFEST = "bundle.json"
RECIPE = "recipe.yaml"
THRESHOLDS = "thresholds.json"
SCORES = "calibration/scores.json"
OWN_PICTURES = "calibration/own_pictures.json"
GOLDEN = "golden/golden.json"
GOLDEN_MAPS = "golden/maps.npz"
CARD = "card.md"

Document = TypeVar("Document", bound=Settings)


@dataclass(frozen=True, slots=True)
class Bundle:
    """A verified bundle. `id` is the SHA-256 of bundle.json, which holds every other hash.

    `scores` are the calibration scores of good parts, ascending; `product_scores` are those of the
    single products, for a bundle that serves several. `product` is the one that `thresholds`,
    `scores` and `recipe` are of, None for all parts alike. `own_pictures`: see OwnPictures.
    """

    folder: Path
    id: str
    manifest: Manifest
    recipe: Recipe
    thresholds: Thresholds
    scores: tuple[float, ...]
    product_scores: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    product: str | None = None
    own_pictures: tuple[str, ...] = ()

    def for_product(self, name: str) -> Bundle:
        """Return the same bundle and graph with the threshold, scores and quality of one product.

        Raises:
            BundleError: it does not serve this product.
        """
        own = self.thresholds.products.get(name)
        if own is None:
            served = ", ".join(self.thresholds.products) or "none"
            raise BundleError(
                f"bundle {self.folder}: expected one of its products ({served}), got {name}"
            )
        quality = own.frame_quality or self.recipe.frame_quality
        return replace(
            self,
            recipe=self.recipe.model_copy(update={"frame_quality": quality}),
            thresholds=self.thresholds.model_copy(update={"score": own.score}),
            scores=self.product_scores[name],
            product=name,
        )

    def with_threshold(self, value: float) -> Bundle:
        """Return the same bundle with another threshold; its files stay as they are."""
        score = self.thresholds.score.model_copy(update={"value": value})
        return replace(self, thresholds=self.thresholds.model_copy(update={"score": score}))

    @property
    def graph(self) -> GraphFile:
        """The FP32 graph of anomaly map and image score, the reference of all others."""
        return self._graphs("detect")[0]

    @property
    def types_graph(self) -> GraphFile | None:
        """The FP32 graph that names types, if the bundle has one beside `graph`."""
        return next(iter(self._graphs("types")), None)

    def _graphs(self, role: str) -> list[GraphFile]:
        graphs = self.manifest.graphs
        return [graph for graph in graphs if graph.role == role and graph.precision == "fp32"]

    def path(self, file: str) -> Path:
        """Absolute path of a file inside the bundle."""
        return self.folder / file

    def golden(self) -> Golden:
        """Read golden/golden.json."""
        return _document(self.path(GOLDEN), Golden)

    def golden_pixels(self, image: GoldenImage) -> NDArray[np.uint8]:
        """Read a golden picture, (H, W, 3) uint8 BGR.

        Raises:
            BundleCorrupt: it is missing or unreadable.
        """
        path = self.path(image.file)
        try:
            return read_picture(path)
        except ValueError as error:
            raise BundleCorrupt(f"{path}: {error}; copy the bundle again or rebuild it") from error

    def golden_maps(self) -> list[NDArray[np.float32]]:
        """Read the expected maps, (h, w) float32 each, in the order of the golden images.

        Raises:
            BundleCorrupt: the file is damaged, or lacks a map.
        """
        golden = self.golden()
        path = self.path(golden.maps_file)
        try:
            with path.open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
                names = [f"map{index}" for index in range(len(golden.images))]
                return [np.asarray(arrays[name], np.float32) for name in names]
        except (OSError, ValueError, TypeError, LookupError, EOFError, BadZipFile) as error:
            raise BundleCorrupt(
                f"{path}: expected one map for each golden picture: {error}; rebuild the bundle"
            ) from error


def open_bundle(folder: Path) -> Bundle:
    """Read a bundle and verify every file against its hash.

    Raises:
        BundleError: the folder is no bundle.
        BundleCorrupt: a file is missing, altered or unreadable.
        BundleIncompatible: the bundle follows another schema.
    """
    manifest_path = folder / MANIFEST
    if not manifest_path.is_file():
        what = "has no bundle.json" if folder.is_dir() else "no such folder"
        raise BundleError(f"bundle {folder}: {what}; make one with edge-build RUN --out BUNDLE")
    text = manifest_path.read_bytes()
    _check_schema(folder, text)
    manifest = _document(manifest_path, Manifest)
    for name, expected in manifest.files.items():
        _verify(folder, name, expected)
    thresholds = _document(folder / THRESHOLDS, Thresholds)
    recipe = _recipe(folder)
    _check_types(folder, manifest, recipe)
    return Bundle(
        folder=folder.resolve(),
        id=hashlib.sha256(text).hexdigest(),
        manifest=manifest,
        recipe=recipe,
        thresholds=thresholds,
        scores=_scores(folder / thresholds.scores_file),
        product_scores={
            name: _scores(folder / own.scores_file) for name, own in thresholds.products.items()
        },
        own_pictures=_own_pictures(folder, manifest),
    )


def sha256(path: Path) -> str:
    """Hash a file."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _verify(folder: Path, name: str, expected: str) -> None:
    try:
        found = sha256(folder / name)
    except FileNotFoundError:
        raise BundleCorrupt(
            f"bundle {folder}: {name} is missing; copy the bundle again or rebuild it"
        ) from None
    except OSError as error:
        raise BundleCorrupt(f"bundle {folder}: {name} cannot be read: {error}") from error
    if found != expected:
        raise BundleCorrupt(
            f"bundle {folder}: {name} was altered (expected sha256 {expected[:12]}…, found "
            f"{found[:12]}…); copy the bundle again or rebuild it"
        )


def _check_types(folder: Path, manifest: Manifest, recipe: Recipe) -> None:
    """The rows of a graph's type logits are normal and then the recipe's types, in order.

    A types graph gives them of frames at the recipe's size.
    """
    for graph in manifest.graphs:
        if graph.role == "types":
            _check_types_graph(folder, graph, recipe)
        for output in graph.outputs:
            named = 1 + len(recipe.defect_types)
            if output.name == "type_logits" and output.shape[1] != named:
                raise BundleCorrupt(
                    f"bundle {folder}: {RECIPE} names {named - 1} defect types, {graph.file} tells "
                    f"{output.shape[1] - 1} apart; rebuild the bundle"
                )


def _check_types_graph(folder: Path, graph: GraphFile, recipe: Recipe) -> None:
    if "type_logits" not in {output.name for output in graph.outputs}:
        raise BundleCorrupt(
            f"bundle {folder}: {graph.file}: expected an output type_logits, found "
            f"{', '.join(output.name for output in graph.outputs)}; rebuild the bundle"
        )
    height, width = graph.inputs[0].shape[1:3]
    if recipe.types_size_wh != (width, height):
        raise BundleCorrupt(
            f"bundle {folder}: {RECIPE}: types_size_wh: expected {(width, height)} as {graph.file} "
            f"takes it, found {recipe.types_size_wh}; rebuild the bundle"
        )


def _own_pictures(folder: Path, manifest: Manifest) -> tuple[str, ...]:
    if OWN_PICTURES not in manifest.files:
        return ()
    return _document(folder / OWN_PICTURES, OwnPictures).pictures


def _check_schema(folder: Path, text: bytes) -> None:
    try:
        schema = json.loads(text).get("schema")
    except (ValueError, AttributeError, RecursionError):
        raise BundleCorrupt(f"bundle {folder}: bundle.json is not a JSON object") from None
    if schema != BUNDLE_SCHEMA:
        raise BundleIncompatible(
            f"bundle {folder}: expected schema {BUNDLE_SCHEMA}, found {schema}; rebuild the bundle "
            "with this version of edge-inspection, or install the version that made it"
        )


def _document(path: Path, model: type[Document]) -> Document:
    try:
        return model.model_validate_json(path.read_bytes())
    except OSError as error:
        raise BundleCorrupt(f"{path}: cannot be read: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise BundleCorrupt(f"{path}: {where}: {first['msg']}; rebuild the bundle") from None


def _recipe(folder: Path) -> Recipe:
    try:
        return read_settings(folder / RECIPE, Recipe)
    except ConfigError as error:
        raise BundleCorrupt("; ".join(error.problems)) from error


def _scores(path: Path) -> tuple[float, ...]:
    try:
        values: Any = json.loads(path.read_text(encoding="utf-8"))["scores"]
        scores = tuple(float(value) for value in values)
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise BundleCorrupt(f"{path}: expected a list of numbers under scores: {error}") from error
    if list(scores) != sorted(scores) or not scores:
        raise BundleCorrupt(f"{path}: expected ascending calibration scores; rebuild the bundle")
    return scores
