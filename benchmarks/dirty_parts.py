"""What unlabelled defects among the good training pictures cost, with and without --trim.

    python -m benchmarks.dirty_parts --sets cookie pcb_traces --shares 0 0.05 0.1 0.2 0.4

Half of the parts with defects are mixed into the good pictures, as many of their defective pictures
as make the wanted share; the test pictures of the other parts are judged. Both are the same for all
shares of a set: there are so many good pictures to train on that the largest share can be made. The
trained model gives the figures. Rows in the work folder are kept.
"""

from __future__ import annotations

import argparse
import csv
import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from benchmarks.image_sets import SETS, find_set
from benchmarks.quality import command
from edge.data.frames import InputShape, network_inputs
from edge.data.image_set import ImageSet, Sample, read_image_set, read_view
from edge.errors import EdgeError
from edge.evaluation.metrics import auroc
from edge.methods.run import read_model, read_record
from edge.training.run_folder import MODEL

COLUMNS = ("set", "share", "fit", "pictures", "defects", "AUROC", "left out", "defects left out")


@dataclass(frozen=True, slots=True)
class Mixture:
    """The pictures of one set.

    Attributes:
        good: to train on.
        pool: defective pictures, those mixed in first come first.
        rest: test pictures of other parts.
    """

    good: Sequence[Sample]
    pool: Sequence[Sample]
    rest: Sequence[Sample]

    def defects(self, share: float) -> Sequence[Sample]:
        """The defective pictures that are `share` of the training set."""
        return self.pool[: round(share / (1 - share) * len(self.good))]


def mixture(images: ImageSet, most: float, seed: int) -> Mixture:
    """Choose the pictures for shares up to `most`."""
    rng = np.random.default_rng(seed)
    parts = sorted({sample.group for sample in images.test if not sample.is_good})
    mixed = {parts[place] for place in rng.permutation(len(parts))[: len(parts) // 2]}
    pool = [s for s in images.test if not s.is_good and s.group in mixed]
    pool = [pool[place] for place in rng.permutation(len(pool))]
    count = min(len(images.train), int(len(pool) * (1 - most) / most)) if most else None
    some = sorted(rng.permutation(len(images.train))[:count].tolist())
    rest = [sample for sample in images.test if sample.group not in mixed]
    return Mixture([images.train[place] for place in some], pool, rest)


def write_set(folder: Path, good: Sequence[Sample], defects: Sequence[Sample]) -> None:
    """Link the pictures as good ones to train on, with a split.csv that names their parts."""
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "train" / "good").mkdir(parents=True)
    with (folder / "split.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(("file", "group"))
        for sample in (*good, *defects):
            name = f"train/good/{sample.label}-{sample.path.name}"
            (folder / name).symlink_to(sample.path.resolve())
            rows.writerow((name, sample.group))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", nargs="+", default=list(SETS), choices=SETS)
    parser.add_argument("--shares", nargs="+", type=float, default=[0, 0.05, 0.1, 0.2, 0.4])
    parser.add_argument("--fits", nargs="+", default=["plain", "trim"], choices=["plain", "trim"])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--train-args", default="", help="more options for edge-train")
    parser.add_argument("--work", type=Path, default=Path("runs/dirty_parts"))
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    store = options.work / "rows.jsonl"
    rows = [json.loads(line) for line in store.read_text().splitlines()] if store.exists() else []
    known = {(row["set"], row["share"], row["fit"]) for row in rows}
    for name in options.sets:
        images = read_image_set(find_set(name, options.work))
        pictures = mixture(images, max(options.shares), options.seed)
        for share in options.shares:
            for fit in options.fits:
                if (name, share, fit) not in known:
                    rows.append(row := measure(name, share, fit, pictures, options))
                    with store.open("a", encoding="utf-8") as file:
                        file.write(json.dumps(row) + "\n")
    print("| " + " | ".join(COLUMNS) + " |\n" + "|---" * len(COLUMNS) + "|")
    for row in rows:
        print("| " + " | ".join(str(row[column]) for column in COLUMNS) + " |")


def measure(
    name: str, share: float, fit: str, pictures: Mixture, options: argparse.Namespace
) -> dict:
    place = options.work / f"{name}-{share:g}-{fit}"
    defects = pictures.defects(share)
    run = place / "run"
    if not (run / MODEL).is_file():
        write_set(place / "data" / name, pictures.good, defects)
        trim = ["--trim"] if fit == "trim" else []
        command(
            "train", "--data", place / "data" / name, "--out", run, "--seed", options.seed,
            *trim, *options.train_args.split(),
        )  # fmt: skip
    suspicious = read_record(run).suspicious if fit == "trim" else ()
    found = [not file.startswith("good-") for file in suspicious]
    is_defect = np.array([not sample.is_good for sample in pictures.rest])
    found_auroc = auroc(is_defect, judge(run, pictures.rest))
    return {
        "set": name, "share": share, "fit": fit, "pictures": len(pictures.good) + len(defects),
        "defects": len(defects), "AUROC": round(float(found_auroc), 4),
        "left out": len(found), "defects left out": sum(found),
    }  # fmt: skip


@torch.no_grad()
def judge(run: Path, samples: Sequence[Sample]) -> np.ndarray:
    record = read_record(run)
    model = read_model(run, record)
    shape = InputShape(record.model.size_wh, record.tiles_wh, record.overlap)
    scores = []
    for sample in samples:
        frames = torch.from_numpy(network_inputs(read_view(sample).pixels_bgr, shape))
        scores.append(float(model(frames).score.max()))
    return np.array(scores)


if __name__ == "__main__":
    try:
        main()
    except EdgeError as error:
        raise SystemExit(f"error: {error}") from error
