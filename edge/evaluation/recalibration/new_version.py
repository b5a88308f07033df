"""A new version of a bundle with other thresholds; the old one stays as it is."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edge.atomic_file import write_text
from edge.bundle.decision_scale import decision_scale
from edge.bundle.documents import GoodScores
from edge.bundle.manifest import MANIFEST, Golden
from edge.bundle.store import CARD, GOLDEN, THRESHOLDS, Bundle, open_bundle, sha256
from edge.bundle.thresholds import Thresholds
from edge.bundle.values import MAX_TOLERANCE
from edge.config.reader import Settings
from edge.errors import ThresholdError, WriteError
from edge.inspection.inspector import Inspector


@dataclass(frozen=True, slots=True)
class NewVersion:
    """What changes.

    Attributes:
        version: of the bundle.
        when: it was made.
        thresholds: all of them.
        scores: that they rest on, by the name of their file; those that are new.
        records: of how they came about, by the name of their file.
        dropped: files that belong to what was before.
        card: what the card says of it.
    """

    version: str
    when: str
    thresholds: Thresholds
    scores: Mapping[str, GoodScores]
    records: Mapping[str, Settings]
    dropped: frozenset[str]
    card: str


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


def write_version(bundle: Bundle, new: NewVersion, inspector: Inspector, out: Path) -> Bundle:
    """Write a version of a bundle with other thresholds.

    The golden pictures are judged again, so that the new version proves that it can pass and
    reject. A signature belongs to the manifest before, and is not taken over.

    Args:
        bundle: as opened, for all products and views.
        new: what changes.
        inspector: of `bundle`, for the golden pictures.
        out: a folder that is not there.

    Raises:
        ThresholdError: `out` is there, or a golden picture contradicts a threshold.
        WriteError: the disk does not take it.
    """
    check_new(out)
    golden = golden_for(bundle, new.thresholds, inspector)
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


def golden_for(bundle: Bundle, thresholds: Thresholds, inspector: Inspector) -> Golden:
    """Return the golden set with the verdicts of the new threshold of all parts.

    Raises:
        ThresholdError: the engine's score and the recorded one lie on two sides of it, or no
            golden picture passes or fails.
    """
    golden = bundle.golden()
    value = thresholds.score.value
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
    _, highest = thresholds.highest
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


def _write(folder: Path, bundle: Bundle, new: NewVersion, golden: Golden) -> None:
    for name in bundle.manifest.files:
        if name not in new.dropped:
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(bundle.path(name), target)
    documents: dict[str, Settings] = {
        THRESHOLDS: new.thresholds.model_copy(update={"created_at": new.when}),
        GOLDEN: golden,
        **new.scores,
        **new.records,
    }
    for name, document in documents.items():
        _write_json(folder / name, document)
    if (folder / CARD).is_file():
        text = (folder / CARD).read_text(encoding="utf-8")
        write_text(folder / CARD, f"{text.rstrip()}\n\n{new.card}\n")
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    manifest = bundle.manifest.model_copy(
        update={
            "version": new.version,
            "created_at": new.when,
            "files": {path.relative_to(folder).as_posix(): sha256(path) for path in files},
        }
    )
    _write_json(folder / MANIFEST, manifest)


def _write_json(path: Path, model: Settings) -> None:
    write_text(path, model.model_dump_json(indent=2, by_alias=True) + "\n")
