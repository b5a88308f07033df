"""How often the choice of the network size by synthetic defects is right.

    python -m benchmarks.sizes --work runs/sizes --out docs/quality.md

Every candidate size of every set is judged on test pictures by a detector without decoder training
(memory bank, statistics of positions, probe), and beside it stands what the choice by good parts
alone sees (edge.methods.inp_former.sizing). Test pictures choose nothing. Some pictures of each set
will do (--train, --test): the figures compare sizes, they are not those of a finished run. Times
are of the processor, so that other work on the machine hardly counts.
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from benchmarks.image_sets import SETS, find_set
from benchmarks.marked_table import replace_table
from edge.data.frames import InputShape, network_inputs
from edge.data.image_set import frame_size, hold_out, read_image_set, read_pixels
from edge.evaluation.metrics import rank, recalls_at
from edge.methods.inp_former.branch_fitting import fit_branches
from edge.methods.inp_former.branches import PROBE
from edge.methods.inp_former.calibration import scaled
from edge.methods.inp_former.fusion_fitting import PROBE_SHARE, with_shares
from edge.methods.inp_former.planning import build
from edge.methods.inp_former.probe_fitting import (
    SYNTHETIC_RIDGE,
    fit_probe,
    probe_of,
    synthetic_cells,
)
from edge.methods.inp_former.settings import ModelSettings
from edge.methods.inp_former.sizing import best_size, choose_size, without_training
from edge.methods.inp_former.training_settings import TrainingSettings
from edge.methods.presets import candidate_sizes, find_preset, model_settings
from edge.training.feature_cache import FeatureCache, extract

PROBE_DEFECTS = 120
PROBE_PICTURES = 40
HELD_OUT = 60


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", nargs="+", default=list(SETS), choices=SETS)
    parser.add_argument("--presets", nargs="+", default=["lite"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--train", type=int, default=120, help="pictures of a set at most")
    parser.add_argument("--test", type=int, default=200, help="pictures of a set at most")
    parser.add_argument("--no-trial", action="store_true", help="judge test pictures only")
    parser.add_argument("--work", type=Path, default=Path("runs/sizes"))
    parser.add_argument("--out", type=Path, help="file whose table `sizes` is replaced")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    store = options.work / "rows.jsonl"
    rows = [json.loads(line) for line in store.read_text().splitlines()] if store.exists() else []
    for seed, name, preset in itertools.product(options.seeds, options.sets, options.presets):
        done = [r for r in rows if (r["set"], r["preset"], r["seed"]) == (name, preset, seed)]
        for row in measure(name, preset, seed, options, done):
            print(json.dumps(row), flush=True)
            rows.append(row)
            with store.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
    if options.out:
        replace_table(options.out, "sizes", table(rows))


def measure(
    name: str, preset_name: str, seed: int, options: argparse.Namespace, done: list[dict]
) -> Iterator[dict]:
    """Judge all sizes of a set but those that are done, and choose one."""
    images = read_image_set(find_set(name, options.work))
    train, held_out = hold_out(images.train, images.has_groups, seed)
    train, test = spread(train, options.train), spread(images.test, options.test)
    preset = find_preset(preset_name)
    candidates = candidate_sizes(preset, frame_size(train))
    if len(done) == len(candidates):
        return

    def detector_at(size):
        model = without_training(model_settings(preset, size, preset.weights))
        return build(model, preset.weights, 0)

    trials, chosen, seconds = (), None, None
    if not options.no_trial:
        start = time.process_time()
        trials = choose_size(candidates, detector_at, train, held_out, seed, lambda _: None)
        seconds = round(time.process_time() - start, 1)
        chosen = best_size(trials)
    figures = {trial.size_wh: trial.auroc for trial in trials}
    for size in candidates:
        if list(size) not in [row["size"] for row in done]:
            found = judge(preset, size, train, held_out[:HELD_OUT], test, seed)
            yield {
                "set": name, "preset": preset_name, "seed": seed, "size": list(size),
                "synthetic": figures.get(size), "is_chosen": size == chosen,
                "trial_s": seconds, **found,
            }  # fmt: skip


@torch.no_grad()
def judge(preset, size, train, held_out, test, seed) -> dict:
    """Metrics of a detector without decoder training on test pictures."""
    model = model_settings(preset, size, preset.weights)
    model = model.model_copy(
        update={
            "branches": model.branches.model_copy(update={"image_dims": 0}),
            "inp_former": model.inp_former.model_copy(update={"judge_by": "nothing"}),
        }
    )
    detector = build(ModelSettings.model_validate(model.model_dump()), preset.weights, 0)
    shape = InputShape(size)
    times = []

    def features(sample):
        inputs = network_inputs(read_pixels(sample.path), shape)
        start = time.process_time()
        groups = extract(detector, inputs)
        times.append(time.process_time() - start)
        return groups

    known = [features(sample) for sample in train]
    arrays = [torch.cat(group).half().numpy() for group in zip(*known, strict=True)]
    detector = fit_branches(detector, FeatureCache(arrays), seed)
    training = TrainingSettings(seed=seed, probe_defects=PROBE_DEFECTS)
    some = spread(train, PROBE_PICTURES)
    shaped = probe_of(detector, PROBE)
    cells = synthetic_cells(detector, shaped, some, shape, training, lambda _: None)
    probe = fit_probe(shaped, cells, SYNTHETIC_RIDGE)
    detector = detector.replaced(branches=detector.branches.changed({PROBE: probe}))
    detector = with_shares(detector, [1, 1, 2 * PROBE_SHARE / (1 - PROBE_SHARE)])
    good = torch.cat([detector.branch_maps(features(sample)) for sample in held_out])
    detector = scaled(detector, good)
    maps = torch.cat([detector.branch_maps(features(sample)) for sample in test])
    scores = detector.judge(maps).score.numpy()
    labels = np.array([not sample.is_good for sample in test])
    return {
        "image_auroc": round(rank(labels, scores).auroc, 4),
        **{f"recall_at_{100 * r:.0f}_percent": round(v, 4) for r, v in
           recalls_at(labels, scores).items()},
        "features_ms": round(1e3 * float(np.median(times)), 1),
    }  # fmt: skip


def spread(samples, most):
    """At most so many of the samples, evenly spread over labels and names."""
    places = np.linspace(0, len(samples) - 1, min(most, len(samples))).round().astype(int)
    return [samples[place] for place in places]


COLUMNS = {
    "synthetic": "synthetic", "image_auroc": "image AUROC",
    "recall_at_1_percent": "recall at 1 %", "recall_at_5_percent": "recall at 5 %",
    "features_ms": "features, ms",
}  # fmt: skip


def table(rows: list[dict]) -> str:
    """One row per set, preset and size, mean over seeds; how often the size was chosen."""
    seeds = sorted({row["seed"] for row in rows})
    lines = [
        "| set | preset | size | " + " | ".join(COLUMNS.values()) + f" | chosen, of {len(seeds)} |",
        "|---" * (len(COLUMNS) + 4) + "|",
    ]
    for name, preset, size in dict.fromkeys(
        (row["set"], row["preset"], tuple(row["size"])) for row in rows
    ):
        own = [r for r in rows if (r["set"], r["preset"], tuple(r["size"])) == (name, preset, size)]
        cells = []
        for column in COLUMNS:
            values = [r[column] for r in own if r[column] is not None]
            digits = 1 if column == "features_ms" else 3
            cells.append(f"{np.mean(values):.{digits}f}" if values else "-")
        chosen = sum(row["is_chosen"] for row in own)
        lines.append(
            f"| {name} | {preset} | {size[0]}x{size[1]} | {' | '.join(cells)} | {chosen} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
