"""Runs of few good parts at once (edge-train --instant), held against the sets' test pictures.

    python -m benchmarks.instant --out docs/quality.md

Each draw takes so many good parts, one picture of each. The run is made in this process, with so
many threads as the machine has cores; processor time does not count the start of Python. The model
gives the figures, from features of the test pictures that are computed once for all draws; a
bundle's graph decides as the model does, or edge-build refuses it. The threshold is the usual one:
edge-build ships a lower one where that rejects none of its defects. Finished rows and features in
the work folder are kept.
"""

from __future__ import annotations

import argparse
import itertools
import json
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch

from benchmarks.image_sets import SETS, find_set
from benchmarks.marked_table import replace_table
from edge.data.frames import InputShape, network_inputs
from edge.data.image_set import ImageSet, Sample, read_image_set, read_mask, read_pixels
from edge.evaluation.metrics import rank
from edge.evaluation.pixel_metrics import evaluation_size
from edge.evaluation.pixel_ranking import rank_pixels
from edge.methods.inp_former.instant import fit_instant
from edge.methods.inp_former.planning import build
from edge.methods.inp_former.request import Request
from edge.methods.inp_former.settings import ModelSettings
from edge.methods.inp_former.training_settings import TrainingSettings
from edge.methods.presets import find_preset
from edge.methods.run import read_calibration, read_model
from edge.methods.run_record import RunRecord
from edge.toolchain.packing.thresholds import calibrated_threshold
from edge.training.feature_cache import extract

BATCH = 16
# Of a full training: rows `fused` of docs/quality.md, three seeds.
# fmt: off
FULL = {
    "magnetic_tile": {
        "image_auroc": 0.858,
        "aupro": 0.778,
        "recall": 0.345,
        "false_rejects": 0.036,
    },
    "pcb_traces": {"image_auroc": 0.996, "aupro": 0.987, "recall": 0.767, "false_rejects": 0.027},
    "cookie": {"image_auroc": 0.996, "aupro": 0.916, "recall": 1.0, "false_rejects": 0.119},
    "textile": {"image_auroc": 0.813, "recall": 0.376, "false_rejects": 0.003},
}
# fmt: on
COLUMNS = {
    "image_auroc": "image AUROC",
    "aupro": "AUPRO",
    "recall": "recall",
    "false_rejects": "false rejects",
    "alpha": "asked for",
    "bound95": "bound",
    "cpu_s": "CPU seconds",
}  # fmt: skip


class TestPictures:
    """Features of a set's test pictures at the scale of the backbone, and their masks.

    Features are kept in the file `kept`, for the next start with as many pictures.
    """

    def __init__(self, images: ImageSet, model: ModelSettings, weights: str, most: int, kept: Path):
        samples = spread(images.test, most)
        tokens, self.masks = [], []
        found = torch.load(kept, weights_only=True)["tokens"] if kept.exists() else None
        detector, shape = build(model, weights, 0), InputShape(model.size_wh)
        for sample in samples:
            pixels = read_pixels(sample.path)
            if found is None:
                groups = extract(detector, network_inputs(pixels, shape))
                tokens.append(torch.cat(groups, -1)[0].half())
            has_mask = sample.is_good or sample.mask is not None
            size = evaluation_size(*pixels.shape[1::-1])
            self.masks.append(read_mask(sample, size) if has_mask else None)
        self.tokens = torch.stack(tokens) if found is None else found
        if found is None:
            torch.save({"tokens": self.tokens}, kept)
        self.defective = np.array([not sample.is_good for sample in samples])

    @torch.no_grad()
    def judged(self, detector) -> tuple[np.ndarray, list[np.ndarray]]:
        """Scores (n,) and maps of the test pictures by a run's detector."""
        channels, rms = detector.features.channels, detector.features.rms
        scores, maps = [], []
        for start in range(0, len(self.tokens), BATCH):
            groups = self.tokens[start : start + BATCH].float().split(channels, -1)
            scaled = tuple(group / scale for group, scale in zip(groups, rms, strict=True))
            found = detector.judge(detector.branch_maps(scaled), detector.image_distance(scaled))
            scores.append(found.score)
            maps += list(found.map.numpy())
        return torch.cat(scores).numpy(), maps

    def figures(self, detector, threshold: float) -> dict[str, float]:
        """Metrics of a run on all test pictures."""
        scores, maps = self.judged(detector)
        rejected = scores > threshold
        found = {
            "image_auroc": rank(self.defective, scores).auroc,
            "recall": float(rejected[self.defective].mean()),
            "false_rejects": float(rejected[~self.defective].mean()),
        }
        shown = [(m, mask) for m, mask in zip(maps, self.masks, strict=True) if mask is not None]
        if any(mask.any() for _, mask in shown):
            resized = [cv2.resize(m, mask.shape[::-1]) for m, mask in shown]
            found["aupro"] = rank_pixels(resized, [mask for _, mask in shown]).aupro
        return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", nargs="+", default=list(SETS), choices=SETS)
    parser.add_argument("--parts", nargs="+", type=int, default=[1, 2, 5, 10, 20])
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--most", type=int, default=200, help="test pictures of a set")
    parser.add_argument("--work", type=Path, default=Path("runs/instant"))
    parser.add_argument("--out", type=Path, help="file whose marked table is replaced")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    store = options.work / "rows.jsonl"
    rows = [json.loads(line) for line in store.read_text().splitlines()] if store.exists() else []
    tests: dict[str, TestPictures] = {}
    for draw, name in itertools.product(range(options.draws), options.sets):
        images = read_image_set(find_set(name, options.work))
        for parts in options.parts:
            if any((r["set"], r["draw"], r["parts"]) == (name, draw, parts) for r in rows):
                continue
            run, record, seconds = made(images, parts, draw, options.work / "run")
            if name not in tests:
                kept = options.work / f"test-{name}-{options.most}.pt"
                tests[name] = TestPictures(images, record.model, record.weights, options.most, kept)
            calibration = read_calibration(run)
            threshold = calibrated_threshold(calibration)
            row = {
                    "set": name, "draw": draw, "parts": parts, "cpu_s": seconds,
                    "alpha": threshold.alpha, "bound95": threshold.bound95,
                    **tests[name].figures(read_model(run, record), threshold.value),
                }  # fmt: skip
            print(json.dumps(row), flush=True)
            rows.append(row)
            with store.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
    if options.out:
        replace_table(options.out, "instant", table(rows, options))


def spread(samples: Sequence[Sample], most: int) -> Sequence[Sample]:
    """At most so many of the samples, evenly spread over labels and names."""
    places = np.linspace(0, len(samples) - 1, min(most, len(samples))).round().astype(int)
    return [samples[place] for place in places]


def made(images: ImageSet, parts: int, draw: int, work: Path) -> tuple[Path, RunRecord, float]:
    """An instant run of some good parts, and the seconds of processor time that it took."""
    shutil.rmtree(work, ignore_errors=True)
    data, run = work / images.name, work / "instant"
    data.mkdir(parents=True)
    for sample in drawn(images.train, parts, draw):
        (data / sample.path.name).symlink_to(sample.path.resolve())
    training = TrainingSettings(seed=draw)
    request = Request(data=data, preset=find_preset("lite"), training=training, instant=True)
    start = time.process_time()
    record = fit_instant(request, run, lambda _stage, _units: lambda _done: None)
    return run, record, round(time.process_time() - start, 1)


def drawn(train: tuple[Sample, ...], parts: int, draw: int) -> list[Sample]:
    """One picture each of some parts."""
    rng = np.random.default_rng((draw, 39))
    names = rng.permutation(sorted({sample.group for sample in train}))[:parts]
    if len(names) < parts:
        raise SystemExit(f"the set has only {len(names)} good parts")
    return [_one_of([s for s in train if s.group == name], rng) for name in names]


def _one_of(samples: list[Sample], rng: np.random.Generator) -> Sample:
    return samples[int(rng.integers(len(samples)))]


def table(rows: list[dict], options: argparse.Namespace) -> str:
    """One row per set and number of parts that were measured, and one of a full training."""
    lines = [
        "| set | good parts | draws | " + " | ".join(COLUMNS.values()) + " |",
        "|---" * (len(COLUMNS) + 3) + "|",
    ]
    for name in options.sets:
        for parts in options.parts:
            chosen = [r for r in rows if (r["set"], r["parts"]) == (name, parts)]
            if not chosen:
                continue
            cells = " | ".join(cell([r[c] for r in chosen if c in r], c) for c in COLUMNS)
            lines.append(f"| {name} | {parts} | {len(chosen)} | {cells} |")
        full = " | ".join(f"{FULL[name][c]:.3f}" if c in FULL[name] else "-" for c in COLUMNS)
        lines.append(f"| {name} | full training | 3 | {full} |")
    return "\n".join(lines)


def cell(values: list[float], column: str) -> str:
    """Mean, and lowest and highest where they differ."""
    if not values:
        return "-"
    digits = 1 if column == "cpu_s" else 3
    low, high = min(values), max(values)
    spread = f" ({low:.{digits}f}..{high:.{digits}f})" if high > low else ""
    return f"{np.mean(values):.{digits}f}{spread}"


if __name__ == "__main__":
    main()
