"""Train, build and evaluate a preset on the development sets, beside references.

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
them on its customary grid of stride 8. Recall at 1 % and 5 % false rejects takes its thresholds
from test/good; "recall" and "false rejects" are at the shipped threshold.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from benchmarks.image_sets import SETS, find_set
from benchmarks.marked_table import replace_table
from benchmarks.references import padim, patchcore, patchcore_1000, pooled
from edge.bundle.store import open_bundle
from edge.config.station import EngineSettings
from edge.data.frames import InputShape, network_inputs
from edge.data.image_set import ImageSet, hold_out, read_image_set, read_mask, read_pixels
from edge.engines.load import load_engine, load_types_engine
from edge.evaluation.evaluate import evaluate
from edge.evaluation.metrics import rank, recalls_at
from edge.evaluation.pixel_metrics import evaluation_size
from edge.evaluation.pixel_ranking import rank_pixels
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
            wanted = () if options.no_references else [m for m in REFERENCES if m not in known]
            if f"{options.name} {options.preset}" not in known:
                new = measure(name, seed, options, wanted)
            elif wanted:
                data = find_set(name, options.work)
                run = trained(name, seed, data, options)
                new = references(name, seed, read_image_set(data), run, wanted)
            else:
                continue
            rows += new
            with store.open("a", encoding="utf-8") as file:
                file.writelines(json.dumps(row) + "\n" for row in new)
    rows = [row for row in rows if row["set"] in options.sets and row["seed"] in options.seeds]
    if options.out:
        replace_table(options.out, options.name, render(rows, options))


def measure(name: str, seed: int, options: argparse.Namespace, wanted: Sequence[str]) -> list[dict]:
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
    return rows + references(name, seed, judged[method], run, wanted)


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


def references(
    name: str, seed: int, images: ImageSet, run: Path, wanted: Sequence[str]
) -> list[dict]:
    if not wanted:
        return []
    record = read_record(run)
    shape = InputShape(record.model.size_wh)
    train = images.train
    if not record.training.shares:
        train, _ = hold_out(images.train, images.has_groups, seed)
    model = read_model(run, record)

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
    for stride, known_methods in ((PATCHCORE_STRIDE, PATCHCORES), (None, OTHERS)):
        methods = [method for method in known_methods if method in wanted]
        if not methods:
            continue
        detector = plain_detector(model, stride)
        known, unknown = features(detector, train), features(detector, images.test)
        grid_hw, map_hw = detector.features.grid_hw, detector.smooth.size_hw
        for method in methods:
            found = REFERENCES[method](known, unknown, grid_hw, map_hw, seed)
            image, at = rank(labels, found.scores), recalls_at(labels, found.scores)
            row = {
                "set": name, "seed": seed, "method": method, "image_auroc": image.auroc,
                "image_ap": image.ap, "image_f1_max": image.f1_max, "search_ms": found.search_ms,
            }  # fmt: skip
            row |= {f"recall_at_{100 * rate:.0f}_percent": value for rate, value in at.items()}
            if found.maps is not None and any(mask.any() for mask in masks):
                maps = [upsample(m, size) for m, size in zip(found.maps, sizes) if size]
                pixels = rank_pixels(maps, masks)
                pixel = pixels.ranking
                row |= {
                    "pixel_auroc": pixel.auroc, "pixel_ap": pixel.ap,
                    "pixel_f1_max": pixel.f1_max, "aupro": pixels.aupro,
                }  # fmt: skip
            rows.append(row)
    return rows


def plain_detector(model: Detector, stride: int | None) -> Detector:
    """The model's features on a grid of `stride`, None for its own, without branches."""
    backbone = model.settings.backbone
    if stride is not None:
        backbone = backbone.model_copy(update={"stride": stride})
    plain = {"backbone": backbone, "branches": BranchSettings()}
    detector = Detector(model.settings.model_copy(update=plain))
    detector.features.load_state_dict(model.features.state_dict())
    return detector.eval()


def upsample(anomaly_map, size_wh):
    import cv2

    return cv2.resize(anomaly_map, size_wh, interpolation=cv2.INTER_LINEAR)


def command(name: str, *arguments) -> None:
    code = f"from edge.cli.{name} import main; main()"
    subprocess.run([sys.executable, "-c", code, *map(str, arguments)], check=True)


PATCHCORES = {"patchcore": patchcore, "patchcore-1000": patchcore_1000}
PATCHCORE_STRIDE = 8
OTHERS = {"padim": padim, "pooled": pooled}
REFERENCES = PATCHCORES | OTHERS
COLUMNS = {
    "image_auroc": "image AUROC", "image_ap": "image AP", "image_f1_max": "image F1-max",
    "pixel_auroc": "pixel AUROC", "pixel_ap": "pixel AP", "pixel_f1_max": "pixel F1-max",
    "aupro": "AUPRO", "recall_at_1_percent": "recall at 1 %",
    "recall_at_5_percent": "recall at 5 %", "false_reject_rate": "false rejects",
    "alpha": "asked for", "bound95": "bound", "recall": "recall",
    "type_accuracy": "types right", "ms": "ms per frame",
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
    remaining = [
        remaining_error(rows, ours, column)
        for column in ("image_auroc", "recall_at_1_percent", "recall_at_5_percent", "aupro")
    ]
    return "\n".join([*lines, "", *filter(None, remaining)]) + "\n"


def remaining_error(rows: list[dict], ours: str, column: str) -> str | None:
    """Compare 1 - metric with the best reference of every set, mean over the seeds."""
    found: dict[str, dict[str, list[float]]] = {}
    for row in rows:
        value = row.get(column)
        if value is not None and not np.isnan(value):
            found.setdefault(row["set"], {}).setdefault(row["method"], []).append(1 - value)
    parts, pairs = [], []
    for name, methods in found.items():
        errors = {method: float(np.mean(values)) for method, values in methods.items()}
        known = [method for method in REFERENCES if method in errors]
        if ours in errors and known:
            best = min(known, key=errors.__getitem__)
            pairs.append((errors[ours], errors[best]))
            parts.append(f"{name} {errors[ours]:.3f} ({best} {errors[best]:.3f})")
    if not pairs:
        return None
    mean, reference = np.mean(pairs, 0)
    change = 100 * (1 - mean / reference) if reference else 0
    return (
        f"Remaining error of {COLUMNS[column]}, in brackets the best reference of the set: "
        f"{', '.join(parts)}; mean {mean:.3f} ({reference:.3f}), {abs(change):.0f} % "
        f"{'smaller' if change >= 0 else 'larger'}.\n"
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
