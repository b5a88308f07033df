"""False rejects of good parts, and recall, when light and place differ from training's.

    python -m benchmarks.other_shift runs/base/cookie-0-fused --data ../shared/data/cookie

Every test picture is judged as it is and after each change of edge.data.augmentation: exposure
-15 % and +15 %, a warmer and a cooler lamp (blue against red by 6 % each), moved by 5 pixels both
ways, turned by 2 degrees; grey sets keep their colour. The threshold is the one that edge-build
ships. The trained model gives the figures. --pictures judges so many of the good and of the
defective pictures, spread evenly.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from edge.data.augmentation import COLOUR_CHANGES, OTHER_SHIFT, Change, changed_view, is_grey
from edge.data.frames import InputShape, network_inputs
from edge.data.image_set import Sample, read_image_set, read_view
from edge.errors import EdgeError
from edge.evaluation.metrics import auroc
from edge.methods.run import read_calibration, read_model, read_record
from edge.toolchain.packing.thresholds import calibrated_threshold


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, nargs="+", help="finished runs")
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="set of each run")
    parser.add_argument("--pictures", type=int, help="of each kind; default all")
    options = parser.parse_args()
    if len(options.run) != len(options.data):
        raise SystemExit("--data: expected one folder for each run")
    print("| run | asked for | shift | false rejects | recall | AUROC |\n|---|---|---|---|---|---|")
    found = [
        measure(run, data, options.pictures)
        for run, data in zip(options.run, options.data, strict=True)
    ]
    for name in found[0]:
        row = np.mean([figures[name] for figures in found if name in figures], axis=0)
        show("mean", "", name, row)


def measure(run: Path, data: Path, pictures: int | None) -> dict[str, tuple[float, float, float]]:
    """Print and return (false rejects, recall, AUROC) of a run, by shift."""
    record = read_record(run)
    model = read_model(run, record)
    shape = InputShape(record.model.size_wh, record.tiles_wh, record.overlap)
    threshold = calibrated_threshold(read_calibration(run))
    test = read_image_set(data).test
    samples = [*spread(test, pictures, good=True), *spread(test, pictures, good=False)]
    is_defect = np.array([not sample.is_good for sample in samples])
    # No grey camera shows a change of colour.
    hidden = COLOUR_CHANGES if is_grey(read_view(samples[0]).pixels_bgr) else ()
    found = {}
    for name, change in {"none": lambda image: image, **OTHER_SHIFT}.items():
        if name in hidden:
            continue
        scores = judge(model, samples, shape, change)
        rejected = scores > threshold.value
        found[name] = (
            float(rejected[~is_defect].mean()),
            float(rejected[is_defect].mean()),
            float(auroc(is_defect, scores)),
        )
        show(run.name, f"{threshold.alpha:.3f}", name, found[name])
    return found


def spread(test: Sequence[Sample], count: int | None, *, good: bool) -> Sequence[Sample]:
    some = [sample for sample in test if sample.is_good == good]
    return some if count is None else some[:: max(1, len(some) // count)][:count]


@torch.no_grad()
def judge(model, samples: Sequence[Sample], shape: InputShape, change: Change) -> np.ndarray:
    scores = []
    for sample in samples:
        pixels = changed_view(read_view(sample), change)
        frames = torch.from_numpy(network_inputs(pixels, shape))
        scores.append(float(model(frames).score.max()))
    return np.array(scores)


def show(run: str, asked: str, shift: str, row: Sequence[float]) -> None:
    figures = " | ".join(f"{value:.3f}" for value in row)
    print(f"| {run} | {asked} | {shift} | {figures} |", flush=True)


if __name__ == "__main__":
    try:
        main()
    except EdgeError as error:
        raise SystemExit(f"error: {error}") from error
