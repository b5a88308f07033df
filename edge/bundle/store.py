"""A bundle on disk: open it verified, or not at all."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.bundle.conformal import parts_above
from edge.bundle.consistency import check_golden, check_graphs, check_thresholds
from edge.bundle.contents import MAX_DOCUMENT_BYTES, Contents, read_file
from edge.bundle.documents import (
    GoodScores,
    check_schema,
    parse_document,
    read_document,
    read_recipe,
    read_scores,
)
from edge.bundle.golden_maps import read_maps
from edge.bundle.manifest import (
    MANIFEST,
    Golden,
    GoldenImage,
    GraphFile,
    Manifest,
    OwnPictures,
    Recipe,
)
from edge.bundle.onnx_file import check_onnx
from edge.bundle.openvino_ir_file import check_ir
from edge.bundle.signature import Trust, check_signature
from edge.bundle.thresholds import OwnThreshold, ProductThresholds, Thresholds
from edge.errors import BundleCorrupt, BundleError, BundleIncompatible
from edge.picture_file import decode_picture

RECIPE = "recipe.yaml"
THRESHOLDS = "thresholds.json"
SCORES = "calibration/scores.json"
OWN_PICTURES = "calibration/own_pictures.json"
GOLDEN = "golden/golden.json"
GOLDEN_MAPS = "golden/maps.npz"
CARD = "card.md"

NO_TRUST = Trust()


@dataclass(frozen=True, slots=True)
class Bundle:
    """A verified bundle. `id` is the SHA-256 of bundle.json, which holds every other hash.

    `scores` are the calibration scores of good parts, ascending; `above` counts the parts from each
    of them on, where parts count (see conformal.parts_above). `own_scores` are those of single
    products, views and types, by the name of their file. `product` is the one that `thresholds`,
    `scores` and `recipe` are of, None for all parts alike; `view` in the same way.
    `own_pictures`: see OwnPictures.
    `signed_by`: who signed it, by a key that was trusted on opening; None for nobody.
    """

    folder: Path
    id: str
    manifest: Manifest
    recipe: Recipe
    thresholds: Thresholds
    scores: tuple[float, ...]
    own_scores: Mapping[str, GoodScores] = field(default_factory=dict)
    product: str | None = None
    view: str | None = None
    own_pictures: tuple[str, ...] = ()
    signed_by: str | None = None
    above: tuple[float, ...] = ()

    def for_product(self, name: str) -> Bundle:
        """Return the same bundle and graph with the threshold, scores and quality of one product.

        Raises:
            BundleError: it does not serve this product.
        """
        own = self.thresholds.products.get(name)
        if own is None:
            raise self._unknown("its products", self.thresholds.products, name)
        changes = {
            "frames": own.frames or self.recipe.frames,
            "frame_quality": own.frame_quality or self.recipe.frame_quality,
        }
        recipe = self.recipe.model_copy(update=changes)
        return replace(self._judging_by(own), recipe=recipe, product=name)

    def for_view(self, name: str) -> Bundle:
        """Return the same bundle and graph with the threshold and scores of one view.

        Raises:
            BundleError: this view has no threshold of its own.
        """
        own = self.thresholds.views.get(name)
        if own is None:
            raise self._unknown("its views", self.thresholds.views, name)
        return replace(self._judging_by(own), view=name)

    def _unknown(self, what: str, known: Iterable[str], name: str) -> BundleError:
        listed = ", ".join(known) or "none"
        return BundleError(f"bundle {self.folder}: expected one of {what} ({listed}), got {name}")

    def _judging_by(self, own: ProductThresholds | OwnThreshold) -> Bundle:
        good = self.own_scores[own.scores_file]
        thresholds = self.thresholds.model_copy(update={"score": own.score})
        return replace(
            self, thresholds=thresholds, scores=good.scores, above=parts_above(good.parts)
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

    @property
    def contents(self) -> Contents:
        """The files of the folder with their hashes."""
        return Contents(self.folder, self.manifest.files)

    def manifest_bytes(self) -> bytes:
        """Read bundle.json, which `id` is the hash of.

        Raises:
            BundleCorrupt: it was exchanged since the bundle was opened.
        """
        return Contents(self.folder, {MANIFEST: self.id}).read(MANIFEST, MAX_DOCUMENT_BYTES)

    def graph_sha256(self, graph: GraphFile) -> str:
        """SHA-256 of a graph's file."""
        return self.manifest.files[graph.file]

    def golden(self) -> Golden:
        """Read golden/golden.json.

        Raises:
            BundleCorrupt: it was exchanged since the bundle was opened.
        """
        return read_document(self.contents, GOLDEN, Golden)

    def test_pictures(self) -> tuple[GoldenImage, GoldenImage]:
        """Return a golden picture that passes and the one that fails most clearly.

        Raises:
            BundleIncompatible: there is none of either kind, or none that fails by the threshold
                of every product and view, so that nothing shows that the graph can reject.
        """
        images = sorted(self.golden().images, key=lambda image: image.score)
        name, highest = self.thresholds.highest
        if images[0].verdict != "pass" or not images[-1].score > highest:
            what = "passes" if images[0].verdict != "pass" else "fails"
            where = f" by the threshold of {name}" if name and what == "fails" else ""
            raise BundleIncompatible(
                f"bundle {self.folder}: expected a golden picture that {what}{where}, found none: "
                "nothing shows that its graph can tell good from bad; pack the run again with "
                "edge-build"
            )
        return images[0], images[-1]

    def golden_pixels(self, image: GoldenImage) -> NDArray[np.uint8]:
        """Read a golden picture, (H, W, 3) uint8 BGR.

        Raises:
            BundleCorrupt: it is not listed, missing, altered or unreadable.
        """
        data = self.contents.read(image.file)
        try:
            return decode_picture(data)
        except ValueError as error:
            raise BundleCorrupt(
                f"{self.path(image.file)}: {error}; copy the bundle again or rebuild it"
            ) from error

    def golden_maps(self) -> list[NDArray[np.float32]]:
        """Read the expected maps, (h, w) float32 each, in the order of the golden images.

        Raises:
            BundleCorrupt: the file is damaged, or lacks a map.
        """
        golden = self.golden()
        data = self.contents.read(golden.maps_file)
        try:
            expected = next(spec.shape[1:] for spec in self.graph.outputs if spec.name == "map")
            is_whole = self.recipe.tiles_wh == (1, 1)
            return read_maps(data, len(golden.images), expected if is_whole else None)
        except ValueError as error:
            raise BundleCorrupt(
                f"{self.path(golden.maps_file)}: expected one map for each golden picture: "
                f"{error}; rebuild the bundle"
            ) from error


def open_bundle(folder: Path, trust: Trust = NO_TRUST) -> Bundle:
    """Read a bundle and verify every file against its hash, and its signature by trusted keys.

    Raises:
        BundleError: the folder is no bundle, or not signed as `trust` asks.
        BundleCorrupt: a file is missing, altered, unreadable or no regular file, or the documents
            contradict each other.
        BundleIncompatible: the bundle follows another schema.
    """
    if not os.path.exists(folder / MANIFEST):  # noqa: PTH110 - False for what cannot be looked at
        what = "has no bundle.json" if folder.is_dir() else "no such folder"
        raise BundleError(f"bundle {folder}: {what}; make one with edge-build RUN --out BUNDLE")
    folder = folder.resolve()
    text = read_file(folder, MANIFEST, MAX_DOCUMENT_BYTES)
    check_schema(folder, text)
    manifest = parse_document(folder / MANIFEST, text, Manifest)
    signed_by = check_signature(folder, text, trust)
    contents = Contents(folder, manifest.files)
    graphs = {graph.file: graph for graph in manifest.graphs}
    for name in manifest.files:
        if name in graphs:
            _check_graph(contents, graphs[name])
        else:
            contents.verify(name)
    thresholds = read_document(contents, THRESHOLDS, Thresholds)
    recipe = read_recipe(contents, RECIPE)
    _agree(folder, "", check_graphs, manifest, recipe)
    good = read_scores(contents, thresholds.scores_file)
    bundle = Bundle(
        folder=folder,
        id=hashlib.sha256(text).hexdigest(),
        manifest=manifest,
        recipe=recipe,
        thresholds=thresholds,
        scores=good.scores,
        above=parts_above(good.parts),
        own_scores={file: read_scores(contents, file) for file in thresholds.own_files},
        own_pictures=_own_pictures(contents),
        signed_by=signed_by,
    )
    _check_numbers(bundle, good)
    return bundle


def sha256(path: Path) -> str:
    """Hash a file."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _check_graph(contents: Contents, graph: GraphFile) -> None:
    """Verify a graph's file, and that it needs no file that is not listed."""
    data = contents.read(graph.file)
    try:
        (check_onnx if graph.format == "onnx" else check_ir)(data)
    except ValueError as error:
        raise BundleCorrupt(f"bundle {contents.folder}: {graph.file}: {error}") from None


def _check_numbers(bundle: Bundle, good: GoodScores) -> None:
    """Check every number that follows from others."""
    folder, thresholds, golden = bundle.folder, bundle.thresholds, bundle.golden()
    scores = {**bundle.own_scores, thresholds.scores_file: good}
    types = bundle.recipe.defect_types
    _agree(folder, f"{THRESHOLDS}: ", check_thresholds, thresholds, scores, types)
    _agree(folder, f"{GOLDEN}: ", check_golden, golden, thresholds.score)
    for file in (golden.maps_file, *(image.file for image in golden.images)):
        if file not in bundle.manifest.files:
            bundle.contents.read(file)  # says that it is not listed


def _agree(folder: Path, where: str, check: Callable[..., None], *documents: object) -> None:
    try:
        check(*documents)
    except ValueError as error:
        raise BundleCorrupt(f"bundle {folder}: {where}{error}; rebuild the bundle") from None


def _own_pictures(contents: Contents) -> tuple[str, ...]:
    if OWN_PICTURES not in contents.hashes and not contents.holds(OWN_PICTURES):
        return ()
    return read_document(contents, OWN_PICTURES, OwnPictures).pictures
