"""Types for rejected parts only against types for every part, in one run.

    python -m benchmarks.cascade

A stream with 2 % defects goes through bundles of two graphs, with `decision.types` `rejected` and
`always` by turns on the same engines, so that a busy machine slows both. The second graph costs the
same whatever its weights: all but `lite` are random and trained for a moment, so names mean
nothing here. Verdicts and scores must be equal, else there is no figure.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from edge.bundle.store import open_bundle
from edge.cameras.simulator.image_set import write_conveyor_set
from edge.cameras.source import frame_now
from edge.config.station import DecisionSettings, EngineSettings
from edge.data.image_set import read_image_set, read_pixels
from edge.engines.load import load_engine, load_types_engine
from edge.evaluation.evaluate import unseen
from edge.inspection.inspector import Inspector
from edge.result import Verdict
from edge.training.run_folder import MODEL

# What judges, and what names.
CASES = {
    "lite + CLIP ViT-B/16": ("lite", "standard"),
    "DINOv2-small + CLIP ViT-B/16": ("standard", "standard"),
    "lite + lite": ("lite", "lite"),
}
SHARE = 0.02
SETTINGS = ("rejected", "always")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", nargs="+", default=list(CASES), choices=CASES)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--frames", type=int, default=100, help="per round and setting")
    parser.add_argument("--work", type=Path, default=Path("runs/cascade"))
    options = parser.parse_args()
    data = options.work / "plates"
    if not data.is_dir():
        write_conveyor_set(data, train_good=300, test_good=200, per_type=4)
    for case in options.cases:
        bundle = open_bundle(build(data, *CASES[case], options.work))
        print(json.dumps({"case": case, **measure(bundle, data, options)}), flush=True)


def build(data: Path, judging: str, naming: str, work: Path) -> Path:
    """Make the bundle of a case, and the runs that are not there yet."""
    run, types = work / f"inp-former-{judging}", work / f"multiads-{naming}"
    if not (run / MODEL).is_file():
        command(
            "train", "--data", data, "--out", run, "--preset", judging, "--no-branches",
            *(["--size", "320x256"] if judging == "lite" else ["--weights", "random"]),
            "--steps", 400 if judging == "lite" else 40,
        )  # fmt: skip
    if not (types / MODEL).is_file():
        command(
            "train", "--method", "multiads", "--data", data, "--out", types, "--preset", naming,
            *([] if naming == "lite" else ["--weights", "random"]),
            "--labelled", 2, "--epochs", 1,
        )  # fmt: skip
    bundle = work / f"bundle-{judging}-{naming}"
    command("build", run, "--types", types, "--out", bundle)
    return bundle


def measure(bundle, data: Path, options: argparse.Namespace) -> dict:
    settings = EngineSettings()
    pictures = stream(bundle, data, options.frames)
    rates, verdicts = {name: [] for name in SETTINGS}, {}
    with load_engine(bundle, settings) as engine, load_types_engine(bundle, settings) as types:
        inspectors = {
            name: Inspector(bundle, engine, DecisionSettings(types=name), types)
            for name in SETTINGS
        }
        for inspector in inspectors.values():
            inspector.inspect(frame_now("warm", 0, pictures[0]))
        for turn in range(options.rounds):
            for name in SETTINGS[:: -1 if turn % 2 else 1]:
                start = time.perf_counter()
                judged = [
                    inspectors[name].inspect(frame_now("bench", index, pixels)).inspection
                    for index, pixels in enumerate(pictures)
                ]
                rates[name].append(len(pictures) / (time.perf_counter() - start))
                verdicts.setdefault(name, [(one.verdict, one.score) for one in judged])
                if verdicts[name] != verdicts[SETTINGS[0]]:
                    raise SystemExit("the settings do not judge alike")
    ratios = [one / other for one, other in zip(rates["rejected"], rates["always"])]
    rejected = sum(verdict is not Verdict.PASS for verdict, _ in verdicts["rejected"])
    return {
        "judges": "{}x{}".format(*bundle.recipe.size_wh),
        "names": "{}x{}".format(*bundle.recipe.types_size_wh),
        "frames": len(pictures),
        "defects": round(SHARE * len(pictures)),
        "not_passed": rejected,
        **{f"{name}_fps": round(statistics.median(rates[name]), 2) for name in SETTINGS},
        "ratio": round(statistics.median(ratios), 2),
        "ratios": [round(ratio, 2) for ratio in ratios],
        "equal_verdicts": True,
    }


def stream(bundle, data: Path, count: int) -> list:
    """Good parts and a few defects that nothing was learned from, shuffled; all decoded."""
    rng = np.random.default_rng(0)
    samples = unseen(bundle, read_image_set(data))
    good, bad = ([s for s in samples if s.is_good is wanted] for wanted in (True, False))
    defects = round(SHARE * count)
    chosen = [good[i] for i in rng.permutation(len(good))[: count - defects]]
    chosen += [bad[i] for i in rng.permutation(len(bad))[:defects]]
    if len(chosen) < count:
        raise SystemExit(f"--frames {count}: only {len(good)} good parts are there to test")
    return [read_pixels(chosen[i].path) for i in rng.permutation(count)]


def command(name: str, *arguments) -> None:
    code = f"from edge.cli.{name} import main; main()"
    subprocess.run([sys.executable, "-c", code, *map(str, arguments)], check=True)


if __name__ == "__main__":
    main()
