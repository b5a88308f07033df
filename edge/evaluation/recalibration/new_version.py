"""A new version of a bundle with another threshold; the old one stays as it is."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from edge.atomic_file import write_text
from edge.bundle.decision_scale import decision_scale
from edge.bundle.documents import GoodScores
from edge.bundle.manifest import MANIFEST, Golden
from edge.bundle.operating_points import OPERATING_POINTS
from edge.bundle.recalibration import RECALIBRATION, Recalibration
from edge.bundle.store import CARD, GOLDEN, THRESHOLDS, Bundle, open_bundle, sha256
from edge.bundle.thresholds import Threshold, Thresholds
from edge.bundle.values import MAX_TOLERANCE
from edge.config.reader import Settings
from edge.errors import ThresholdError, WriteError
from edge.inspection.inspector import Inspector


@dataclass(frozen=True, slots=True)
class NewThreshold:
    """What changes: a threshold, the scores it rests on, and the record of how it came about."""

    threshold: Threshold
    scores: GoodScores
    record: Recalibration
    version: str


def next_version(version: str) -> str:
    """Return the version that follows: its last number is one higher."""
    match = re.fullmatch(r"(.*?)(\d+)", version)
    return f"{match.group(1)}{int(match.group(2)) + 1}" if match else f"{version}.1"


def check_new(out: Path) -> None:
    """Check that `out` is free: the old version is never replaced.

    Raises:
        ThresholdError: something is there.
    """
    if os.path.lexists(out):
        raise ThresholdError(f"--out {out}: is there already; choose a new folder")


def write_version(bundle: Bundle, new: NewThreshold, inspector: Inspector, out: Path) -> Bundle:
    """Write a version of a bundle with another threshold, for all parts or one product.

    The golden pictures are judged again, so that the new version proves that it can pass and
    reject. Operating points belong to the scores before, and a signature to the manifest before:
    neither is taken over.

    Args:
        bundle: as opened, for all products.
        new: the threshold.
        inspector: of `bundle`, for the golden pictures.
        out: a folder that is not there.

    Raises:
        ThresholdError: `out` is there, or a golden picture contradicts the threshold.
        WriteError: the disk does not take it.
    """
    check_new(out)
    golden = golden_for(bundle, new, inspector)
    try:
        out.absolute().parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out.absolute().parent, prefix=f".{out.name}-") as made:
            folder = Path(made) / "bundle"
            _write(folder, bundle, new, golden)
            open_bundle(folder).test_pictures()
            folder.rename(out)
    except OSError as error:
        raise WriteError(out, error.strerror or str(error)) from error
    return open_bundle(out)


def golden_for(bundle: Bundle, new: NewThreshold, inspector: Inspector) -> Golden:
    """Return the golden set with the verdicts of the new threshold.

    Raises:
        ThresholdError: the engine's score and the recorded one lie on two sides of it, or no
            golden picture passes or fails.
    """
    golden = bundle.golden()
    # Verdicts of golden pictures are those of all parts.
    whole = bundle.thresholds.score if new.record.product is not None else new.threshold
    value = whole.value
    images = []
    for image in golden.images:
        score = inspector.golden_score(bundle.golden_pixels(image))
        if (score > value) != (image.score > value):
            raise ThresholdError(
                f"golden picture {image.file}: its score {image.score:.4f}, on this engine "
                f"{score:.4f}, lies at the threshold {value:.4f}; ask for another --rate"
            )
        verdict = "fail" if image.score > value else "pass"
        images.append(image.model_copy(update={"verdict": verdict}))
    highest = max(value, new.threshold.value)
    scores = [image.score for image in images]
    if not (min(scores) <= value and max(scores) > highest):
        what = "fails" if max(scores) <= highest else "passes"
        raise ThresholdError(
            f"no golden picture {what} at the threshold {highest:.4f} (scores {min(scores):.4f} to "
            f"{max(scores):.4f}): nothing would show that the bundle can tell good from bad; ask "
            "for another --rate, or train again on these parts"
        )
    # A tolerance may be at most a share of the threshold.
    limit = MAX_TOLERANCE * decision_scale(value, scores)
    return golden.model_copy(
        update={
            "images": tuple(images),
            "score_tolerance": min(golden.score_tolerance, limit),
            "map_tolerance": min(golden.map_tolerance, limit),
        }
    )


def _write(folder: Path, bundle: Bundle, new: NewThreshold, golden: Golden) -> None:
    for name in bundle.manifest.files:
        if name != OPERATING_POINTS:
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(bundle.path(name), target)
    thresholds, product = bundle.thresholds, new.record.product
    if product is None:
        file = thresholds.scores_file
        thresholds = thresholds.model_copy(update={"score": new.threshold})
    else:
        own = thresholds.products[product]
        file = own.scores_file
        changed = own.model_copy(update={"score": new.threshold})
        products = {**thresholds.products, product: changed}
        thresholds = thresholds.model_copy(update={"products": products})
    thresholds = thresholds.model_copy(update={"created_at": new.record.when})
    assert isinstance(thresholds, Thresholds)  # noqa: S101 - narrowing only
    _write_json(folder / THRESHOLDS, thresholds)
    _write_json(folder / file, new.scores)
    _write_json(folder / GOLDEN, golden)
    _write_json(folder / RECALIBRATION, new.record)
    if (folder / CARD).is_file():
        text = (folder / CARD).read_text(encoding="utf-8")
        write_text(folder / CARD, f"{text.rstrip()}\n\n{card_section(new)}\n")
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    manifest = bundle.manifest.model_copy(
        update={
            "version": new.version,
            "created_at": new.record.when,
            "files": {path.relative_to(folder).as_posix(): sha256(path) for path in files},
        }
    )
    _write_json(folder / MANIFEST, manifest)


def card_section(new: NewThreshold) -> str:
    """What the card says of the new threshold."""
    record, threshold = new.record, new.threshold
    whose = f" of {record.product}" if record.product else ""
    missed = ""
    if record.misses is not None:
        found = record.misses
        missed = (
            f" Of {found.defects} labelled defects {found.missed} pass (95 % interval "
            f"{found.low:.1%} to {found.high:.1%})."
        )
    return (
        "## Threshold set anew\n\n"
        f"Takes the place of what is said of the threshold{whose} above. {record.when} by "
        f"{record.by}: {threshold.value:.4f} instead of {record.threshold_before:.4f}, for "
        f"{threshold.alpha:.2%} false rejects, from {threshold.n} pictures of {threshold.groups} "
        f"good parts of a {record.source}; at most {threshold.bound95:.1%} with 95 % confidence."
        f"{missed}"
    )


def _write_json(path: Path, model: Settings) -> None:
    write_text(path, model.model_dump_json(indent=2, by_alias=True) + "\n")
