"""What reviews teach a finished run: recall on a frozen test after so many of them.

    python -m benchmarks.review_loop --work runs/base --sets magnetic_tile --out docs/reviews.md

Half of the parts of test/ are a stream, the other half is frozen: nothing is learned or chosen on
it. On the stream an oracle answers from the labels for what the run rejects or misses, in a random
order; defects that were missed are drawn, the others are not. With wrong clicks, a share of the
answers says the opposite. The figure is recall at 5 % false rejects by the frozen good pictures,
the mean of several draws of both halves and of the order.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.image_sets import SETS, find_set
from benchmarks.marked_table import replace_table
from edge.data.image_set import Sample, read_image_set
from edge.data.picture_labels import UNNAMED
from edge.errors import EdgeError
from edge.evaluation.metrics import recalls_at
from edge.frame import GOOD
from edge.methods.inp_former.branches import PatchFeatures
from edge.methods.inp_former.detector import Detector
from edge.methods.run import read_model, read_record
from edge.methods.types.map_learning import Ground, read_ground
from edge.methods.update.learning import learn_reviews
from edge.methods.update.proof import line_of
from edge.methods.update.reviewed import Reader, reader
from edge.methods.update.teacher import Teacher, cells_of_good_parts

TABLE = "review_loop"
COUNTS = (0, 5, 10, 20, 40)
# Test pictures of a type that take part.
MOST = 150

BATCH = 64

Score = Callable[[Detector, Sequence[Sample]], NDArray[np.float32]]


class Half(NamedTuple):
    """One draw of a set: answers of an oracle, and what is frozen."""

    answers: Sequence[Sample]
    frozen: Sequence[Sample]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", nargs="+", default=["pcb_traces"], choices=SETS)
    parser.add_argument("--seed", type=int, default=0, help="of the runs")
    parser.add_argument("--draws", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--wrong", nargs="+", type=float, default=[0.0, 0.1])
    parser.add_argument("--counts", nargs="+", type=int, default=COUNTS)
    parser.add_argument("--work", type=Path, default=Path("runs/base"))
    parser.add_argument("--scratch", type=Path, help="folder for the layout of textile")
    parser.add_argument("--rows", type=Path, help="file of rows: goes on where it stopped")
    parser.add_argument("--out", type=Path, help="file whose marked table is replaced")
    options = parser.parse_args()
    rows: dict[str, list[float]] = {}
    if options.rows and options.rows.is_file():
        rows = json.loads(options.rows.read_text())
    for name in options.sets:
        measure(name, options, rows)
    table = "\n".join(as_table(rows, options)) + "\n"
    print(table)
    if options.out:
        replace_table(options.out, TABLE, table)


@torch.no_grad()
def measure(name: str, options: argparse.Namespace, rows: dict[str, list[float]]) -> None:
    """Add the recalls at 1 and 5 % of one set by number of reviews, and how many were doubted."""
    run = options.work / f"{name}-{options.seed}-fused"
    folder = find_set(name, options.scratch or options.work)
    record = read_record(run)
    before = read_model(run, record)
    assert isinstance(before, Detector)
    images = read_image_set(folder)
    ground = read_ground(run, [folder], [images], record, before)
    # Every picture is read once: all lessons begin at the same features.
    read = cache(reader(before, ground.shape))
    score = scorer(before, read)
    good = cells_of_good_parts(ground, read, options.seed, silent)
    for draw in options.draws:
        test = some(images.test, MOST, draw)
        for share in options.wrong:
            half = drawn(ground, test, score, share, draw, max(options.counts))
            labels = np.array([not sample.is_good for sample in half.frozen])
            for count in options.counts:
                key = f"{name} {share:g} {count} {draw}"
                first = f"{name} {options.wrong[0]:g} {count} {draw}"
                if key in rows or (count == 0 and first in rows):
                    rows.setdefault(key, rows.get(first, []))
                    continue
                after, found, began = before, [0.0, 0.0], time.process_time()
                if count:
                    teacher = Teacher(ground, good, read)
                    lesson = learn_reviews(teacher, half.answers[:count], silent)
                    after = lesson.learned.detector
                    found = [float(len(lesson.suspects)), lesson.share]
                seconds = round(time.process_time() - began, 1)
                rows[key] = [*recalls_at(labels, score(after, half.frozen)).values(), *found]
                print(key, [round(value, 3) for value in rows[key]], seconds, "s", flush=True)
                if options.rows:
                    options.rows.write_text(json.dumps(rows, indent=1))


def scorer(before: Detector, read: Reader) -> Score:
    """Scores pictures by what a run became; what its branches share is computed once."""

    @cache
    def features(sample: Sample) -> PatchFeatures:
        return before.patch_features(read(sample))

    def score(detector: Detector, samples: Sequence[Sample]) -> NDArray[np.float32]:
        found = []
        for first in range(0, len(samples), BATCH):
            seen = [features(sample) for sample in samples[first : first + BATCH]]
            maps = torch.cat([detector.branches(each) for each in seen])
            distances = [detector.image_distance(each.groups) for each in seen]
            known = [each for each in distances if each is not None]
            judged = detector.judge(maps, torch.cat(known) if known else None)
            found.append(judged.score.reshape(len(seen), -1).amax(1))
        return np.asarray(torch.cat(found).numpy(), np.float32)

    return score


def some(test: Sequence[Sample], most: int, seed: int) -> list[Sample]:
    """At most so many pictures of each label."""
    rng = np.random.default_rng(seed)
    chosen: list[Sample] = []
    for label in sorted({sample.label for sample in test}):
        own = [sample for sample in test if sample.label == label]
        chosen += [own[int(index)] for index in sorted(rng.permutation(len(own))[:most])]
    return chosen


def drawn(
    ground: Ground, test: Sequence[Sample], score: Score, wrong: float, seed: int, most: int
) -> Half:
    """Share test pictures out, and let an oracle answer on the stream."""
    stream, frozen = split(test, seed)
    return Half(oracle(ground, stream, score, wrong, seed, most), frozen)


def split(test: Sequence[Sample], seed: int) -> tuple[list[Sample], list[Sample]]:
    """Share test pictures out into (stream, frozen), whole parts of each label at a time."""
    rng = np.random.default_rng(seed)
    stream: set[str] = set()
    for label in sorted({sample.label for sample in test}):
        parts = sorted({sample.group for sample in test if sample.label == label} - stream)
        stream |= {parts[int(index)] for index in rng.permutation(len(parts))[: len(parts) // 2]}
    return (
        [sample for sample in test if sample.group in stream],
        [sample for sample in test if sample.group not in stream],
    )


def oracle(
    ground: Ground, stream: Sequence[Sample], score: Score, wrong: float, seed: int, most: int
) -> list[Sample]:
    """The first answers to what is rejected or missed, in a random order; some are wrong."""
    line = line_of(ground.calibration)
    rng = np.random.default_rng((seed, len(stream)))
    answers: list[Sample] = []
    rejected = score(ground.detector, stream) > line
    for index in rng.permutation(len(stream)):
        sample, is_rejected = stream[int(index)], rejected[int(index)]
        if sample.is_good and not is_rejected:
            continue
        if rng.random() < wrong:
            label = UNNAMED if sample.is_good else GOOD
            answers.append(replace(sample, label=label, mask=None))
        else:
            # A rejected defect is confirmed by a click; one that passed has to be shown.
            answers.append(replace(sample, mask=None) if is_rejected else sample)
        if len(answers) == most:
            break
    return answers


def silent(stage: str, total: int) -> Callable[[int], None]:
    """Show no progress; the names are those of Progress."""
    del stage, total
    return lambda _done: None


def as_table(rows: dict[str, list[float]], options: argparse.Namespace) -> list[str]:
    """Lines of a table: recall at 5 % by number of reviews, mean and deviation over the draws."""
    heads = " | ".join(f"{count} reviews" for count in options.counts)
    lines = [f"| set | wrong clicks | {heads} |", "|---" * (2 + len(options.counts)) + "|"]
    for share in options.wrong:
        found = [_recalls(rows, name, share, options) for name in options.sets]
        lines += [_row(n, share, each) for n, each in zip(options.sets, found, strict=True)]
        if len(found) > 1:
            lines.append(_row("mean", share, np.mean(found, 0)))
    return lines


def _recalls(
    rows: dict[str, list[float]], name: str, share: float, options: argparse.Namespace
) -> NDArray[np.float64]:
    """Recalls at 5 %, (draws, counts); nan where one is missing."""
    keys = [[f"{name} {share:g} {c} {d}" for c in options.counts] for d in options.draws]
    return np.array([[(rows.get(key) or [np.nan] * 2)[1] for key in draw] for draw in keys])


def _row(name: str, share: float, values: NDArray[np.float64]) -> str:
    """One line; values are (draws, counts)."""
    means, spread = values.mean(0), values.std(0)
    shown = " | ".join(
        "-" if np.isnan(mean) else f"{mean:.3f} ± {about:.3f}"
        for mean, about in zip(means, spread, strict=True)
    )
    return f"| {name} | {share:.0%} | {shown} |"


if __name__ == "__main__":
    try:
        main()
    except EdgeError as error:
        raise SystemExit(f"error: {error}") from error
