"""Frame -> Inspection. Everything between pixels and verdict meets here; no I/O."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timezone
from time import monotonic_ns, perf_counter
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge.bundle.frame_limits_file import read_frame_limits
from edge.bundle.store import Bundle
from edge.config.station import DecisionSettings
from edge.engines.protocol import Engine
from edge.errors import EngineError, EngineLoadError, InferenceError
from edge.frame import Frame
from edge.geometry.frame_unfit import FrameUnfit
from edge.geometry.place import Place
from edge.geometry.view_transform import View, ViewTransform
from edge.inspection.decision import decide
from edge.inspection.frame_check import FrameCheck
from edge.inspection.in_frame import FrameMaps, region_in_frame
from edge.inspection.regions import find_regions, whole_frame
from edge.inspection.scorer import FrameScorer, Scored
from edge.inspection.type_naming import Namer, namer
from edge.inspection.type_scorer import Typed, TypeScorer
from edge.inspection.type_shares import TypeShares
from edge.inspection.type_thresholds import decide_by_type, with_thresholds
from edge.inspection.veto import reconsider, veto_regions
from edge.result import Inspection, Reason, Region, StageTimes, Verdict


class Inspected(NamedTuple):
    """An inspection and the map it rests on; the map is overwritten by the next frame."""

    inspection: Inspection
    map: NDArray[np.float32] | None


class Inspector:
    """Inspects frames with one bundle on one engine; a second engine names types, if there is one.

    Args:
        bundle: gives graph, recipe and thresholds.
        engine: with the bundle's graph loaded.
        settings: of the station's decisions.
        types_engine: with the bundle's types graph loaded; None for a bundle without one.
        place: its lens and rectification stand in for those of the recipe's geometry, and its
            scale for the recipe's. Golden pictures are views: geometry and place leave them alone.

    Attributes:
        failures_in_a_row: inferences that failed since the last good one.
        type_shares: of the frame inspected last; None where types were not asked for.
    """

    def __init__(
        self,
        bundle: Bundle,
        engine: Engine,
        settings: DecisionSettings,
        types_engine: Engine | None = None,
        place: Place | None = None,
    ):
        self._scale = (place or Place()).mm_per_px or bundle.recipe.mm_per_px
        self._transform = ViewTransform(bundle.recipe.geometry, place)
        self._frame_maps = FrameMaps()
        self._bundle = bundle
        self._settings = settings
        self._scorer = FrameScorer(engine, bundle.recipe, bundle.graph)
        self._check = FrameCheck(bundle.recipe.frames, read_frame_limits(bundle))
        self._score_tolerance = engine.info.score_tolerance
        self._type_scorer: TypeScorer | None = None
        if (bundle.types_graph is None) != (types_engine is None):
            raise ValueError("expected a types engine where the bundle has a types graph")
        if bundle.types_graph is not None and types_engine is not None:
            self._type_scorer = TypeScorer(types_engine, bundle.types_graph)
        self.failures_in_a_row = 0
        self.type_shares: TypeShares | None = None

    def self_test(self) -> None:
        """Score two golden pictures: warm the engine up and prove that it passes and rejects.

        Raises:
            BundleIncompatible: the bundle has no golden picture that passes, or none that fails.
            EngineLoadError: score or verdict differ from the trained model's.
        """
        tolerance = self._score_tolerance or self._bundle.golden().score_tolerance
        for image in self._bundle.test_pictures():
            score = self._scorer.score(self._bundle.golden_pixels(image)).score
            verdict = "fail" if score > self._bundle.thresholds.score.value else "pass"
            if not abs(score - image.score) <= tolerance or verdict != image.verdict:
                raise EngineLoadError(
                    f"golden picture {image.file}: expected score {image.score:.4f} "
                    f"({image.verdict}), the engine says {score:.4f} ({verdict}); rebuild the "
                    "bundle with edge-build"
                )

    def golden_score(self, pixels_bgr: NDArray[np.uint8]) -> float:
        """Score a golden picture, which is a view: geometry and place leave it alone.

        Raises:
            InferenceError: the engine fails.
        """
        return float(self._scorer.score(pixels_bgr).score)

    def inspect(self, frame: Frame) -> Inspected:
        """Inspect one frame; failures become `error` results.

        Raises:
            EngineError: too many failed inferences in a row.
        """
        self.type_shares = None
        waiting_ms = (monotonic_ns() - frame.captured_ns) / 1e6
        if frame.pixels_bgr is None:
            return Inspected(
                without_score(frame, Verdict.ERROR, Reason.CAMERA_ERROR, frame.fault or ""), None
            )
        start = perf_counter()
        try:
            view = self._transform.view(frame.pixels_bgr)
        except FrameUnfit as error:
            return Inspected(
                without_score(frame, Verdict.UNDECIDED, Reason.IMAGE_QUALITY, str(error)), None
            )
        finding = self._check.find(view.pixels_bgr)
        check_ms = (perf_counter() - start) * 1e3
        if finding is not None and finding.is_refused:
            return Inspected(
                without_score(frame, Verdict.UNDECIDED, Reason.IMAGE_QUALITY, finding.detail), None
            )
        try:
            scored = self._scorer.score(view.pixels_bgr)
        except InferenceError as error:
            self._count_failure(error)
            return Inspected(
                without_score(frame, Verdict.ERROR, Reason.ENGINE_ERROR, str(error)), None
            )
        scored = replace(
            scored,
            map=view.blank(scored.map),
            preprocess_ms=scored.preprocess_ms + check_ms,
            quality_problem=finding.detail if finding else scored.quality_problem,
        )
        inspection = self._conclude(frame, view, scored, waiting_ms)
        return Inspected(inspection, self._frame_maps.show(scored.map, view, frame.size_wh))

    def _count_failure(self, error: InferenceError) -> None:
        self.failures_in_a_row += 1
        if self.failures_in_a_row >= self._settings.max_engine_failures:
            raise EngineError(
                f"{self.failures_in_a_row} inferences failed in a row, last: {error}"
            ) from error

    def _name_types(self, pixels_bgr: NDArray[np.uint8], verdict: Verdict) -> Typed:
        """Ask the types graph where this part needs it; its failure never changes a verdict."""
        typed = Typed()
        wanted = self._settings.types == "always" or verdict is not Verdict.PASS
        if self._type_scorer is not None and wanted:
            try:
                typed = self._type_scorer.score(pixels_bgr)
            except InferenceError as error:
                self._count_failure(error)
                return Typed(problem=f"types not named: {error}")
        self.failures_in_a_row = 0
        return typed

    def _conclude(self, frame: Frame, view: View, scored: Scored, waiting_ms: float) -> Inspection:
        start = perf_counter()
        bundle = self._bundle
        decision = decide(bundle, scored.score, scored.quality_problem, self._settings.undecided_p)
        typed = self._name_types(view.pixels_bgr, decision.verdict)
        logits = scored.type_logits if typed.logits is None else typed.logits
        if logits is not None:
            map_wh = (scored.map.shape[1], scored.map.shape[0])
            self.type_shares = TypeShares(logits, view, frame.size_wh, map_wh)
        regions: tuple[Region, ...] = ()
        if decision.verdict is not Verdict.PASS:
            regions = self._regions(view, scored.map, logits)
            decision = decide_by_type(decision, scored.score, regions, bundle)
            decision = reconsider(decision, regions, bundle.recipe)
            if not regions and decision.verdict is Verdict.FAIL:
                regions = self._whole_frame(view, scored.map, logits)
            if view.moves:
                regions = tuple(region_in_frame(region, view, frame.size_wh) for region in regions)
        return Inspection(
            verdict=decision.verdict,
            reason=decision.reason,
            detail="; ".join(filter(None, (decision.detail, typed.problem))),
            camera=frame.camera,
            frame_id=frame.frame_id,
            captured_at=frame.captured_at,
            ended_at=datetime.now(timezone.utc),
            size_wh=frame.size_wh,
            times=StageTimes(
                waiting_ms=waiting_ms,
                preprocess_ms=scored.preprocess_ms + typed.preprocess_ms,
                infer_ms=scored.infer_ms + typed.infer_ms,
                postprocess_ms=(perf_counter() - start) * 1e3
                - (typed.preprocess_ms + typed.infer_ms),
            ),
            score=scored.score,
            threshold=decision.threshold,
            threshold_type=decision.threshold_type,
            p_value=decision.p_value,
            regions=regions,
            mm_per_px=self._scale,
            part=frame.part,
            is_simulated=frame.is_simulated,
            is_replayed=frame.earlier is not None,
        )

    def _regions(
        self, view: View, anomaly_map: NDArray[np.float32], logits: NDArray[np.float32] | None
    ) -> tuple[Region, ...]:
        """Regions, in pixels of the view, of a part that fails or is undecided; maybe none."""
        threshold, name = self._bundle.thresholds.score.value, self._namer(anomaly_map, logits)
        regions = find_regions(anomaly_map, threshold, view.size_wh, self._scale, name)
        regions = with_thresholds(regions, self._bundle.thresholds)
        return veto_regions(regions, self._bundle.recipe.veto_above)

    def _whole_frame(
        self, view: View, anomaly_map: NDArray[np.float32], logits: NDArray[np.float32] | None
    ) -> tuple[Region, ...]:
        """The region of a part that fails though no pixel is above the threshold.

        The frame is unusual as a whole. A single place of it cannot veto that.
        """
        name = self._namer(anomaly_map, logits)
        return (whole_frame(anomaly_map, view.size_wh, self._scale, name, view.seen_share),)

    def _namer(
        self, anomaly_map: NDArray[np.float32], logits: NDArray[np.float32] | None
    ) -> Namer | None:
        if logits is None:
            return None
        recipe, map_wh = self._bundle.recipe, (anomaly_map.shape[1], anomaly_map.shape[0])
        return namer(recipe.type_evidence, recipe.defect_types, logits, map_wh)


def without_score(frame: Frame, verdict: Verdict, reason: Reason, detail: str) -> Inspection:
    """Build the record of a part that could not be judged, so that it still has one."""
    return Inspection(
        verdict=verdict,
        reason=reason,
        detail=detail,
        camera=frame.camera,
        frame_id=frame.frame_id,
        captured_at=frame.captured_at,
        ended_at=datetime.now(timezone.utc),
        size_wh=frame.size_wh,
        times=StageTimes(waiting_ms=(monotonic_ns() - frame.captured_ns) / 1e6),
        part=frame.part,
        is_simulated=frame.is_simulated,
        is_replayed=frame.earlier is not None,
    )
