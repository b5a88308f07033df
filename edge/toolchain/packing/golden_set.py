"""The golden set of a bundle: outputs of the trained model and of engines for the same pictures."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import torch

from edge.bundle.decision_scale import decision_scale
from edge.bundle.manifest import GOLDEN_SCHEMA, Golden, GoldenImage, GraphFile, ParityRecord, Recipe
from edge.bundle.store import GOLDEN, GOLDEN_MAPS
from edge.bundle.thresholds import Threshold
from edge.data.frames import InputShape, network_inputs
from edge.data.golden_pictures import GoldenPicture
from edge.data.image_set import read_pixels
from edge.engines.onnx.engine import OnnxEngine
from edge.errors import InferenceError, ParityError
from edge.inspection.preprocess import tile_boxes
from edge.inspection.regions import find_regions
from edge.inspection.scorer import FrameScorer, stitch, stitch_logits
from edge.inspection.type_naming import namer, predicted_type
from edge.inspection.type_scorer import TypeScorer
from edge.methods.method import Network
from edge.toolchain.packing.bundle_folder import write_json
from edge.toolchain.packing.types_graph import TypesRun
from edge.toolchain.parity import TOLERANCES, Outcome, compare, refuse

REFERENCE = f"torch {torch.__version__}"


@torch.no_grad()
def reference_outcomes(
    detector: Network,
    recipe: Recipe,
    pictures: Sequence[GoldenPicture],
    types: TypesRun | None = None,
) -> list[Outcome]:
    """Return the outputs of the trained model for the golden pictures, with tiles joined.

    `types` is the run that names types if the detector does not.
    """
    shape = InputShape(recipe.size_wh, recipe.tiles_wh, recipe.overlap)
    outcomes = []
    for picture in pictures:
        pixels = read_pixels(picture.path)
        found = detector(torch.from_numpy(network_inputs(pixels, shape)))
        frame_wh = (pixels.shape[1], pixels.shape[0])
        boxes = tile_boxes(frame_wh, recipe.tiles_wh, recipe.overlap)
        maps = list(found.map.numpy())
        whole = maps[0] if len(maps) == 1 else stitch(maps, boxes, frame_wh)
        logits = None
        if types is not None:
            frame = network_inputs(pixels, InputShape(types.settings.size_wh))
            logits = types.logits(torch.from_numpy(frame)).numpy()
        elif (named := getattr(found, "type_logits", None)) is not None:
            grids = list(named.numpy())
            logits = grids[0] if len(grids) == 1 else stitch_logits(grids, boxes, frame_wh)
        outcomes.append(Outcome(whole, float(found.score.max()), logits))
    return outcomes


def engine_outcome(
    scorer: FrameScorer, picture: GoldenPicture, type_scorer: TypeScorer | None = None
) -> Outcome:
    """Return the outputs of an engine for a golden picture, pre-processed as on a station."""
    pixels = read_pixels(picture.path)
    scored = scorer.score(pixels)
    logits = scored.type_logits if type_scorer is None else type_scorer.score(pixels).logits
    return Outcome(scored.map.copy(), scored.score, None if logits is None else logits.copy())


def check_graphs(
    folder: Path,
    graphs: Sequence[GraphFile],
    recipe: Recipe,
    pictures: Sequence[GoldenPicture],
    reference: Sequence[Outcome],
    threshold: float,
) -> ParityRecord:
    """Compare graphs of a bundle folder with the trained model, on ONNX Runtime.

    Args:
        folder: of the bundle.
        graphs: the detection graph and the types graph, if there is one.
        recipe: of the bundle.
        pictures: the golden set.
        reference: outputs of the trained model for it.
        threshold: of the score.

    Raises:
        ParityError: they do not decide as the trained model does.
    """
    names = " and ".join(graph.file for graph in graphs)
    with ExitStack() as stack:
        engines = [stack.enter_context(OnnxEngine(folder / g.file, g)) for g in graphs]
        scorer = FrameScorer(engines[0], recipe, graphs[0])
        type_scorer = TypeScorer(engines[1], graphs[1]) if len(graphs) > 1 else None
        try:
            outcomes = [engine_outcome(scorer, picture, type_scorer) for picture in pictures]
        except InferenceError as error:
            raise ParityError(f"{names}: does not decide as the trained model: {error}") from error
        record = compare(reference, outcomes, threshold, engines[0].info, REFERENCE)
    refuse(record, names)
    return record


def write_golden_set(
    folder: Path,
    pictures: Sequence[GoldenPicture],
    reference: Sequence[Outcome],
    threshold: Threshold,
    recipe: Recipe,
) -> None:
    """Copy the pictures into the bundle and write the outputs of the trained model."""
    (folder / GOLDEN).parent.mkdir(parents=True, exist_ok=True)
    images = []
    for picture, outcome in zip(pictures, reference, strict=True):
        file = f"golden/{picture.path.name}"
        shutil.copyfile(picture.path, folder / file)
        verdict: Any = "fail" if outcome.score > threshold.value else "pass"
        images.append(
            GoldenImage(
                file=file,
                label=picture.label,
                score=outcome.score,
                verdict=verdict,
                type=_type_of(outcome, threshold.value, recipe),
            )
        )
    # Maps of frames of different sizes may differ in shape: one array per picture.
    arrays = {f"map{index}": outcome.map for index, outcome in enumerate(reference)}
    np.savez_compressed(folder / GOLDEN_MAPS, **arrays)  # type: ignore[arg-type]
    limit = TOLERANCES["fp32"]
    scale = decision_scale(threshold.value, (outcome.score for outcome in reference))
    golden = Golden(
        schema=GOLDEN_SCHEMA,
        images=tuple(images),
        maps_file=GOLDEN_MAPS,
        score_tolerance=limit.score * scale,
        map_tolerance=limit.map * scale,
    )
    write_json(folder / GOLDEN, golden)


def _type_of(outcome: Outcome, threshold: float, recipe: Recipe) -> str | None:
    """Return the type of a part by its regions; None if it passes or the model has no types."""
    if outcome.type_logits is None or not outcome.score > threshold:
        return None
    size_wh = (outcome.map.shape[1], outcome.map.shape[0])
    name = namer(recipe.type_evidence, recipe.defect_types, outcome.type_logits, size_wh)
    return predicted_type(find_regions(outcome.map, threshold, size_wh, namer=name))
