"""What labelled defects teach a finished run: none, without masks, with masks.

    python -m benchmarks.labels --work runs/quality --sets magnetic_tile pcb_traces \
        --out docs/quality.md

Reads finished runs of benchmarks.quality. The figures are on test pictures of parts of which no
picture was labelled, and on test/good; thresholds for the recalls are those of these good pictures.
The labelled pictures are the same with and without masks.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import torch

from benchmarks.image_sets import SETS, find_set
from benchmarks.marked_table import replace_table
from edge.data.frames import InputShape, network_inputs
from edge.data.image_set import Sample, read_image_set, read_mask, read_view
from edge.data.labelled_pictures import labelled
from edge.errors import EdgeError
from edge.evaluation.metrics import auroc, recalls_at
from edge.evaluation.pixel_metrics import evaluation_size
from edge.evaluation.pixel_ranking import rank_pixels
from edge.methods.inp_former.detector import Detector
from edge.methods.inp_former.labelled_defects import learn_defects
from edge.methods.run import read_model, read_record
from edge.methods.types.map_learning import calibrated, read_ground
from edge.training.feature_cache import extract

TABLE = "labels"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", nargs="+", default=["magnetic_tile", "pcb_traces"], choices=SETS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--labelled", type=int, default=10, help="defects of each type to learn")
    parser.add_argument("--work", type=Path, default=Path("runs/quality"))
    parser.add_argument("--out", type=Path, help="file whose marked table is replaced")
    options = parser.parse_args()
    lines = [
        "| set | labels | pictures | image AUROC | AUPRO | recall at 1 % | at 5 % | kept |",
        "|---" * 8 + "|",
    ]
    for name in options.sets:
        lines += measure(name, options)
    print("\n".join(lines))
    if options.out:
        replace_table(options.out, TABLE, "\n".join(lines) + "\n")


def measure(name: str, options: argparse.Namespace) -> list[str]:
    """A row for each kind of labels of a set."""
    run = options.work / f"{name}-{options.seed}-fused"
    record = read_record(run)
    folder = find_set(name, options.work)
    before = read_model(run, record)
    images = read_image_set(folder)
    ground = read_ground(run, [folder], [images], record, before)
    shape, test = ground.shape, images.test
    own = labelled(test, options.labelled, np.random.default_rng(options.seed))
    detectors, kept = {"none": before}, {"none": "-"}
    for kind, samples in (
        ("without masks", [replace(sample, mask=None) for sample in own]),
        ("with masks", own),
    ):
        found, trial = learn_defects(
            before, samples, ground.products, shape, options.seed, lambda _: None,
            known=ground.known,
        )  # fmt: skip
        kept[kind] = "yes" if trial.is_kept else "no"
        if trial.is_kept:
            found, _ = calibrated(found, ground, lambda _: None)
        detectors[kind] = found
    parts = {sample.group for sample in own}
    others = [sample for sample in test if sample.is_good or sample.group not in parts]
    pictures = sum(not sample.is_good for sample in others)
    rows = []
    for kind, figures in judge(detectors, others, shape).items():
        values = " | ".join(f"{value:.3f}" for value in figures)
        rows.append(f"| {name} | {kind} | {pictures} | {values} | {kept[kind]} |")
    return rows


@torch.no_grad()
def judge(
    detectors: dict[str, Detector], samples: list[Sample], shape: InputShape
) -> dict[str, list[float]]:
    """Image AUROC, AUPRO and the recalls at 1 and 5 % of detectors with the same features."""
    scores: dict[str, list[float]] = {kind: [] for kind in detectors}
    maps: dict[str, list[np.ndarray]] = {kind: [] for kind in detectors}
    masks = []
    first = next(iter(detectors.values()))
    for sample in samples:
        pixels = read_view(sample).pixels_bgr
        groups = extract(first, network_inputs(pixels, shape))
        size_wh = evaluation_size(pixels.shape[1], pixels.shape[0])
        is_drawn = sample.is_good or sample.mask is not None
        if is_drawn:
            masks.append(read_mask(sample, size_wh))
        for kind, detector in detectors.items():
            found = detector.judge(detector.branch_maps(groups), detector.image_distance(groups))
            scores[kind].append(float(found.score.amax()))
            if is_drawn:
                whole = found.map[0].numpy()
                maps[kind].append(cv2.resize(whole, size_wh, interpolation=cv2.INTER_LINEAR))
    labels = np.array([not sample.is_good for sample in samples])
    figures = {}
    for kind in detectors:
        values = np.array(scores[kind])
        recalls = recalls_at(labels, values)
        figures[kind] = [
            auroc(labels, values), rank_pixels(maps[kind], masks).aupro, *recalls.values(),
        ]  # fmt: skip
    return figures


if __name__ == "__main__":
    try:
        main()
    except EdgeError as error:
        raise SystemExit(f"error: {error}") from error
