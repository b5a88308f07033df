"""Which frames that are no whole picture of the product pass, by score alone and with the checks.

python -m benchmarks.bad_frames BUNDLE... [--data SET] [--share K]
python -m benchmarks.bad_frames --sets

With bundles: every kind of benchmarks/bad_frame_kinds.py of every picture (demo/images, or the
test pictures of --data). With --sets: for every image set below EDGE_TEST_DATA the share of good
test pictures that the checks alone reject, with limits from its training pictures, and the share of
bad frames that they notice; no network takes part.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from benchmarks.bad_frame_kinds import KINDS
from benchmarks.bad_frames_garbled import Image
from edge.bundle.frame_limits_file import read_frame_limits
from edge.bundle.store import Bundle, open_bundle
from edge.config.station import EngineSettings
from edge.data.image_set import Sample, read_image_set, read_pixels
from edge.engines.load import load_engine
from edge.errors import EdgeError
from edge.inspection.frame_check import FrameCheck
from edge.inspection.frame_statistics import measure
from edge.inspection.scorer import FrameScorer
from edge.toolchain.packing.frame_limits import fit_limits, frame_format

DEMO = Path("demo/images")
# What good frames look like decides how much of these can be noticed.
UPRIGHT = "upright edges look the same there"
COLOURLESS = "a product without colour has none to lose"
WHY = {
    "torn: lower half of another part": "two parts that fit together show no seam",
    "torn: last eighth of another part": "two parts that fit together show no seam",
    "torn: right half of another part": "a seam beside an upright edge looks like one",
    "rolled down by half": "both ends of the frame fit together",
    "rolled sideways by half": "both ends of the frame fit together, or look like an edge",
    "upper half twice": UPRIGHT,
    "half pictures one below the other": UPRIGHT,
    "last row repeated": UPRIGHT,
    "last column repeated": "the column lies in an area as large as good parts have",
    "smeared by motion": "edges along the motion stay sharp",
    "right half black": "good parts have black areas as large",
    "lower half white": "good parts have white areas as large",
    "lens mostly covered": "what was black stays black",
    "inverted": "black and white change places on a product that has as much of either",
    "mirrored": "the product lies freely: a mirrored part is a good part",
    "upside down": "the product lies freely: a turned part is a good part",
    "turned by 90 degrees": "the product lies freely: a turned part is a good part",
    "red and blue swapped": COLOURLESS,
    "grey instead of colour": COLOURLESS,
    "wrapped levels of 10 bits": "black and white stay what they are",
}
OTHERWISE = "within what good parts show"


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bundles", nargs="*", type=Path)
    parser.add_argument("--data", type=Path, help="image set instead of the demo's pictures")
    parser.add_argument("--share", type=int, default=1, help="every K-th picture")
    parser.add_argument("--sets", action="store_true", help="the checks alone, on every image set")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    if not args.bundles and not args.sets:
        parser.error("expected BUNDLE... or --sets")
    try:
        for folder in args.bundles:
            _bundle_table(open_bundle(folder), args.data or DEMO, args.share)
        if args.sets:
            _sets_table(args.share)
    except EdgeError as error:
        raise SystemExit(str(error)) from error
    print(f"\ncost of the checks at 1280x1024, one thread: {_cost_ms():.2f} ms a frame")


def _bundle_table(bundle: Bundle, data: Path, share: int) -> None:
    pictures = _test_pictures(data, share)
    check = FrameCheck(bundle.recipe.frames, read_frame_limits(bundle))
    threshold = bundle.thresholds.score.value
    with load_engine(bundle, EngineSettings()) as engine:
        scorer = FrameScorer(engine, bundle.recipe, bundle.graph)
        print(f"\n{bundle.folder.name}: {len(pictures)} pictures of {data}\n")
        print("| kind | pictures | pass by score | pass with checks | mostly noticed by | why |")
        print("|---|---|---|---|---|---|")
        total = np.zeros(3, int)
        others = _other_products(bundle.recipe.product, pictures[0])
        kinds = [("as they are", pictures), *_bad_frames(pictures), *others]
        for kind, bad in kinds:
            by_score, passed, found = 0, 0, Counter[str]()
            for frame in bad:
                finding = check.find(frame)
                if finding is not None:
                    found[_short(finding.detail)] += 1
                if scorer.score(frame).score <= threshold:
                    by_score += 1
                    passed += finding is None
            _row(kind, len(bad), by_score, passed, found)
            if bad is not pictures:
                total += (len(bad), by_score, passed)
        print(f"| all kinds | {total[0]} | {total[1]} | {total[2]} | | |")


def _sets_table(share: int) -> None:
    checks = {}
    print("\n| set | good to learn from | parts | stated: at most | good test | rejected |")
    print("|---|---|---|---|---|---|")
    for folder in _set_folders():
        images = read_image_set(folder)
        frames = [measure(read_pixels(sample.path)) for sample in images.train]
        limits = fit_limits(frames, [sample.group for sample in images.train])
        check = FrameCheck(frame_format(frames), limits)
        good = [sample for sample in images.test if sample.is_good]
        rejected = sum(check.find(read_pixels(sample.path)) is not None for sample in good)
        bound = "" if limits is None else f"{limits.false_alarms95:.1%}"
        parts = len({sample.group for sample in images.train})
        print(
            f"| {folder.name} | {len(frames)} | {parts} | {bound} | {len(good)} | "
            f"{rejected} ({rejected / max(1, len(good)):.2%}) |"
        )
        checks[folder.name] = (check, _test_pictures(folder, max(share, len(images.test) // 60)))
    print(f"\n| kind, noticed by the checks alone | {' | '.join(checks)} |")
    print(f"|---|{'---|' * len(checks)}")
    noticed = {
        name: {
            kind: sum(check.find(frame) is not None for frame in bad) / len(bad)
            for kind, bad in _bad_frames(pictures)
        }
        for name, (check, pictures) in checks.items()
    }
    for kind in KINDS:
        print(f"| {kind} | {' | '.join(f'{noticed[name][kind]:.0%}' for name in checks)} |")


def _bad_frames(pictures: Sequence[Image]) -> list[tuple[str, list[Image]]]:
    """Every kind, of every picture; another part is the one a third further on."""
    others = [*pictures[len(pictures) // 3 :], *pictures[: len(pictures) // 3]]
    made = []
    for kind, make in KINDS.items():
        rng = np.random.default_rng(0)
        bad = [make(picture, other, rng) for picture, other in zip(pictures, others, strict=True)]
        made.append((kind, [np.ascontiguousarray(frame) for frame in bad]))
    return made


def _other_products(own: str, like: Image) -> list[tuple[str, list[Image]]]:
    """Some test pictures of other sets as they are, and brought to the size of a good frame."""
    frames = [
        frame
        for folder in _set_folders()
        if folder.name != own
        for frame in _test_pictures(folder, 20)
    ]
    if not frames:
        return []
    size = (like.shape[1], like.shape[0])
    resized = [cv2.resize(frame, size, interpolation=cv2.INTER_AREA) for frame in frames]
    grey = [cv2.cvtColor(cv2.cvtColor(f, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR) for f in resized]
    return [
        ("another product", frames),
        ("another product at this one's size", resized),
        ("another product at this one's size, grey", grey),
    ]


def _set_folders() -> list[Path]:
    root = Path(os.environ.get("EDGE_TEST_DATA", "../shared/data"))
    if not root.is_dir():
        return []
    return [folder for folder in sorted(root.iterdir()) if (folder / "train" / "good").is_dir()]


def _test_pictures(data: Path, share: int) -> list[Image]:
    """Test pictures of a set, or all pictures below a folder with one folder for each label."""
    if (data / "test").is_dir():
        samples: Sequence[Sample] = read_image_set(data).test
        return [read_pixels(sample.path) for sample in samples[::share]]
    return [read_pixels(path) for path in sorted(data.rglob("*.png"))[::share]]


def _row(kind: str, count: int, by_score: int, passed: int, found: Counter[str]) -> None:
    by = ", ".join(name for name, _ in found.most_common(2))
    why = WHY.get(kind, OTHERWISE) if passed and kind != "as they are" else ""
    print(f"| {kind} | {count} | {by_score} | {passed} | {by} | {why} |")


def _short(detail: str) -> str:
    """What was outside its limits, without the numbers."""
    words = (
        detail.split(" outside ", maxsplit=1)[0]
        if " outside " in detail
        else detail.split(":", maxsplit=1)[0]
    )
    return words.rsplit(" ", 1)[0] if " outside " in detail else words


def _cost_ms() -> float:
    frame = np.random.default_rng(0).integers(0, 255, (1024, 1280, 3), np.uint8)
    frames = [measure(np.roll(frame, 7 * shift, axis=0)) for shift in range(12)]
    check = FrameCheck(frame_format(frames), fit_limits(frames, [str(i) for i in range(12)]))
    times = []
    for _ in range(300):
        start = time.perf_counter()
        check.find(frame)
        times.append(time.perf_counter() - start)
    return statistics.median(times) * 1e3


if __name__ == "__main__":
    main()
