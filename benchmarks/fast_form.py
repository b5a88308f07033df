"""The fast form beside the full form: what it loses. What it costs is in fast_form_speed.py.

    python -m benchmarks.fast_form --work runs/base --out docs/speed.md

Reads finished runs of benchmarks.quality and builds both bundles of each, with --int8 also INT8
graphs. Bundles and rows that are there are kept, unless --again. Quality is on labelled test
pictures, which nothing was trained or chosen on.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from benchmarks.image_sets import SETS, find_set
from benchmarks.marked_table import replace_table
from edge.bundle.store import Bundle, open_bundle
from edge.config.station import EngineSettings
from edge.data.image_set import hold_out, read_image_set, read_pixels
from edge.engines.load import load_engine
from edge.errors import EdgeError
from edge.evaluation.evaluate import evaluate
from edge.evaluation.metrics import recall_at
from edge.toolchain.fast_form.agreement import AGREEMENT
from edge.toolchain.quantization.calibration_set import freeze_calibration_set

CALIBRATION_PICTURES = 64
FORMS = ("full", "fast")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", nargs="+", default=list(SETS), choices=SETS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=Path, default=Path("runs/base"), help="folder of the runs")
    parser.add_argument("--bundles", type=Path, default=Path("runs/fast"), help="folder to write")
    parser.add_argument("--int8", action="store_true", help="bundles with INT8 graphs, too")
    parser.add_argument("--out", type=Path, help="file whose marked table is replaced")
    parser.add_argument("--again", action="store_true", help="build and measure anew")
    options = parser.parse_args()
    options.bundles.mkdir(parents=True, exist_ok=True)
    text = quality(options)
    print(f"\n{text}", flush=True)
    if options.out:
        replace_table(options.out, "fast form quality", text)


def built(name: str, form: str, options: argparse.Namespace) -> Bundle:
    """The bundle of a form, built unless it is there."""
    folder = options.bundles / f"{name}-{options.seed}-{form}"
    if options.again or not (folder / "bundle.json").is_file():
        run = options.work / f"{name}-{options.seed}-fused"
        data = find_set(name, options.bundles)
        arguments = ["--fast", "--accept-lower", "--data", data] if form == "fast" else []
        if options.int8:
            arguments += ["--int8", calibration(name, data, options)]
        code = "from edge.cli.build import main; main()"
        start = time.perf_counter()
        command = [sys.executable, "-c", code, run, "--out", folder, *arguments]
        subprocess.run(list(map(str, command)), check=True)
        print(f"{name}: {form} form built in {time.perf_counter() - start:.0f} s", flush=True)
    return open_bundle(folder)


def calibration(name: str, data: Path, options: argparse.Namespace) -> Path:
    """A calibration set of good training pictures."""
    folder = options.bundles / f"{name}-calibration"
    if not folder.is_dir():
        images = read_image_set(data)
        train, _ = hold_out(images.train, images.has_groups, options.seed)
        some = train[:: max(1, len(train) // CALIBRATION_PICTURES)][:CALIBRATION_PICTURES]
        pictures = ((read_pixels(sample.path), sample.path.name) for sample in some)
        freeze_calibration_set(folder, pictures, f"training pictures of {name}")
    return folder


def quality(options: argparse.Namespace) -> str:
    """A row per set and form, then the means."""
    store = options.bundles / "rows.json"
    rows = json.loads(store.read_text()) if store.is_file() and not options.again else {}
    for name in options.sets:
        for form in FORMS:
            key = f"{name} {options.seed} {form}"
            if key not in rows:
                rows[key] = figures(name, form, options)
                store.write_text(json.dumps(rows, indent=1))
                print(key, rows[key], flush=True)
    columns = ("image AUROC", "AUPRO", "recall at 1 %", "recall at 5 %")
    head = "| set | form | " + " | ".join(columns) + " | beside the full form, held out |"
    lines = [head, "|---" * (len(columns) + 3) + "|"]
    for form in FORMS:
        found = [rows[f"{name} {options.seed} {form}"] for name in options.sets]
        for name, row in zip(options.sets, found, strict=True):
            lines.append(line(name, form, [row[c] for c in columns], row["agreement"]))
        means = [np.mean([row[c] for row in found if row[c] is not None]) for c in columns]
        lines.append(line("mean", form, means, ""))
    return "\n".join(lines)


def figures(name: str, form: str, options: argparse.Namespace) -> dict[str, object]:
    """Figures of one form on the set's test pictures."""
    bundle = built(name, form, options)
    images = read_image_set(find_set(name, options.bundles))
    with load_engine(bundle, EngineSettings()) as engine:
        found = evaluate(bundle, engine, images, lambda _: None)
    labels = np.array([not part.sample.is_good for part in found.parts])
    scores = np.array([part.score for part in found.parts])
    agreement = ""
    if form == "fast":
        seen = json.loads((bundle.folder / AGREEMENT).read_text())
        agreement = (
            f"rank correlation {seen['rank_correlation']:.3f}, "
            f"{seen['verdict_flips']:.1%} verdicts flipped"
        )
    return {
        "image AUROC": found.image_auroc,
        "AUPRO": None if np.isnan(found.aupro) else found.aupro,
        "recall at 1 %": recall_at(labels, scores, 0.01),
        "recall at 5 %": recall_at(labels, scores, 0.05),
        "agreement": agreement,
    }


def line(name: str, form: str, values, last: str) -> str:
    cells = " | ".join("-" if value is None else f"{value:.3f}" for value in values)
    return f"| {name} | {form} | {cells} | {last} |"


if __name__ == "__main__":
    try:
        main()
    except EdgeError as error:
        raise SystemExit(f"error: {error}") from error
