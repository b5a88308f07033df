"""Golden pictures that decide: one that fails, and none whose verdict hangs on rounding.

A station judges one that fails before it starts: only a graph that rejects something can be trusted
to reject. The synthetic defects of a run may all pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.bundle.decision_scale import decision_scale
from edge.data.golden_pictures import DEFECT_KINDS, GoldenPicture
from edge.data.image_set import read_pixels
from edge.data.synthetic_defects import add_defect
from edge.errors import ThresholdError
from edge.frame import GOOD
from edge.picture_file import encode_picture
from edge.toolchain.parity import TOLERANCES, Outcome

Pixels = NDArray[np.uint8]
# Defects of each kind that are tried, from other seeds.
TRIES = 4
# How far above the threshold the score should be, as a share of it, so that no precision flips it.
CLEAR = 0.1


class NothingRejected(ThresholdError):
    """The model passes whatever is tried: its threshold is too high.

    `reached` is the highest score of what was tried.
    """

    reached = float("-inf")


def off_the_threshold(
    pictures: Sequence[GoldenPicture], reference: Sequence[Outcome], threshold: float
) -> tuple[list[GoldenPicture], list[Outcome]]:
    """Leave out pictures whose verdict hangs on rounding: it says nothing about an engine.

    A threshold stands on the score of a good part, and that part may be a golden picture. The
    first one stays: it is the part that a station must see pass.
    """
    scale = decision_scale(threshold, (outcome.score for outcome in reference))
    closest = TOLERANCES["fp32"].score * scale
    kept = [
        index
        for index, outcome in enumerate(reference)
        if index == 0 or abs(outcome.score - threshold) > closest
    ]
    return [pictures[index] for index in kept], [reference[index] for index in kept]


def deciding_pictures(
    pictures: Sequence[GoldenPicture],
    reference: Sequence[Outcome],
    judge: Callable[[GoldenPicture], Outcome],
    thresholds: Sequence[float],
    scratch: Path,
) -> tuple[list[GoldenPicture], list[Outcome]]:
    """Leave out pictures on the threshold; add one that fails by all, unless there is one.

    Args:
        pictures: the golden set.
        reference: outputs of the trained model for it.
        judge: gives its output for one more picture.
        thresholds: of the score, first that for all parts, then those of products.
        scratch: an existing folder for the picture.

    Raises:
        NothingRejected: the model passes whatever is tried.
    """
    pictures, reference = off_the_threshold(pictures, reference, thresholds[0])
    highest = max(thresholds)
    if any(outcome.score > highest for outcome in reference):
        return pictures, reference
    good = next((picture for picture in pictures if picture.label == GOOD), pictures[0])
    clear = highest + CLEAR * abs(highest)
    best: tuple[GoldenPicture, Outcome] | None = None
    for kind, pixels in _candidates(read_pixels(good.path)):
        picture = GoldenPicture(scratch / f"failing_{kind}.png", kind)
        data = encode_picture(pixels)
        picture.path.write_bytes(data)
        outcome = judge(picture)
        if best is None or outcome.score > best[1].score:
            best = (picture, outcome)
            kept = data
        if outcome.score > clear:
            break
    if best is None or not best[1].score > highest:
        error = NothingRejected(
            f"the model passes every defect that was tried, the threshold is {highest:.4g}: it "
            "cannot reject; train it longer or on more good parts, look for defects among them, or "
            "ask for a higher rate with --alpha"
        )
        error.reached = error.reached if best is None else best[1].score
        raise error
    best[0].path.write_bytes(kept)
    return [*pictures, best[0]], [*reference, best[1]]


def _candidates(good: Pixels) -> Iterator[tuple[str, Pixels]]:
    """Yield pictures less and less like a good part, with the kind of what is wrong."""
    for seed in range(TRIES):
        rng = np.random.default_rng(seed)
        for kind in DEFECT_KINDS:
            yield kind, add_defect(good, rng, kind)[0]
    rng = np.random.default_rng(TRIES)
    tiles = good[: good.shape[0] // 4 * 4, : good.shape[1] // 4 * 4]
    height, width = tiles.shape[0] // 4, tiles.shape[1] // 4
    cut = tiles.reshape(4, height, 4, width, 3).swapaxes(1, 2).reshape(16, height, width, 3)
    mixed = rng.permutation(cut).reshape(4, 4, height, width, 3).swapaxes(1, 2)
    yield "shuffled", np.ascontiguousarray(mixed.reshape(tiles.shape))
    yield "inverted", 255 - good
    yield "noise", rng.integers(0, 256, good.shape, np.uint8)
    # A detector of distances alone may find noise dull, and an even or a striped picture striking.
    yield "even", np.full_like(good, 128)
    rows, columns = np.indices(good.shape[:2])
    for cell in (4, 16):
        squares = ((rows // cell + columns // cell) % 2 * 255).astype(np.uint8)
        yield "squares", np.repeat(squares[..., None], 3, 2)
    yield "swapped", np.ascontiguousarray(good[::-1, :, [1, 2, 0]])
