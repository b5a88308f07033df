"""What a built bundle is measured by in the ablation; see the notes under the table."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from edge.bundle.store import Bundle, open_bundle
from edge.config.station import EngineSettings
from edge.data.image_set import ImageSet, Sample
from edge.engines.load import load_engine, load_types_engine
from edge.evaluation.evaluate import Evaluation, evaluate
from edge.evaluation.set_inspector import SetInspector
from edge.evaluation.veto_metrics import veto_metrics
from edge.result import Inspection, Reason, Verdict

RECALL = 0.95
VETO_ABOVE = 0.95
# Thresholds that are tried before the veto is said not to reach the recall.
TRIALS = 6


def figures(folder: Path, images: ImageSet, threads: int = 0) -> dict:
    """All figures of one bundle on the pictures of a set that it learned nothing from."""
    bundle, settings = open_bundle(folder), EngineSettings(threads=threads)
    with load_engine(bundle, settings) as engine, load_types_engine(bundle, settings) as types:
        result = evaluate(bundle, engine, images, lambda _: None, types)
        row = result.as_json()
        aps = [values["ap"] for values in row["per_type"].values() if values["ap"] is not None]
        row["type_ap"] = float(np.mean(aps)) if aps else None
        row |= rejects(bundle, engine, types, result)
    return row


def rejects(bundle: Bundle, engine, types, result: Evaluation) -> dict:
    """Negation error at a threshold that half of the good parts exceed, and rejects at 95 %."""
    good = [item.sample for item in result.parts if item.sample.is_good]
    defective = [item.sample for item in result.parts if not item.sample.is_good]
    scores = np.sort([item.score for item in result.parts if not item.sample.is_good])

    def judge(samples: list[Sample], threshold: float) -> list[Inspection]:
        score = bundle.thresholds.score.model_copy(update={"value": float(threshold)})
        veto = {"veto_above": VETO_ABOVE, "veto_passes": True} if bundle.recipe.defect_types else {}
        lowered = replace(
            bundle,
            thresholds=bundle.thresholds.model_copy(update={"score": score}),
            recipe=bundle.recipe.model_copy(update=veto),
        )
        look = SetInspector(lowered, engine, types)
        return [look(sample).inspection for sample in samples]

    # A part fails above the threshold: the allowed misses lie at or below it.
    allowed = int((1 - RECALL) * len(scores) + 1e-9)
    at_recall = just_below(scores[allowed])
    row: dict = {"false_rejects_95": share(judge(good, at_recall), with_veto=False)}
    if not bundle.recipe.defect_types:
        return row
    seen = judge(good, np.median(bundle.scores))
    alarms = veto_metrics([(True, inspection) for inspection in seen])
    row["negation_error"] = None if np.isnan(alarms.negation_error) else alarms.negation_error
    row["negation_regions"] = sum(len(inspection.regions) for inspection in seen)
    row["false_rejects_95_veto"] = None
    for rank in dict.fromkeys(np.linspace(allowed, 0, TRIALS).round().astype(int).tolist()):
        threshold = just_below(scores[rank])
        if share(judge(defective, threshold), with_veto=True) >= RECALL:
            row["false_rejects_95_veto"] = share(judge(good, threshold), with_veto=True)
            break
    return row


def just_below(score: float) -> float:
    return float(np.nextafter(np.float32(score), np.float32(-np.inf)))


def share(inspections: list[Inspection], *, with_veto: bool) -> float:
    """Share of parts that do not pass, with what the veto let pass or without."""
    stopped = [
        i.verdict is not Verdict.PASS or (not with_veto and i.reason is Reason.REGIONS_VETOED)
        for i in inspections
    ]
    return float(np.mean(stopped))


def named_as(row: dict, kind: str, word: str) -> tuple[int, int]:
    """How many of a type's parts were detected, and how many of these were called `word`."""
    matrix = row["confusion"]
    counts = matrix["counts"][matrix["labels"].index(kind)]
    called = dict(zip(matrix["predicted"], counts, strict=True))
    return sum(counts) - called["missed"], called.get(word, 0)
