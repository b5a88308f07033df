"""Train, build and evaluate a preset on the development sets, beside PatchCore and PaDiM.

    python -m benchmarks.quality --seeds 0 1 2 --out docs/quality.md
    python -m benchmarks.quality --name labelled --labelled 10 --seeds 0 1 2 --out docs/quality.md \
        --sets magnetic_tile pcb_traces cookie

With --labelled the runs of the first command learn from so many labelled defects of each type;
these pictures are left out of our figures, not out of the references'. The rows "other parts" also
leave out other pictures of the parts that they show.
Rows and finished runs in the work folder are kept, unless --again: an interrupted measurement
goes on.
Thresholds, sizes and weights are chosen on held-out good parts; test pictures only give the
figures. The references get the same features, network size and training pictures; PatchCore reads
them on its customary grid of stride 8.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from benchmarks.image_sets import SETS, find_set
from benchmarks.marked_table import replace_table
from benchmarks.references import padim, patchcore
from edge.bundle.store import open_bundle
from edge.config.station import EngineSettings
from edge.data.frames import InputShape, network_inputs
from edge.data.image_set import ImageSet, hold_out, read_image_set, read_mask, read_pixels
from edge.engines.load import load_engine, load_types_engine
from edge.evaluation.evaluate import evaluate, evaluation_size
from edge.evaluation.metrics import rank, rank_pixels
from edge.methods.inp_former.detector import Detector
from edge.methods.inp_former.settings import BranchSettings
from edge.methods.run import read_model, read_record
from edge.training.feature_cache import extract
from edge.training.run_folder import MODEL


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", nargs="+", default=list(SETS), choices=SETS)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--preset", default="lite")
    parser.add_argument("--train-args", default="", help="more options for edge-train")
    parser.add_argument("--name", default="fused", help="of our rows in the table")
    parser.add_argument("--labelled", type=int, default=0, help="defects of each type to learn")
    parser.add_argument("--work", type=Path, default=Path("runs/quality"))
    parser.add_argument("--out", type=Path, help="file whose marked table is replaced")
    parser.add_argument("--no-references", action="store_true")
    parser.add_argument("--again", action="store_true", help="forget rows measured before")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    store = options.work / "rows.jsonl"
    if options.again:
        store.unlink(missing_ok=True)
    rows = [json.loads(line) for line in store.read_text().splitlines()] if store.exists() else []
    for seed in options.seeds:
        for name in options.sets:
            known = {row["method"] for row in rows if (row["set"], row["seed"]) == (name, seed)}
            if f"{options.name} {options.preset}" in known:
                continue
            with_references = not options.no_references and "padim" not in known
            rows += (new := measure(name, seed, options, with_references=with_references))
            with store.open("a", encoding="utf-8") as file:
                file.writelines(json.dumps(row) + "\n" for row in new)
    rows = [row for row in rows if row["set"] in options.sets and row["seed"] in options.seeds]
    if options.out:
        replace_table(options.out, options.name, render(rows, options))


def measure(
    name: str, seed: int, options: argparse.Namespace, *, with_references: bool
) -> list[dict]:
    data = find_set(name, options.work)
    bundle_folder = options.work / f"{name}-{seed}-{options.name}-bundle"
    start = time.perf_counter()
    run = trained(name, seed, data, options)
    seconds = round(time.perf_counter() - start)
    command("build", run, "--out", bundle_folder)
    bundle = open_bundle(bundle_folder)
    method = f"{options.name} {options.preset}"
    judged = {method: read_image_set(data)}
    if options.labelled and judged[method].has_groups:
        judged[f"{method}, other parts"] = of_other_parts(judged[method], run)
    rows = []
    settings = EngineSettings()
    with load_engine(bundle, settings) as engine, load_types_engine(bundle, settings) as types:
        for label, images in judged.items():
            found = evaluate(bundle, engine, images, lambda _: None, types).as_json()
            score = bundle.thresholds.score
            rows.append(
                {
                    "set": name, "seed": seed, "method": label, "size": bundle.recipe.size_wh,
                    "train_s": seconds if seconds > 1 else None, "alpha": score.alpha,
                    "bound95": score.bound95, **found,
                }
            )  # fmt: skip
    if with_references:
        rows += references(name, seed, judged[method], run)
    return rows


def of_other_parts(images: ImageSet, run: Path) -> ImageSet:
    """The set without test pictures of parts that the run learned labelled defects from."""
    learned = set(read_record(run).types.own_defects)
    parts = {s.group for s in images.test if f"{s.label}/{s.path.name}" in learned}
    return replace(images, test=tuple(s for s in images.test if s.is_good or s.group not in parts))


def trained(name: str, seed: int, data: Path, options: argparse.Namespace) -> Path:
    """The run to measure, trained unless it is there."""
    fresh = ["--fresh"] if options.again else []
    run = options.work / f"{name}-{seed}-{'fused' if options.labelled else options.name}"
    if options.again or not (run / MODEL).is_file():
        command(
            "train", "--data", data, "--out", run, "--seed", seed, "--preset", options.preset,
            *fresh, *options.train_args.split(),
        )  # fmt: skip
    if not options.labelled:
        return run
    learned = options.work / f"{name}-{seed}-{options.name}"
    if options.again or not (learned / MODEL).is_file():
        command(
            "train", "--method", "types", "--run", run, "--data", data, "--out", learned, "--seed",
            seed, "--labelled", options.labelled, *fresh,
        )  # fmt: skip
    return learned


def references(name: str, seed: int, images, run: Path) -> list[dict]:
    record = read_record(run)
    shape = InputShape(record.model.size_wh)
    train, _ = hold_out(images.train, images.has_groups, seed)

    grids = {}
    for method, stride in (("patchcore", 8), ("padim", record.model.backbone.stride)):
        backbone = record.model.backbone.model_copy(update={"stride": stride})
        plain = {"backbone": backbone, "branches": BranchSettings()}
        detector = Detector(record.model.model_copy(update=plain))
        detector.features.load_state_dict(read_model(run, record).features.state_dict())
        grids[method] = detector.eval()

    def features(detector, samples):
        out = []
        for sample in samples:
            groups = extract(detector, network_inputs(read_pixels(sample.path), shape))
            out.append(torch.cat(groups, -1)[0].numpy().astype(np.float16))
        return np.stack(out)

    labels = np.array([not sample.is_good for sample in images.test])
    sizes = [
        evaluation_size(*read_pixels(s.path).shape[1::-1]) if s.is_good or s.mask else None
        for s in images.test
    ]
    masks = [read_mask(s, size) for s, size in zip(images.test, sizes) if size]
    rows = []
    for method, run_reference in (("patchcore", patchcore), ("padim", padim)):
        detector = grids[method]
        known, unknown = features(detector, train), features(detector, images.test)
        found = run_reference(
            known, unknown, detector.features.grid_hw, detector.smooth.size_hw, seed
        )
        image = rank(labels, found.scores)
        row = {
            "set": name, "seed": seed, "method": method, "image_auroc": image.auroc,
            "image_ap": image.ap, "image_f1_max": image.f1_max, "search_ms": found.search_ms,
        }  # fmt: skip
        if any(mask.any() for mask in masks):
            maps = [upsample(m, size) for m, size in zip(found.maps, sizes) if size]
            pixels = rank_pixels(maps, masks)
            pixel = pixels.ranking
            row |= {
                "pixel_auroc": pixel.auroc, "pixel_ap": pixel.ap, "pixel_f1_max": pixel.f1_max,
                "aupro": pixels.aupro,
            }  # fmt: skip
        rows.append(row)
    return rows


def upsample(anomaly_map, size_wh):
    import cv2

    return cv2.resize(anomaly_map, size_wh, interpolation=cv2.INTER_LINEAR)


def command(name: str, *arguments) -> None:
    code = f"from edge.cli.{name} import main; main()"
    subprocess.run([sys.executable, "-c", code, *map(str, arguments)], check=True)


REFERENCES = ("patchcore", "padim")
COLUMNS = {
    "image_auroc": "image AUROC", "image_ap": "image AP", "image_f1_max": "image F1-max",
    "pixel_auroc": "pixel AUROC", "pixel_ap": "pixel AP", "pixel_f1_max": "pixel F1-max",
    "aupro": "AUPRO", "false_reject_rate": "false rejects", "alpha": "asked for",
    "bound95": "bound", "recall": "recall", "type_accuracy": "types right", "ms": "ms per frame",
}  # fmt: skip


def render(rows: list[dict], options: argparse.Namespace) -> str:
    """Write one table: a row per set and method, then the mean over sets, spread over seeds."""
    ours = f"{options.name} {options.preset}"
    methods = (ours, f"{ours}, other parts", *REFERENCES)
    rows = [row for row in rows if row["method"] in methods]
    for row in rows:
        row["ms"] = row.get("frame_ms_p50", row.get("search_ms"))
    columns = [c for c in COLUMNS if any(row.get(c) is not None for row in rows)]
    lines = [
        "| set | method | seeds | " + " | ".join(COLUMNS[c] for c in columns) + " |",
        "|---" * (len(columns) + 3) + "|",
    ]
    for name in [*options.sets, "mean"]:
        for method in methods:
            chosen = [r for r in rows if r["method"] == method and name in (r["set"], "mean")]
            if not chosen or (name == "mean" and "other" in method):
                continue
            seeds = len({row["seed"] for row in chosen})
            cells = " | ".join(cell(chosen, column) for column in columns)
            lines.append(f"| {name} | {method} | {seeds} | {cells} |")
    remaining = [remaining_error(rows, ours, column) for column in ("image_auroc", "aupro")]
    return "\n".join([*lines, "", *remaining]) + "\n"


def remaining_error(rows: list[dict], ours: str, column: str) -> str:
    """Compare 1 - metric with the better reference of every set, mean over the seeds."""
    found: dict[str, dict[str, float]] = {}
    for row in rows:
        if row.get(column) is not None:
            values = [
                1 - r[column]
                for r in rows
                if (r["set"], r["method"]) == (row["set"], row["method"]) and r.get(column)
            ]
            found.setdefault(row["set"], {})[row["method"]] = float(np.mean(values))
    own = {name: errors[ours] for name, errors in found.items()}
    best = {name: min(errors[m] for m in REFERENCES) for name, errors in found.items()}
    sets = ", ".join(f"{name} {own[name]:.3f} ({best[name]:.3f})" for name in found)
    mean, reference = np.mean(list(own.values())), np.mean(list(best.values()))
    smaller = 100 * (1 - mean / reference)
    return (
        f"Remaining error of {COLUMNS[column]}, in brackets the better reference of the set: "
        f"{sets}; mean {mean:.3f} ({reference:.3f}), {smaller:.0f} % smaller.\n"
    )


def cell(rows: list[dict], column: str) -> str:
    """Mean over sets for each seed, then mean and deviation over seeds."""
    by_seed = {}
    for row in rows:
        value = row.get(column)
        if value is not None and not np.isnan(value):
            by_seed.setdefault(row["seed"], []).append(value)
    if not by_seed:
        return "-"
    values = [np.mean(found) for found in by_seed.values()]
    digits = 1 if column == "ms" else 3
    spread = f" ± {np.std(values):.{digits}f}" if len(values) > 1 else ""
    return f"{np.mean(values):.{digits}f}{spread}"


if __name__ == "__main__":
    main()
