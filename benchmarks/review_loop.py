"""What reviews teach a finished run: recall on a frozen test after so many of them.

    python -m benchmarks.review_loop --work runs/base --sets pcb_traces --out docs/reviews.md

Half of the parts of test/ are a stream, the other half is frozen: nothing is learned or chosen on
it. On the stream an oracle answers from the labels for what the run rejects or misses, in a random
order; defects that were missed are drawn, the others are not. With wrong clicks, a share of the
answers says the opposite. The figure is recall at 5 % false rejects by the frozen good pictures.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.image_sets import SETS, find_set
from benchmarks.marked_table import replace_table
from edge.data.image_set import Sample, read_image_set
from edge.data.picture_labels import UNNAMED
from edge.errors import EdgeError
from edge.evaluation.metrics import recalls_at
from edge.frame import GOOD
from edge.methods.run import read_model, read_record
from edge.methods.types.map_learning import Ground, read_ground
from edge.methods.update.learning import learn_reviews
from edge.methods.update.proof import line_of, scores_by

TABLE = "review_loop"
COUNTS = (0, 5, 10, 20, 40)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", nargs="+", default=["pcb_traces"], choices=SETS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--wrong", nargs="+", type=float, default=[0.0, 0.1])
    parser.add_argument("--counts", nargs="+", type=int, default=COUNTS)
    parser.add_argument("--work", type=Path, default=Path("runs/base"))
    parser.add_argument("--rows", type=Path, help="file of rows: goes on where it stopped")
    parser.add_argument("--out", type=Path, help="file whose marked table is replaced")
    options = parser.parse_args()
    rows: dict[str, list[float]] = {}
    if options.rows and options.rows.is_file():
        rows = json.loads(options.rows.read_text())
    for name in options.sets:
        for share in options.wrong:
            measure(name, share, options, rows)
    table = "\n".join(as_table(rows, options)) + "\n"
    print(table)
    if options.out:
        replace_table(options.out, TABLE, table)


def measure(
    name: str, share: float, options: argparse.Namespace, rows: dict[str, list[float]]
) -> None:
    """Add the recalls at 1 and 5 % of one set by number of reviews, and how many were doubted."""
    run, folder = options.work / f"{name}-{options.seed}-fused", find_set(name, options.work)
    record = read_record(run)
    before = read_model(run, record)
    images = read_image_set(folder)
    ground = read_ground(run, [folder], [images], record, before)
    stream, frozen = split(images.test, options.seed)
    answers = oracle(ground, stream, share, options.seed)
    labels = np.array([not sample.is_good for sample in frozen])
    for count in options.counts:
        key = f"{name} {share:g} {count}"
        if key in rows or count > len(answers) or (count == 0 and f"{name} 0 0" in rows):
            continue
        after, doubted = before, 0
        if count:
            lesson = learn_reviews(ground, answers[:count], options.seed, silent)
            after, doubted = lesson.learned.detector, len(lesson.suspects)
        scores = scores_by([after], frozen, ground.shape, lambda _: None)[:, 0]
        rows[key] = [*recalls_at(labels, scores).values(), doubted]
        print(key, rows[key], flush=True)
        if options.rows:
            options.rows.write_text(json.dumps(rows, indent=1))


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


def oracle(ground: Ground, stream: Sequence[Sample], wrong: float, seed: int) -> list[Sample]:
    """Answers to what is rejected or missed, in a random order; a share of them is wrong."""
    scores = scores_by([ground.detector], stream, ground.shape, lambda _: None)[:, 0]
    line = line_of(ground.calibration)
    answers = [
        # A rejected defect is confirmed by a click; one that passed has to be shown.
        sample if score <= line or sample.is_good else replace(sample, mask=None)
        for sample, score in zip(stream, scores, strict=True)
        if score > line or not sample.is_good
    ]
    rng = np.random.default_rng((seed, len(stream)))
    answers = [answers[int(index)] for index in rng.permutation(len(answers))]
    return [
        replace(sample, label=UNNAMED if sample.is_good else GOOD, mask=None)
        if rng.random() < wrong
        else sample
        for sample in answers
    ]


def silent(_stage: str, _total: int):  # type: ignore[no-untyped-def]
    """Show no progress."""
    return lambda _done: None


def as_table(rows: dict[str, list[float]], options: argparse.Namespace) -> list[str]:
    """Lines of a table: recall at 5 % by number of reviews."""
    heads = " | ".join(f"{count} reviews" for count in options.counts)
    lines = [f"| set | wrong clicks | {heads} |", "|---" * (2 + len(options.counts)) + "|"]
    for share in options.wrong:
        found = []
        for name in options.sets:
            values = [
                rows.get(f"{name} {share:g} {count}" if count else f"{name} 0 0")
                for count in options.counts
            ]
            found.append([value[1] if value else float("nan") for value in values])
            lines.append(_row(name, share, found[-1]))
        if len(found) > 1:
            lines.append(_row("mean", share, list(np.mean(found, 0))))
    return lines


def _row(name: str, share: float, values: Sequence[float]) -> str:
    shown = " | ".join("-" if np.isnan(value) else f"{value:.3f}" for value in values)
    return f"| {name} | {share:.0%} | {shown} |"


if __name__ == "__main__":
    try:
        main()
    except EdgeError as error:
        raise SystemExit(f"error: {error}") from error
