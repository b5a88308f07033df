"""What every stage of the five methods adds on the development sets, on `lite`.

    python -m benchmarks.ablation --work runs/ablation --sets pcb_traces --seeds 0
    python -m benchmarks.ablation --work runs/ablation --sets pcb_traces magnetic_tile \\
        --seeds 0 1 2 --out docs/methods.md

Rows and finished runs in the work folder are kept: an interrupted measurement goes on, and runs of
benchmarks.quality in the same folder serve as they are. Rows are kept by set and seed, so several
processes may work on one folder, each on its own sets or seeds. --render measures nothing.
Types are learned from 10 labelled pictures of each; these are left out of every figure.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.ablation_figures import figures, named_as
from benchmarks.ablation_table import render
from benchmarks.image_sets import find_set
from benchmarks.marked_table import replace_table
from benchmarks.quality import command
from benchmarks.region_stage import cell_error, picture_error, region_figures
from edge.data.image_set import read_image_set
from edge.methods.run import read_record
from edge.training.run_folder import MODEL

LABELLED = 10
# Fixed beforehand: two types of each set that are left out and added by their words.
ADDED = {
    "pcb_traces": ("pinhole", "spurious_copper"),
    "magnetic_tile": ("blowhole", "crack"),
}
SETS = tuple(ADDED)
KEPT = (
    "type_accuracy", "type_ap", "negation_error", "negation_regions", "false_rejects_95",
    "false_rejects_95_veto", "pixel_ap", "image_auroc", "recall", "false_reject_rate", "good",
    "defective", "left_out", "confusion", "veto",
)  # fmt: skip


@dataclass(frozen=True)
class Place:
    """One set and one seed, and where their runs are."""

    name: str
    seed: int
    options: argparse.Namespace

    @property
    def data(self) -> Path:
        return find_set(self.name, self.options.work)

    def folder(self, kind: str) -> Path:
        return self.options.work / f"{self.name}-{self.seed}-{kind}"

    @property
    def inp_run(self) -> Path:
        return self.train("fused", "--data", self.data, *self.options.train_args.split())

    def train(self, kind: str, *arguments) -> Path:
        """A finished run, trained unless it is there."""
        run = self.folder(kind)
        if not (run / MODEL).is_file():
            command("train", "--out", run, "--seed", self.seed, *arguments)
        return run

    def types(self, kind: str, data: Path, *arguments) -> Path:
        """The run of INP-Former, after learning types."""
        run = self.folder(kind)
        if not (run / MODEL).is_file():
            shutil.rmtree(run, ignore_errors=True)  # it does not go on where it stopped
        return self.train(
            kind, "--method", "types", "--run", self.inp_run, "--data", data,
            "--labelled", LABELLED, *arguments,
        )  # fmt: skip

    def aligned(self, method: str, *arguments, kind: str = "", data: Path | None = None) -> Path:
        """A run of MultiADS, MAVIS or DAPO on this set alone, or on another form of it."""
        data = data or self.data
        return self.train(
            f"ablation-{kind or method}", "--method", method, "--data", data, "--target", data,
            "--labelled", LABELLED, *self.options.adapter_args.split(), *arguments,
        )  # fmt: skip

    def measure(self, run: Path) -> dict:
        """Build the run's bundle and measure it."""
        bundle = run.with_name(f"{run.name}-bundle")
        command("build", run, "--out", bundle)
        return self.figures(bundle)

    def figures(self, bundle: Path) -> dict:
        found = figures(bundle, read_image_set(self.data), self.options.threads)
        return {name: found.get(name) for name in KEPT}


def base(place: Place) -> list[dict]:
    run = place.types("ablation-types", place.data)
    return [place.measure(run) | {"regions_right": read_record(run).types.accuracy}]


def negation(place: Place) -> list[dict]:
    run = place.types("ablation-negation", place.data, "--negation")
    told = read_record(run).types
    return [place.measure(run) | {"regions_right": told.accuracy, **told.negation.model_dump()}]


def multiads(place: Place) -> list[dict]:
    return [place.measure(place.aligned("multiads"))]


def mavis(place: Place) -> list[dict]:
    return [place.measure(place.aligned("mavis", "--n-pair", "patch"))]


def dapo(place: Place) -> list[dict]:
    return [with_errors(place, place.aligned("dapo"))]


def mavis_image(place: Place) -> list[dict]:
    run = place.aligned("mavis", "--n-pair", "image", kind="mavis-image")
    return [with_errors(place, run)]


def mavis_both(place: Place) -> list[dict]:
    levels = ("--n-pair", "image", "--n-pair", "patch")
    return [with_errors(place, place.aligned("mavis", *levels, kind="mavis-both"))]


def with_errors(place: Place, run: Path) -> dict:
    """Figures of the run's bundle, and what is nearest to good cells and pictures."""
    images = read_image_set(place.data)
    nearest = {
        "nearest_error": cell_error(run, images),
        "picture_error": picture_error(run, images),
    }
    return place.measure(run) | nearest


def cells(place: Place) -> list[dict]:
    runs = {
        "multiads": place.aligned("multiads"),
        "mavis": place.aligned("mavis", "--n-pair", "patch"),
    }
    images = read_image_set(place.data)
    return [{method: cell_error(run, images) for method, run in runs.items()}]


def regions(place: Place) -> list[dict]:
    run = place.aligned("mavis", "--n-pair", "patch")
    return [region_figures(run, read_image_set(place.data))]


def refiner(place: Place) -> list[dict]:
    run = place.train(
        "ablation-refine", "--data", place.data, "--refine", *place.options.train_args.split()
    )
    return [place.measure(run) | {"refiner": read_record(run).refiner.model_dump()}]


def add_type(place: Place) -> list[dict]:
    return added(place, lambda kind, data: place.types(f"ablation-without-{kind}", data))


def add_type_dapo(place: Place) -> list[dict]:
    def train(kind: str, data: Path) -> Path:
        return place.aligned("dapo", kind=f"dapo-without-{kind}", data=data)

    return added(place, train)


def added(place: Place, train: Callable[[str, Path], Path]) -> list[dict]:
    """Leave a type out, add it by its word, and see how it is named."""
    rows = []
    for kind in ADDED[place.name]:
        run = train(kind, without(place, kind))
        old, new = (run.with_name(f"{run.name}-{which}") for which in ("bundle", "added"))
        command("build", run, "--out", old)
        word = kind.replace("_", " ")
        shutil.rmtree(new, ignore_errors=True)
        command("recipe", "add-type", old, word, "--run", run, "--out", new)
        row = place.figures(new)
        detected, right = named_as(row, kind, word)
        rows.append(row | {"added": kind, "detected": detected, "right": right})
    return rows


def without(place: Place, kind: str) -> Path:
    """The set without one type, under the set's own name."""
    folder = place.folder(f"data-without-{kind}") / place.name
    if not folder.is_dir():
        source = place.data.resolve()
        for part in ("test", "ground_truth"):
            (folder / part).mkdir(parents=True)
            for path in sorted((source / part).iterdir()):
                if path.name != kind:
                    (folder / part / path.name).symlink_to(path)
        for name in ("train", "split.csv"):
            (folder / name).symlink_to(source / name)
    return folder


STAGES: dict[str, Callable[[Place], list[dict]]] = {
    "base": base, "negation": negation, "multiads": multiads, "dapo": dapo,
    "mavis-image": mavis_image, "mavis": mavis, "mavis-both": mavis_both, "cells": cells,
    "regions": regions, "refiner": refiner, "add-type": add_type, "add-type-dapo": add_type_dapo,
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", nargs="+", default=list(SETS), choices=SETS)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--stages", nargs="+", default=list(STAGES), choices=STAGES)
    parser.add_argument("--train-args", default="", help="more options for INP-Former's edge-train")
    parser.add_argument("--adapter-args", default="", help="the same for multiads, dapo and mavis")
    parser.add_argument("--threads", type=int, default=0, help="of the judging engine")
    parser.add_argument("--work", type=Path, default=Path("runs/ablation"))
    parser.add_argument("--out", type=Path, help="file whose marked table is replaced")
    parser.add_argument("--render", action="store_true", help="only write what was measured")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    if not options.render:
        for seed in options.seeds:
            for name in options.sets:
                measure(Place(name, seed, options))
    table = render(read_rows(options), options.sets)
    print(table)
    if options.out:
        replace_table(options.out, "ablation", table)


def measure(place: Place) -> None:
    store = rows_file(place.options.work, place.name, place.seed)
    for stage in place.options.stages:
        if any(row["stage"] == stage for row in stored(store)):
            continue
        found = [
            {"set": place.name, "seed": place.seed, "stage": stage, **row}
            for row in STAGES[stage](place)
        ]
        with store.open("a", encoding="utf-8") as file:
            file.writelines(json.dumps(row) + "\n" for row in found)


def rows_file(work: Path, name: str, seed: int) -> Path:
    return work / f"ablation-{name}-{seed}.jsonl"


def stored(store: Path) -> list[dict]:
    return [json.loads(line) for line in store.read_text().splitlines()] if store.exists() else []


def read_rows(options: argparse.Namespace) -> list[dict]:
    files = [rows_file(options.work, n, s) for n in options.sets for s in options.seeds]
    return [row for file in files for row in stored(file)]


if __name__ == "__main__":
    main()
