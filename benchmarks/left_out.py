"""How well a run that learned some types of defects detects a type that nobody labelled.

    python -m benchmarks.left_out --work runs/quality --sets magnetic_tile pcb_traces

Reads finished runs of benchmarks.quality. Each type in turn is left out of the labelled defects
that the run learns; its pictures are then scored before and after learning. As a check, one row
learns all types ("nothing" is left out): known types must gain.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch

from benchmarks.image_sets import SETS, find_set
from edge.data.frames import network_inputs
from edge.data.image_set import Sample, read_image_set, read_pixels
from edge.data.labelled_pictures import labelled
from edge.errors import EdgeError
from edge.evaluation.metrics import auroc
from edge.methods.inp_former.detector import Detector
from edge.methods.inp_former.labelled_defects import learn_defects
from edge.methods.run import read_model, read_record
from edge.methods.types.map_learning import Ground, calibrated, read_ground
from edge.toolchain.packing.thresholds import fit_threshold

NOTHING = "nothing"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", nargs="+", default=["magnetic_tile", "pcb_traces"], choices=SETS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--labelled", type=int, default=10, help="defects of each type to learn")
    parser.add_argument("--work", type=Path, default=Path("runs/quality"))
    options = parser.parse_args()
    print("| set | left out | pictures | AUROC before | after | recall before | after | "
          "false rejects before | after |")  # fmt: skip
    print("|---" * 9 + "|")
    for name in options.sets:
        measure(name, options)


def measure(name: str, options: argparse.Namespace) -> None:
    """Print a row for each type of a set, their mean, and one with nothing left out."""
    run = options.work / f"{name}-{options.seed}-fused"
    record = read_record(run)
    folder = find_set(name, options.work)
    images = read_image_set(folder)
    ground = read_ground(run, [folder], [images], record, read_model(run, record))
    test = images.test
    own = labelled(test, options.labelled, np.random.default_rng(options.seed))
    shown = {sample.path for sample in own}
    others = [sample for sample in test if sample.path not in shown]
    scores = judge(ground.detector, ground, others)
    rows = []
    for kind in (*sorted({sample.label for sample in own}), NOTHING):
        training_set = [sample for sample in own if sample.label != kind]
        detector, _ = learn_defects(
            ground.detector, training_set, ground.products, ground.shape, options.seed,
            lambda _: None, known=ground.known,
        )  # fmt: skip
        chosen = [s.is_good or kind in (s.label, NOTHING) for s in others]
        is_defect = np.array([not s.is_good for s in others])[chosen]
        figures = [
            figures_of(is_defect, found[chosen], threshold)
            for found, threshold in (scores, judge(detector, ground, others))
        ]
        row = np.array(figures).T.reshape(-1)
        if kind == NOTHING:
            show(name, "mean of types", "", np.mean(rows, 0))
        rows.append(row)
        show(name, kind, str(int(is_defect.sum())), row)


def judge(detector: Detector, ground: Ground, samples: list[Sample]) -> tuple[np.ndarray, float]:
    """Scores of samples (n,), and the threshold that the bundle would have."""
    shape = ground.shape
    detector, calibration = calibrated(detector, ground, lambda _: None)
    threshold = fit_threshold(calibration.scores, calibration.groups).value
    scores = []
    for sample in samples:
        frames = torch.from_numpy(network_inputs(read_pixels(sample.path), shape))
        with torch.no_grad():
            scores.append(float(detector(frames).score.max()))
    return np.array(scores), threshold


def figures_of(
    is_defect: np.ndarray, scores: np.ndarray, threshold: float
) -> tuple[float, float, float]:
    """AUROC, recall and false-reject rate."""
    rejected = scores > threshold
    return auroc(is_defect, scores), rejected[is_defect].mean(), rejected[~is_defect].mean()


def show(name: str, kind: str, pictures: str, row: np.ndarray) -> None:
    print(f"| {name} | {kind} | {pictures} | " + " | ".join(f"{x:.3f}" for x in row) + " |",
          flush=True)  # fmt: skip


if __name__ == "__main__":
    try:
        main()
    except EdgeError as error:
        raise SystemExit(f"error: {error}") from error
