"""What `--json` lists: every test picture with what the bundle said, and suggested thresholds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edge.bundle.store import Bundle
from edge.data.image_set import ImageSet, Sample
from edge.evaluation.evaluate import Evaluation, is_own
from edge.evaluation.evaluated_part import EvaluatedPart
from edge.evaluation.json_numbers import rounded
from edge.evaluation.operating_points import Scored, suggested
from edge.result import Inspection


def picture_rows(
    result: Evaluation, bundle: Bundle, images: ImageSet, folder: Path
) -> list[dict[str, Any]]:
    """List the test pictures of `images` in their order; files are relative to `folder`.

    `split` is `test` for those that the figures rest on, `types` for those that the bundle's types
    were trained on, and `hidden` where the geometry hides all defects; the last two have neither
    score nor verdict. `part` is null where the set does not tell parts apart.
    """
    parts = {part.sample.path: part for part in result.parts}
    rows: list[dict[str, Any]] = []
    for sample in images.test:
        part = parts.get(sample.path)
        if part is not None:
            rows.append(part_row(part, folder, has_parts=images.has_groups))
        else:
            split = "types" if is_own(bundle, sample) else "hidden"
            nothing: dict[str, Any] = {"score": None, "verdict": None, "types": [], "split": split}
            rows.append({**_identity(sample, folder, images.has_groups), **nothing})
    return rows


def suggestions(result: Evaluation) -> list[dict[str, Any]]:
    """Thresholds from this set's good parts, one for each rate that they support."""
    good, defective = (
        Scored.of([part for part in result.parts if part.sample.is_good == is_good])
        for is_good in (True, False)
    )
    return [
        rounded(
            {
                "rate": point.rate,
                "false_reject_rate": point.false_reject_rate,
                "recall": point.recall,
            }
        )
        | {"threshold": point.threshold}
        for point in suggested(good, defective)
    ]


def part_row(part: EvaluatedPart, folder: Path, *, has_parts: bool) -> dict[str, Any]:
    """Describe one picture that was inspected; `types` are those of its regions, surest first."""
    inspection = part.inspection
    return {
        **_identity(part.sample, folder, has_parts),
        "score": inspection.score,
        "verdict": inspection.verdict.value,
        "types": _types(inspection),
        "split": "test",
    }


def _identity(sample: Sample, folder: Path, has_parts: bool) -> dict[str, Any]:
    root, path = folder.expanduser(), sample.path
    file = path.relative_to(root) if path.is_relative_to(root) else path
    part = sample.group if has_parts else None
    return {"file": file.as_posix(), "label": sample.label, "part": part}


def _types(inspection: Inspection) -> list[str]:
    surest = sorted(inspection.upheld, key=lambda region: -(region.type_score or 0.0))
    return list(dict.fromkeys(region.type for region in surest))
